"""A stand-in for each test, which must keep to the SDK's schema and leave nothing behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import lmstudio
import pytest

from tests.standins.lmstudio import LMStudioStandIn, StandInModel

KEY = "qwen2.5-0.5b-instruct"
MODELS = (
    StandInModel(key=KEY, token_seconds=0.005),
    StandInModel(key="vision-7b", vision=True, size_bytes=4 * 1024**3, architecture="qwen2vl"),
    StandInModel(key="nomic-embed", type="embedding", architecture="nomic-bert", max_context=2048),
)


@pytest.fixture
def standin() -> Iterator[LMStudioStandIn]:
    """A healthy stand-in; tests that mean to break the schema clear ``violations`` themselves."""
    with LMStudioStandIn(models=MODELS) as running:
        yield running
        running.fault = None
    assert running.violations == []
    assert not [thread for thread in threading.enumerate() if thread.name == "lmstudio-standin"]


@pytest.fixture
def quick() -> Iterator[None]:
    """The SDK's sync calls give up after two seconds of silence instead of a minute."""
    before = lmstudio.get_sync_api_timeout()
    lmstudio.set_sync_api_timeout(2.0)
    yield
    lmstudio.set_sync_api_timeout(before)


@pytest.fixture
def client(standin: LMStudioStandIn, quick: None) -> Iterator[lmstudio.Client]:
    """The real sync client."""
    with lmstudio.Client(standin.host) as connected:
        yield connected


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Waits up to half a minute for something to become true."""

    def wait(condition: Callable[[], bool]) -> None:
        limit = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < limit, "it never came true"
            time.sleep(0.01)

    return wait
