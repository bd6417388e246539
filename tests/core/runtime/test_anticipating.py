"""The next model is ready before it is asked: loaded beside the one in use, with the conversation read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from mai_core.policy.messages import Message
from mai_core.policy.resources import Battery, HostReading
from mai_core.runtime.mai import AsyncMai
from mai_core.runtime.turn import Loading
from mai_core.testing.backend import FakeBackend, FakeModel
from mai_core.testing.machine import FakeMachine
from tests.core.runtime.worlds import model, running

GIB = 2**30
CODE = "Write a Python function that parses a CSV file and returns a list of dicts, with tests."


def coder(**script: object) -> FakeModel:
    made = model("coder", **script)
    made.profile = replace(made.profile, quality={"default": 0.2, "code": 0.95})
    return made


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def quiet(mai: AsyncMai) -> None:
    """Until nothing is being prepared."""
    async with asyncio.timeout(5):
        while mai.manager.preparing or mai._background:
            await asyncio.sleep(0.01)


def calls(backend: FakeBackend, what: str) -> list[str]:
    return [key for done, key in backend.calls if done == what]


async def test_what_is_typed_loads_the_model_for_it_and_lets_it_read(tmp_path: Path) -> None:
    async with running(tmp_path, model("talker", 0.6), coder()) as (mai, backend, _):
        await mai.prepare()
        assert (await mai.process_message("Hello there, how are you?")).message.model == "talker"
        await quiet(mai)
        assert calls(backend, "load") == ["talker"]
        await mai.prepare(CODE)
        await until(lambda: "coder" in calls(backend, "load"))
        await quiet(mai)
        assert calls(backend, "generate")[-1] == "coder", "it has read the conversation"
        assert len((await mai.get_conversation_history()).messages) == 2, "and said nothing"
        events = [event async for event in mai.stream(CODE)]
        assert not [e for e in events if isinstance(e, Loading)]
        assert events[-1].reply.message.model == "coder"  # type: ignore[union-attr]
        assert events[-1].reply.usage.cached_tokens > 0  # type: ignore[union-attr]


async def test_nothing_in_use_is_pushed_out_for_a_guess(tmp_path: Path) -> None:
    machine = FakeMachine(total=4 * GIB)
    talker, other = model("talker", 0.6, size_bytes=2 * GIB), coder(size_bytes=2 * GIB)
    async with running(tmp_path, talker, other, machine=machine) as (mai, backend, _):
        await mai.process_message("Hello there, how are you?")
        await mai.prepare(CODE)
        await quiet(mai)
        assert calls(backend, "load") == ["talker"]
        assert calls(backend, "unload") == []


async def test_a_guess_that_was_wrong_is_called_off(tmp_path: Path) -> None:
    async with running(tmp_path, model("talker", 0.6), coder(load_seconds=600.0)) as (mai, backend, _):
        await mai.process_message("Hello there, how are you?")
        await mai.prepare(CODE)
        await until(lambda: "coder" in calls(backend, "load"))
        async with asyncio.timeout(5):
            reply = await mai.process_message("Thanks, and how is the weather?")
        assert reply.message.model == "talker"
        assert mai.manager.preparing is None
        assert len(backend.machine.taken) == 1, "the memory it took is free again"


async def test_a_turn_takes_over_the_load_that_was_begun_for_it(tmp_path: Path) -> None:
    async with running(tmp_path, model("talker", 0.6), coder(load_seconds=0.5)) as (mai, backend, _):
        await mai.process_message("Hello there, how are you?")
        await mai.prepare(CODE)
        await until(lambda: "coder" in calls(backend, "load"))
        assert (await mai.process_message(CODE)).message.model == "coder"
        assert calls(backend, "load") == ["talker", "coder"]


async def test_nothing_is_prepared_on_battery_unless_wanted(tmp_path: Path) -> None:
    class Laptop(FakeMachine):
        def reading(self) -> HostReading:
            return replace(super().reading(), battery=Battery(0.5, plugged=False))

    for on_battery in (False, True):
        machine, folder = Laptop(), tmp_path / str(on_battery)
        settings = {"preload": {"on_battery": on_battery}}
        async with running(folder, model("one"), machine=machine, **settings) as (mai, backend, _):
            await mai.prepare()
            await quiet(mai)
            assert calls(backend, "load") == ["one"] * on_battery


async def test_preparing_can_be_turned_off(tmp_path: Path) -> None:
    async with running(tmp_path, model("one"), preload={"enabled": False}) as (mai, backend, _):
        await mai.prepare()
        await quiet(mai)
        assert backend.calls == []


async def test_the_model_that_answered_condenses_what_is_old_while_nothing_else_is_to_do(tmp_path: Path) -> None:
    def answer(messages: Sequence[Message]) -> str:
        asked = messages[-1].content
        return "They spoke of a lighthouse, a keeper called Ada and her boat." if "ummar" in asked else "I see. " * 20

    said = [f"Story {i}: Ada keeps the lighthouse number {i}, " + "and the sea is wide " * 40 for i in range(8)]
    window = {"context": {"window": 2048, "reserve": 256}}
    async with running(tmp_path, model("talker", 0.6, reply=answer), **window) as (mai, backend, _):
        await mai.prepare()
        for text in said:
            await mai.process_message(text)
            await quiet(mai)
        assert len(calls(backend, "generate")) > len(said), "it wrote a summary besides"
        state = mai.store.context_state(mai.conversation or "")
        assert state is not None
        assert "keeper called Ada" in repr(state)


async def test_memory_that_runs_short_between_turns_is_given_back_at_once(tmp_path: Path) -> None:
    machine = FakeMachine(total=8 * GIB)
    often = {"monitor": {"interval_seconds": 0.1}}
    async with running(tmp_path, model("talker", 0.6), coder(), machine=machine, **often) as (mai, backend, _):
        await mai.prepare()
        await mai.process_message("Hello there, how are you?")
        await mai.prepare(CODE)
        await until(lambda: len(backend.machine.taken) == 2)
        await quiet(mai)
        machine.others = 6 * GIB
        await until(lambda: calls(backend, "unload") == ["coder"])
        assert (await mai.process_message("Thanks, and how is the weather?")).text
