"""Several backends, some of them elsewhere, some of them gone: their models are chosen together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mai_core import AsyncMai, hookimpl
from mai_core.errors import BackendUnavailable, EngineAbsent, GenerationError, OutOfMemory
from mai_core.policy.messages import StopReason, ToolCall
from mai_core.policy.models import LoadedModel, ModelProfile
from mai_core.policy.selection import RejectionReason
from mai_core.runtime import catalog
from mai_core.runtime.status import ModelRow
from mai_core.runtime.turn import FellBack
from mai_core.testing.backend import FakeBackend
from mai_core.testing.machine import FakeMachine
from tests.core.runtime.worlds import events_of, model, running

GIB = 2**30


def backend(mai: AsyncMai, name: str) -> FakeBackend:
    found = mai._parts.backends[name]
    assert isinstance(found, FakeBackend)
    return found


async def row(mai: AsyncMai, name: str) -> ModelRow:
    return next(row for row in await mai.models() if row.model == name)


async def test_a_model_of_two_backends_is_shown_once_and_pinned_as_one(tmp_path: Path) -> None:
    two = {"models": [model("m"), model("best", 0.9)]}
    async with running(tmp_path, model("m"), others={"two": two}) as (mai, one, _):
        rows = await mai.models()
        assert [r.model for r in rows] == ["m", "best"]
        assert [(p.profile.key, p.profile.backend) for p in rows[0].placements] == [("m", "fake"), ("two/m", "two")]
        await mai.switch("m")
        assert (await mai.process_message("hello")).message.model == "m"
        assert [r.pinned for r in await mai.models()] == [True, False]
        one.available = False
        events = await events_of(mai, "still there?")
        assert events[-1].reply.message.model == "two/m"  # type: ignore[union-attr]
        assert ("generate", "m") in backend(mai, "two").calls, "its own backend knows it by its own key"


async def test_one_placement_can_be_pinned(tmp_path: Path) -> None:
    async with running(tmp_path, model("m"), others={"two": {"models": [model("m")]}}) as (mai, one, _):
        for key, used in (("two/m", "two"), ("fake/m", "fake")):
            assert await mai.switch(key) == key
            for question in ("one?", "two?"):
                await mai.process_message(question)
            assert [c for c in backend(mai, used).calls if c[0] != "unload"] == [
                ("load", "m"),
                ("generate", "m"),
                ("generate", "m"),
            ], "and its instance is found again"
        assert (await row(mai, "m")).loaded is not None
        assert one.calls


async def test_what_is_pinned_is_said_of_each_placement(tmp_path: Path) -> None:
    async with running(tmp_path, model("m"), others={"two": {"models": [model("m")]}}) as (mai, _, _):
        for key, pinned in (
            ("m", [True, True]),
            ("two/m", [False, True]),
            ("fake/m", [True, False]),
            (None, [False] * 2),
        ):
            await mai.switch(key)
            found = await row(mai, "m")
            assert [p.pinned for p in found.placements] == pinned
            assert found.pinned == any(pinned)


async def test_a_pinned_model_whose_engine_is_down_is_remembered_to_be_on_it(tmp_path: Path) -> None:
    others = {"two": {"models": [model("best", 0.9)]}}
    async with running(tmp_path, model("spare"), others=others) as (mai, _, _):
        await mai.switch("best")
    async with running(tmp_path, model("spare"), others=others) as (mai, _, _):
        backend(mai, "two").available = False
        reply = await mai.process_message("hello")
        assert reply.message.model == "spare"
        [lost] = reply.decision.rejections
        assert (lost.key, lost.backend, "two" in lost.message) == ("best", "two", True)
        await mai.switch("spare")
    async with running(tmp_path, model("spare"), others=others) as (mai, _, _):
        assert mai.store.pinned_on("spare") == ("fake",)
        assert mai.store.pinned_on("best") == ()


async def test_a_backend_that_is_gone_is_left_alone_until_it_is_back(tmp_path: Path) -> None:
    others = {"two": {"models": [model("best", 0.9)]}}
    async with running(tmp_path, model("spare", 0.3), others=others) as (mai, _, _):
        assert (await mai.process_message("one?")).message.model == "best"
        best = backend(mai, "two")
        best.available = False
        events = await events_of(mai, "two?")
        assert [(e.key, e.next) for e in events if isinstance(e, FellBack)] == [("best", "spare")]
        calls = len(best.calls)
        events = await events_of(mai, "three?")
        assert not [e for e in events if isinstance(e, FellBack)], "it is not tried again"
        assert len(best.calls) == calls
        rejection = (await row(mai, "best")).best.rejection
        assert rejection is not None
        assert rejection.reason is RejectionReason.UNAVAILABLE
        assert "does not answer" in rejection.message
        best.available = True
        await mai._parts.catalog.refresh()
        await mai.switch("best")
        assert (await mai.process_message("four?")).message.model == "best", "and its health did not suffer"


class Dead(FakeBackend):
    """Accepts every call and answers none."""

    async def models(self) -> Sequence[ModelProfile]:
        await asyncio.sleep(3600)
        return []

    async def loaded(self) -> Sequence[LoadedModel]:
        await asyncio.sleep(3600)
        return []


class Absent(FakeBackend):
    note = "mai can start it"

    async def models(self) -> Sequence[ModelProfile]:
        raise EngineAbsent("not installed")


class Plugin:
    def __init__(self, kind: str, cls: type[FakeBackend]) -> None:
        self._class = type(kind, (cls,), {"kind": kind})

    @hookimpl
    def mai_register_backends(self) -> Sequence[type[Any]]:
        return [self._class]


@pytest.fixture
def only_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(catalog, "LISTING_SECONDS", 60.0)


@pytest.mark.usefixtures("only_backend")
async def test_a_dead_backend_slows_no_turn(tmp_path: Path) -> None:
    dead = Plugin("dead", Dead)
    async with running(tmp_path, model("m"), plugins=[dead], others={"dead": {"type": "dead"}}) as (mai, one, _):
        started = time.monotonic()
        for _ in range(3):
            await mai.process_message("hello")
        assert time.monotonic() - started < 15.0
        assert one.calls.count(("load", "m")) == 1


async def test_an_engine_that_is_not_there_is_no_fault(tmp_path: Path) -> None:
    absent = Plugin("absent", Absent)
    async with running(tmp_path, model("m"), plugins=[absent], others={"absent": {"type": "absent"}}) as (mai, _, _):
        status = (await mai.get_status()).backends[-1]
        assert (status.absent, status.error, status.note) == (True, "not installed", "mai can start it")


async def test_what_may_not_leave_the_machine_does_not(tmp_path: Path) -> None:
    others = {"cloud": {"models": [model("best", 0.99)], "host": "example.org", "remote": True}}
    async with running(tmp_path, model("m", 0.2), others=others, privacy="local-only") as (mai, one, _):
        assert (await mai.process_message("hello")).message.model == "m"
        await mai.switch("best")
        assert (await mai.process_message("hello")).message.model == "m", "not even when it is asked for by name"
        one.available = False
        with pytest.raises(BackendUnavailable):
            await mai.process_message("hello")
        assert not backend(mai, "cloud").calls
    async with running(tmp_path, model("m", 0.2), others=others) as (mai, _, _):
        assert (await mai.process_message("hello")).decision.candidates[-1].is_remote
        assert backend(mai, "cloud").calls


@pytest.mark.parametrize("known", [True, False])
async def test_a_remote_model_is_judged_by_its_own_hosts_memory(tmp_path: Path, known: bool) -> None:
    here, there = FakeMachine(total=4 * GIB), FakeMachine(total=64 * GIB, name="box")
    others = {"box": {"models": [model("big", size_bytes=30 * GIB)], "host": "box", "remote": True, "machine": there}}
    machines = [there] if known else []
    async with running(tmp_path, model("m"), machine=here, machines=machines, others=others) as (mai, _, _):
        assert (await row(mai, "big")).best.candidate is not None, "there is room for it there, and none here"
        there.others = 60 * GIB
        big = (await row(mai, "big")).best
        if known:
            assert big.rejection is not None
            assert "on box" in big.rejection.message
        else:
            assert big.candidate is not None, "its server will say"


async def test_calls_of_tools_are_part_of_the_reply(tmp_path: Path) -> None:
    call = ToolCall(id="1", name="weather", arguments='{"city": "Paris"}')

    class Calling(FakeBackend):
        async def generate(self, instance, messages, options):  # type: ignore[no-untyped-def]
            async for event in super().generate(instance, messages, options):
                yield call if not hasattr(event, "usage") else type(event)(StopReason.TOOLS, event.usage)

    plugin = Plugin("calling", Calling)
    others = {"calling": {"type": "calling", "models": [model("m", reply="call")]}}
    async with running(tmp_path, plugins=[plugin], others=others) as (mai, _, _):
        events = await events_of(mai, "Will it rain?")
        assert call in events
        assert (await mai.get_conversation_history()).messages[-1].tool_calls == (call,)


async def test_a_backend_full_of_models_that_is_gone_leaves_room_for_the_others(tmp_path: Path) -> None:
    many = {"two": {"models": [model(f"m{n}", 0.9) for n in range(9)]}}
    async with running(tmp_path, model("spare", 0.1), others=many) as (mai, _, _):
        await mai.models()
        backend(mai, "two").available = False
        assert (await mai.process_message("hello")).message.model == "spare"


@pytest.mark.parametrize(("owned", "tries"), [(True, 4), (False, 1)])
async def test_the_window_of_a_borrowed_model_is_not_made_smaller(tmp_path: Path, owned: bool, tries: int) -> None:
    class Serving(FakeBackend):
        async def load(self, model, plan, *, progress=None):  # type: ignore[no-untyped-def]
            return replace(await super().load(model, plan, progress=progress), owned=owned)

    plugin = Plugin("serving", Serving)
    full = model("full", 0.9, failures={0: OutOfMemory("the GPU is full")})
    others = {"server": {"type": "serving", "models": [full]}}
    async with running(tmp_path, model("spare", 0.1), plugins=[plugin], others=others) as (mai, _, _):
        assert (await mai.process_message("hello")).message.model == "spare"
        assert backend(mai, "server").calls.count(("generate", "full")) == tries


@pytest.mark.parametrize("remote", [False, True])
async def test_the_same_model_elsewhere_goes_on_before_others_do(tmp_path: Path, remote: bool) -> None:
    """Though others rank higher; but not where that alone would leave the machine."""
    broken = model("m", 0.5, reply="one two three", failures={1: GenerationError("a defect")})
    twin = {"models": [model("m", 0.5, reply=" and on")], "remote": remote, "host": "box" if remote else "local"}
    rivals = [model("rival", 0.98), model("other", 0.97)]
    others = {"two": {"models": rivals}, "twin": twin}
    async with running(tmp_path, broken, others=others) as (mai, one, _):
        await mai.switch("fake/m")
        reply = await mai.process_message("count")
        assert reply.message.model == ("rival" if remote else "twin/m")
        assert reply.message.content.startswith("one")
        assert one.calls.count(("generate", "m")) == 1
