"""Whatever a server repeats of its key, no error says it: not in its words, not in its causes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ollama_talk import backend_for, collect

from mai_backends.ollama.backend import OllamaBackend
from mai_core.errors import MaiError
from mai_core.policy.models import LoadPlan, ModelProfile
from tests.standins.echoes import SHAPES, echoing, told
from tests.standins.ollama import StandInModel

KEY = "sk/no\"t'+for-any\\one-4711"
PIECE = "for-any"
NOWHERE = Path("/nonexistent")
MODEL = StandInModel()
PROFILE = ModelProfile(key=MODEL.name, backend="ollama", location=MODEL.name)
HEALTHY: Mapping[str, object] = {
    "/api/version": {"version": "0.33.0"},
    "/api/tags": {"models": [MODEL.row()]},
    "/api/show": MODEL.shown(),
    "/api/ps": {"models": [{"name": MODEL.name, "digest": MODEL.digest, "size": 9, "context_length": 4096}]},
}
STEPS: dict[str, tuple[str, Callable[[OllamaBackend], Awaitable[object]]]] = {
    "find": ("/api/version", lambda backend: backend.models()),
    "models": ("/api/tags", lambda backend: backend.models()),
    "details": ("/api/show", lambda backend: backend.models()),
    "loaded": ("/api/ps", lambda backend: backend.loaded()),
    "load": ("/api/chat", lambda backend: backend.load(PROFILE, LoadPlan(context=8192))),
    "reply": ("/api/chat", lambda backend: collect(backend, f"ollama:{MODEL.name}")),
}


def _up_to_thirty_more(characters: int) -> st.SearchStrategy[str]:
    """Where messages are cut, so that a key would be cut through."""
    return st.integers(characters, characters + 30).map("x".__mul__)


@pytest.mark.parametrize("step", STEPS)
@settings(max_examples=40, deadline=None)
@given(
    shape=st.sampled_from(sorted(SHAPES)),
    status=st.sampled_from([400, 401, 403, 404, 429, 500, 502, 503]),
    before=st.text("x ", max_size=40) | st.sampled_from([270, 470]).flatmap(_up_to_thirty_more),
    sent_as=st.sampled_from(["key", "header"]),
)
def test_no_error_can_be_made_to_say_the_key(step: str, shape: str, status: int, before: str, sent_as: str) -> None:
    spoilt, play = STEPS[step]

    async def run() -> BaseException | None:
        healthy = {path: answer for path, answer in HEALTHY.items() if path != spoilt}
        options = {"api_key": "env:MINE"} if sent_as == "key" else {"headers": {"X-Api-Key": "env:MINE"}}
        async with (
            echoing(healthy, SHAPES[shape](status, f"{before}{KEY}")) as url,
            backend_for(None, NOWHERE, url=url, **options) as backend,
        ):
            try:
                if spoilt not in ("/api/version", "/api/tags", "/api/show"):
                    await backend.models()
                await play(backend)
            except MaiError as error:
                return error
        return None

    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(str(vars(record)))  # type: ignore[method-assign]
    logger = logging.getLogger("mai")
    logger.addHandler(handler)
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("MINE", KEY)
            error = asyncio.run(run())
    finally:
        logger.removeHandler(handler)
    assert PIECE not in "".join(lines)
    if error is not None:
        assert PIECE not in told(error)
