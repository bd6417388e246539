"""A server that stands still: told apart from none, and from one that answered before."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ollama_talk import backend_for

from mai_core.errors import BackendUnavailable, EngineAbsent
from tests.standins.apart import apart
from tests.standins.ollama import OllamaStandIn

stops = pytest.mark.skipif(sys.platform == "win32", reason="no process can be stopped there")


@stops
async def test_one_that_is_only_looked_for_and_stands_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No fault, but not nothing either: what to do about it is told."""
    with apart("ollama") as server:
        monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{server.told}")
        async with backend_for(None, tmp_path) as backend:
            server.freeze()
            with pytest.raises(EngineAbsent, match=r"something listens at .* but does not answer within 2 s") as caught:
                await backend.models()
            assert "restart it" in caught.value.remedy
            assert await backend.loaded() == []
            server.thaw()
            assert await backend.models()
            server.freeze()
            for asking in (backend.models, backend.loaded):
                with pytest.raises(BackendUnavailable, match="stopped answering") as missed:
                    await asking()
                assert type(missed.value) is BackendUnavailable


@stops
async def test_one_that_was_configured_and_stands_still(tmp_path: Path) -> None:
    with apart("ollama") as server:
        async with backend_for(None, tmp_path, url=f"127.0.0.1:{server.told}") as backend:
            server.freeze()
            with pytest.raises(BackendUnavailable, match="something listens") as caught:
                await backend.models()
            assert type(caught.value) is BackendUnavailable


async def test_one_that_is_gone_after_it_answered(tmp_path: Path) -> None:
    with OllamaStandIn() as server:
        async with backend_for(server, tmp_path) as backend:
            await backend.models()
            server.stop()
            with pytest.raises(BackendUnavailable, match="stopped answering") as caught:
                await backend.models()
            assert type(caught.value) is BackendUnavailable
