"""The fakes break down where their script says, and nowhere else."""

from __future__ import annotations

import asyncio
import time

import pytest

from mai_core.errors import BackendUnavailable, GenerationError, ModelCrashed, ModelLoadError, ModelStalled, OutOfMemory
from mai_core.plugin.interfaces import ProbeContext
from mai_core.policy.messages import GenerationOptions, Message, ReplyEnd, Role, StopReason, TextDelta
from mai_core.policy.models import LoadedModel, LoadPlan
from mai_core.policy.resources import HostReading
from mai_core.testing import FakeBackend, FakeClock, FakeMachine, FakeModel, FakeProbe

GIB = 2**30
PLAN = LoadPlan(context=64)
ASKED = (Message(role=Role.USER, content="how are you today", id=1),)


async def load(backend: FakeBackend, key: str = "small", plan: LoadPlan = PLAN) -> LoadedModel:
    return await backend.load(backend.model(key).profile, plan)


async def words(backend: FakeBackend, instance: str, **options: float) -> list[str]:
    """What arrives until the reply ends or fails; the failure is named last."""
    arrived = []
    try:
        async for event in backend.generate(instance, ASKED, GenerationOptions(**options)):  # type: ignore[arg-type]
            arrived.append(event.text if not isinstance(event, ReplyEnd) else event.stop.value)  # noqa: PERF401 - what arrived before a failure counts
    except GenerationError as error:
        arrived.append(type(error).__name__)
    return arrived


class TestClock:
    async def test_sleepers_wake_in_order_when_time_passes(self) -> None:
        clock, woken = FakeClock(100.0), []

        async def sleeper(seconds: float) -> None:
            await clock.sleep(seconds)
            woken.append((seconds, clock()))

        tasks = [asyncio.ensure_future(sleeper(s)) for s in (3.0, 1.0, 2.0)]
        await asyncio.sleep(0)
        clock.advance(2.5)
        await asyncio.gather(tasks[1], tasks[2])
        assert [seconds for seconds, _ in woken] == [1.0, 2.0]
        assert clock() == 102.5
        clock.advance(1.0)
        await tasks[0]

    async def test_time_leaps_when_nobody_has_anything_to_do(self) -> None:
        clock = FakeClock(auto=True)
        started = time.monotonic()
        await asyncio.gather(clock.sleep(3600), clock.sleep(7200))
        assert clock() == 7200
        assert time.monotonic() - started < 1.0

    async def test_a_cancelled_sleeper_holds_up_nobody(self) -> None:
        clock = FakeClock(auto=True)
        sleeper = asyncio.ensure_future(clock.sleep(10))
        await asyncio.sleep(0)
        sleeper.cancel()
        await clock.sleep(20)
        assert clock() == 20


class TestBackend:
    async def test_memory_is_taken_and_given_back(self) -> None:
        machine = FakeMachine(total=3 * GIB)
        backend = FakeBackend.of(
            FakeModel.named("small", size_bytes=GIB), FakeModel.named("large", size_bytes=4 * GIB), machine=machine
        )
        loaded = await load(backend)
        assert machine.available == 2 * GIB
        assert loaded.footprint.total == GIB
        with pytest.raises(OutOfMemory):
            await load(backend, "large")
        assert machine.available == 2 * GIB
        await backend.unload(loaded.instance)
        assert machine.available == 3 * GIB
        assert backend.calls == [("load", "small"), ("load", "large"), ("unload", "small")]

    async def test_loading_takes_its_time_on_the_clock(self) -> None:
        clock = FakeClock(auto=True)
        model = FakeModel.named("small")
        model.load_seconds = 30.0
        await load(FakeBackend.of(model, clock=clock))
        assert clock() == 30.0

    async def test_loads_fail_as_often_as_scripted(self) -> None:
        machine, model = FakeMachine(), FakeModel.named("small")
        model.load_failures = [OutOfMemory("too large"), ModelLoadError("no")]
        backend = FakeBackend.of(model, machine=machine)
        for error in (OutOfMemory, ModelLoadError):
            with pytest.raises(error):
                await load(backend)
        assert machine.available == machine.total
        await load(backend)

    @pytest.mark.parametrize(
        ("script", "arrived"),
        [
            ({}, ["one", " two", " three", "stop"]),
            ({"failures": {1: GenerationError("no")}}, ["one", "GenerationError"]),
            ({"failures": {3: GenerationError("no")}}, ["one", " two", " three", "GenerationError"]),
            ({"silent_at": 0}, ["ModelStalled"]),
            ({"silent_at": 2}, ["one", " two", "ModelStalled"]),
            ({"crash_at": 1}, ["one", "ModelCrashed"]),
        ],
    )
    async def test_replies_break_where_scripted(self, script: dict[str, object], arrived: list[str]) -> None:
        model = FakeModel.named("small")
        model.reply = "one two three"
        for name, value in script.items():
            setattr(model, name, value)
        backend = FakeBackend.of(model, clock=FakeClock(auto=True))
        assert await words(backend, (await load(backend)).instance) == arrived

    async def test_silence_lasts_until_the_deadline(self) -> None:
        clock, model = FakeClock(auto=True), FakeModel.named("small")
        model.silent_at = 0
        backend = FakeBackend.of(model, clock=clock)
        loaded = await load(backend)
        assert await words(backend, loaded.instance, first_token_deadline=7.0) == [ModelStalled.__name__]
        assert clock() == 7.0

    async def test_a_crash_forgets_the_instance(self) -> None:
        backend = FakeBackend.of(FakeModel.named("small"))
        loaded = await load(backend)
        backend.crash(loaded.instance)
        assert await backend.loaded() == []
        assert await words(backend, loaded.instance) == [ModelCrashed.__name__]

    async def test_the_window_ends_a_reply(self) -> None:
        model = FakeModel.named("small")
        model.reply = "word " * 100
        backend = FakeBackend.of(model)
        arrived = await words(backend, (await load(backend, plan=LoadPlan(context=10))).instance)
        assert len(arrived) == 10 - 4 + 1
        assert arrived[-1] == StopReason.CONTEXT

    async def test_the_cache_serves_a_prompt_that_was_only_appended_to(self) -> None:
        backend = FakeBackend.of(FakeModel.named("small"))
        instance = (await load(backend)).instance
        first = [e async for e in backend.generate(instance, ASKED, GenerationOptions())]
        reply = Message(role=Role.ASSISTANT, content="".join(e.text for e in first if isinstance(e, TextDelta)), id=2)
        following = (*ASKED, reply, Message(role=Role.USER, content="and now", id=3))
        *_, end = [e async for e in backend.generate(instance, following, GenerationOptions())]
        assert isinstance(end, ReplyEnd)
        assert end.usage.cached_tokens == end.usage.prompt_tokens - 2

    async def test_the_reply_may_depend_on_the_messages(self) -> None:
        model = FakeModel.named("small")
        model.reply = lambda messages: messages[-1].content.upper()
        backend = FakeBackend.of(model)
        assert "".join(await words(backend, (await load(backend)).instance)) == "HOW ARE YOU TODAYstop"

    async def test_one_that_is_not_reached_does_nothing(self) -> None:
        backend = FakeBackend.of(FakeModel.named("small"))
        backend.available = False
        with pytest.raises(BackendUnavailable):
            await backend.models()


class TestProbe:
    def test_reads_the_machine_as_it_is(self) -> None:
        machine = FakeMachine(total=GIB, others=GIB // 4)
        probe = FakeProbe(ProbeContext(name="fake", options={"machine": machine}))
        machine.take("a model", GIB // 2)
        assert [(p.total, p.available) for p in probe.sample().pools] == [(GIB, GIB // 4)]

    def test_follows_its_script_and_repeats_the_end(self) -> None:
        probe = FakeProbe.scripted(HostReading(host="one"), RuntimeError("no"), 0.01, HostReading(host="last"))
        assert probe.sample().host == "one"
        with pytest.raises(RuntimeError, match="no"):
            probe.sample()
        assert probe.sample().host == "local"
        assert [probe.sample().host for _ in range(3)] == ["last"] * 3
