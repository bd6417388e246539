"""A server that is a process of its own, stopped and killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from ollama_talk import QUESTION, context_in, load

from mai_backends.ollama.backend import OllamaBackend
from mai_core.errors import BackendUnavailable, ModelCrashed, ModelStalled
from mai_core.policy.messages import GenerationOptions

ROOT = Path(__file__).parents[3]


@pytest.fixture
def process() -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "tests.standins.ollama", "--token-seconds", "0.02"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        yield child, f"http://127.0.0.1:{int(child.stdout.readline())}"
        child.kill()


@pytest.mark.parametrize(
    ("how", "error"), [(signal.SIGKILL, ModelCrashed), (signal.SIGSTOP, ModelStalled)], ids=["killed", "stopped"]
)
async def test_a_server_that_ends_in_mid_answer(
    how: signal.Signals, error: type[Exception], process: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    child, url = process
    backend = OllamaBackend(context_in(tmp_path, url=url))
    try:
        loaded = await load(backend)
        options = GenerationOptions(token_deadline=2.0)
        async with aclosing(backend.generate(loaded.instance, QUESTION, options)) as events:
            await anext(events)
            child.send_signal(how)
            before = time.perf_counter()
            with pytest.raises(error):
                async for _ in events:
                    pass
            assert time.perf_counter() - before < 15.0, "its usual deadline is 30 s"
        with pytest.raises(BackendUnavailable):
            await backend.models()
        with pytest.raises(BackendUnavailable):
            await backend.loaded()
    finally:
        child.send_signal(signal.SIGCONT)
        await backend.close()
