"""Real servers, started once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from real_servers import RealServer, litellm_proxy, worker

from mai_backends.openai_compatible import backend, listing, warming


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines that run tests are shared: who answers at all is late now and then, and no test is to fail for that."""
    monkeypatch.setattr(backend, "LOADED_SECONDS", 3.0)
    monkeypatch.setattr(backend, "SEEK_SECONDS", 3.0)
    monkeypatch.setattr(listing, "MORE_SECONDS", 10.0)
    monkeypatch.setattr(warming, "STILL_THERE_SECONDS", 10.0)


@pytest.fixture(scope="module")
def real_worker(starter_gguf: Path) -> Iterator[RealServer]:
    """The embedded engine's HTTP server with SmolLM2."""
    with worker(starter_gguf) as server:
        yield server


@pytest.fixture(scope="module")
def real_litellm(real_worker: RealServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """LiteLLM's proxy in front of it."""
    with litellm_proxy(real_worker, tmp_path_factory.mktemp("litellm")) as server:
        yield server
