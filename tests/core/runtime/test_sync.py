"""The blocking Mai: several threads, one loop, and no call that waits for ever."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from mai_core import Mai, MaiError, Paths, PluginRegistry
from mai_core.policy.messages import StopReason, TextDelta
from mai_core.runtime import sync
from mai_core.runtime.turn import TurnEnd
from mai_core.settings.layers import LoadedSettings
from mai_core.settings.model import BackendSettings, ProbeSettings, Settings
from mai_core.testing import FakeBackend, FakeModel
from mai_core.testing.machine import FakeMachine
from mai_strategies import plugin as strategies
from mai_strategies.transfers import plugin as transfers
from tests.core.runtime.worlds import Fakes, model

SLOW = {"reply": "word " * 400, "token_seconds": 0.01}


def opened(tmp_path: Path, *models: FakeModel) -> Mai:
    machine = FakeMachine()
    settings = Settings(
        backends={"fake": BackendSettings(type="fake", models=models, machine=machine)},  # type: ignore[call-arg]
        probes={"fake": ProbeSettings(type="fake", machine=machine)},  # type: ignore[call-arg]
    )
    return Mai(
        LoadedSettings(settings),
        paths=Paths.of({"MAI_HOME": str(tmp_path)}),
        environment={},
        registry=PluginRegistry.of(Fakes(), strategies, transfers),
    )


@contextmanager
def running(tmp_path: Path, *models: FakeModel) -> Iterator[tuple[Mai, FakeBackend]]:
    with opened(tmp_path, *models) as mai:
        yield mai, cast("FakeBackend", mai._mai._parts.backends["fake"])


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_turns_of_several_threads(tmp_path: Path) -> None:
    with running(tmp_path, model("one", reply=lambda m: m[-1].content)) as (mai, backend):
        names = [mai.new_conversation() for _ in range(8)]
        with ThreadPoolExecutor(8) as threads:
            replies = list(threads.map(lambda n: mai.process_message(f"say {n}", conversation=n), names))
        assert [r.text for r in replies] == [f"say {n}" for n in names]
        assert [c for c in backend.calls if c[0] == "load"] == [("load", "one")]


def test_first_messages_of_two_threads_begin_one_conversation(tmp_path: Path) -> None:
    with running(tmp_path, model("one")) as (mai, _):
        gate = threading.Barrier(4)

        def ask(text: str) -> str:
            gate.wait()
            return mai.process_message(text).conversation

        with ThreadPoolExecutor(4) as threads:
            assert len(set(threads.map(ask, "abcd"))) == 1
        assert len(mai.get_conversation_history().messages) == 8


async def test_inside_the_thread_pool_of_a_running_loop(tmp_path: Path) -> None:
    mai = await asyncio.to_thread(opened, tmp_path, model("one", reply="Yes."))
    try:
        replies = await asyncio.gather(*(asyncio.to_thread(mai.process_message, "well?") for _ in range(3)))
        assert [r.text for r in replies] == ["Yes."] * 3
    finally:
        await asyncio.to_thread(mai.shutdown)


def test_all_calls_share_one_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[asyncio.AbstractEventLoop] = []
    new_event_loop = asyncio.new_event_loop

    def counted() -> asyncio.AbstractEventLoop:
        made.append(new_event_loop())
        return made[-1]

    monkeypatch.setattr(asyncio, "new_event_loop", counted)
    with running(tmp_path, model("one")) as (mai, _):
        mai.process_message("hi")
        list(mai.stream("again"))
        mai.get_status()
    assert len(made) == 1
    assert made[0].is_closed()


def test_a_stream_ends_with_the_reply(tmp_path: Path) -> None:
    with running(tmp_path, model("one", reply="a b c")) as (mai, _):
        events = list(mai.stream("go"))
        assert isinstance(events[-1], TurnEnd)
        assert "".join(e.text for e in events if isinstance(e, TextDelta)) == events[-1].reply.text == "a b c"


def test_closing_a_stream_early_stops_the_model_and_keeps_the_text(tmp_path: Path) -> None:
    with running(tmp_path, model("one", **SLOW)) as (mai, _):
        with closing(cast("Any", mai.stream("go"))) as events:
            assert any(isinstance(event, TextDelta) for event in events)
        assert not any(m.leased for m in mai.get_status().loaded)
        stored = mai.get_conversation_history().messages
        assert stored[-1].stop is StopReason.CANCELLED
        assert stored[-1].content.startswith("word")


def test_ctrl_c_is_ctrl_c_and_the_text_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interrupt arrives while the main thread waits for the next event."""
    real, waits = sync.wait, 0

    def interrupted(futures: Any) -> Any:
        nonlocal waits
        waits += 1
        if waits == 12:
            raise KeyboardInterrupt
        return real(futures)

    with running(tmp_path, model("one", **SLOW)) as (mai, _):
        monkeypatch.setattr(sync, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(mai.stream("go"))
        assert mai.get_conversation_history().messages[-1].stop is StopReason.CANCELLED
        assert mai.process_message("still there?", conversation=mai.new_conversation()).text


def test_a_shutdown_ends_what_other_threads_wait_for(tmp_path: Path) -> None:
    mai = opened(tmp_path, model("one", **SLOW))
    outcomes: list[MaiError] = []
    began = threading.Event()

    def talk() -> None:
        try:
            for event in mai.stream("go"):
                if isinstance(event, TextDelta):
                    began.set()
        except MaiError as error:
            outcomes.append(error)

    talking = threading.Thread(target=talk, daemon=True)
    talking.start()
    assert began.wait(5)
    mai.shutdown()
    talking.join(5)
    assert not talking.is_alive()
    [error] = outcomes
    assert "shut down" in str(error)
    with running(tmp_path, model("one")) as (again, _):
        [asked, kept] = again.resume().messages
        assert (asked.content, kept.stop) == ("go", StopReason.CANCELLED)
        assert kept.content.startswith("word")


def test_a_shutdown_between_two_words_is_told_as_one_within_them(tmp_path: Path) -> None:
    mai = opened(tmp_path, model("one", **SLOW))
    answer = mai.stream("go")
    assert any(isinstance(event, TextDelta) for event in answer)
    mai.shutdown()
    with pytest.raises(MaiError, match="shut down in the middle"):
        next(answer)


def test_a_shutdown_during_a_load_leaves_nothing(tmp_path: Path) -> None:
    mai = opened(tmp_path, model("one", load_seconds=30.0))
    backend = cast("FakeBackend", mai._mai._parts.backends["fake"])
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(mai.process_message, "hi")
        until(lambda: ("load", "one") in backend.calls)
        mai.shutdown()
        with pytest.raises(MaiError, match="shut down"):
            asked.result(5)
    assert backend.machine.taken == {}
    assert ("generate", "one") not in backend.calls


def test_shutdown_twice_and_what_comes_after(tmp_path: Path) -> None:
    mai = opened(tmp_path, model("one"))
    events = mai.stream("go")
    next(events)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: mai.shutdown(), range(2)))
    assert not mai._thread.is_alive()
    cast("Any", events).close()
    with pytest.raises(RuntimeError, match="shut down"):
        mai.get_status()


def test_a_callback_cannot_wait_for_its_own_thread(tmp_path: Path) -> None:
    with running(tmp_path, model("one")) as (mai, _):

        async def inside() -> None:
            for call in (mai.get_status, mai.shutdown):
                with pytest.raises(RuntimeError, match="wait for itself"):
                    call()

        mai._wait(inside())
