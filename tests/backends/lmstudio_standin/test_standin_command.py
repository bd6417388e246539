"""The stand-in as a process of its own, which a test may freeze or kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import httpx
import lmstudio
import pytest

from tests.standins.apart import freeze

Start = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts it, and says where it listens."""
    running: list[subprocess.Popen[str]] = []

    def run(*options: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "tests.standins.lmstudio", "--port", "0", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        return process, f"127.0.0.1:{int(process.stdout.readline())}"

    yield run
    for process in running:
        os.kill(process.pid, signal.SIGCONT)
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_it_serves_the_models_it_is_told_to(start: Start, quick: None) -> None:
    _, host = start("--model", "one", "--model", "two", "--reply", "Said in another process.")
    with lmstudio.Client(host) as client:
        assert [model.model_key for model in client.list_downloaded_models()] == ["one", "two"]
        assert client.llm.model("two").respond("hello").content == "Said in another process."


def test_killing_it_in_mid_stream_resets_the_socket(start: Start, quick: None) -> None:
    process, host = start("--reply", "word " * 3000, "--token-seconds", "0.02")
    lmstudio.set_sync_api_timeout(60)
    with lmstudio.Client(host) as client:
        stream = iter(client.llm.model("qwen2.5-0.5b-instruct").respond_stream("hello"))
        next(stream)
        process.kill()
        killed = time.monotonic()
        with pytest.raises(lmstudio.LMStudioWebsocketError):
            list(stream)
        assert time.monotonic() - killed < 15
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{host}/lmstudio-greeting")


def test_stopping_it_freezes_everything_until_it_goes_on(start: Start, quick: None) -> None:
    process, host = start()
    with lmstudio.Client(host) as client:
        client.llm.list_loaded()
        freeze(process)
        with pytest.raises(lmstudio.LMStudioTimeoutError):
            client.llm.list_loaded()
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"http://{host}/lmstudio-greeting", timeout=0.3)
        process.send_signal(signal.SIGCONT)
        assert client.llm.list_loaded() == []


def test_it_may_start_with_a_fault(start: Start, quick: None) -> None:
    _, host = start("--fault", "hangs-at-listing")
    with lmstudio.Client(host) as client, pytest.raises(lmstudio.LMStudioTimeoutError):
        client.llm.list_loaded()


def test_a_fault_nobody_knows_is_refused() -> None:
    command = [sys.executable, "-m", "tests.standins.lmstudio", "--fault", "gremlins"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "gremlins" in refused.stderr
