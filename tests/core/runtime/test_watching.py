"""What is done when a machine changes, with a whole Mai behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from mai_core.errors import BackendUnavailable
from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import KvType, LoadPlan
from mai_core.policy.resources import Host, MemoryPool, PoolKind, ResourceSnapshot
from mai_core.policy.triggers import WatchRules
from mai_core.runtime.watching import Watching, give_way
from mai_core.testing.machine import FakeMachine
from tests.core.runtime.worlds import model, running

GIB = 2**30
RULES = WatchRules()


class World:
    """A machine read by hand, and what was asked for."""

    def __init__(self, *, gives_way: bool = True, error: Exception | None = None) -> None:
        self.asked: list[str] = []
        self.available, self.now = 8 * GIB, 0.0
        self._gives_way, self._error = gives_way, error
        self.watching = Watching(
            latest=self.latest,
            interval=0.001,
            rules=RULES,
            relieve=self.relieve,
            give_way=self.give_way,
            prepare=self.prepare,
        )

    def latest(self) -> ResourceSnapshot:
        pool = MemoryPool("ram", PoolKind.RAM, 16 * GIB, self.available)
        return ResourceSnapshot((Host(pools=(pool,)),), self.now)

    async def relieve(self, host: str) -> None:
        self.asked.append(f"relieve {host}")
        if self._error is not None:
            raise self._error

    async def give_way(self, host: str) -> bool:
        self.asked.append(f"give way {host}")
        return self._gives_way

    async def prepare(self) -> None:
        self.asked.append("prepare")

    async def looks(self, *steps: tuple[float, int]) -> list[str]:
        for self.now, self.available in steps:
            await self.watching.look()
        return self.asked


SHORT, AMPLE = GIB // 8, 8 * GIB


async def test_trouble_frees_what_idles_then_what_is_in_use_and_calm_prepares_again() -> None:
    world = World()
    assert await world.looks((0, AMPLE), (2, SHORT)) == ["relieve local"]
    assert await world.looks((12, SHORT)) == ["relieve local", "give way local", "prepare"]
    world.asked.clear()
    assert await world.looks((14, AMPLE), (311, AMPLE)) == []
    assert set(await world.looks((312, AMPLE), (320, AMPLE))) == {"prepare"}


async def test_nothing_is_prepared_where_nothing_gave_way() -> None:
    world = World(gives_way=False)
    assert await world.looks((0, SHORT), (10, SHORT)) == ["relieve local", "give way local"]


async def test_what_cannot_be_done_is_logged_and_the_watch_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    world = World(error=BackendUnavailable("gone"))
    await world.looks((0, SHORT), (10, SHORT))
    assert world.asked == ["relieve local", "give way local", "prepare"]
    assert any(getattr(record, "reason", "") == "gone" for record in caplog.records)


async def test_it_looks_by_itself_until_it_is_closed() -> None:
    world = World()
    world.available = SHORT
    world.watching.start()
    world.watching.start()
    async with asyncio.timeout(5):
        while not world.asked:
            await asyncio.sleep(0.001)
    await world.watching.close()
    await world.watching.close()
    world.now = 1000.0
    await asyncio.sleep(0.02)
    assert world.asked == ["relieve local"]


async def give_way_of(mai: object, host: str = "local") -> bool:
    manager = mai.manager  # type: ignore[attr-defined]
    return await give_way(
        host, decider=manager._decider, pool=manager._pool, current=manager.current, pinned=manager.pinned
    )


def keys(loaded: Sequence[object]) -> set[str]:
    return {m.key for m in loaded}  # type: ignore[attr-defined]


async def test_a_model_that_no_longer_fits_gives_way_and_one_that_does_stays(tmp_path: Path) -> None:
    machine = FakeMachine(total=12 * GIB)
    large, small = model("large", 0.9, size_bytes=2 * GIB), model("small", 0.3, size_bytes=GIB // 4)
    async with running(tmp_path, large, small, machine=machine) as (mai, backend, _):
        assert (await mai.process_message("hi")).message.model == "large"
        assert not await give_way_of(mai)
        machine.others = machine.total - sum(machine.taken.values()) - 100 * 2**20
        await asyncio.to_thread(mai._parts.monitor.refresh)
        assert mai._parts.monitor.latest().calm_seconds == 0.0
        assert await give_way_of(mai)
        assert "large" not in keys(await backend.loaded())
        assert not await give_way_of(mai), "nothing is left to free"


async def test_of_two_in_memory_the_one_that_answers_now_stays(tmp_path: Path) -> None:
    machine = FakeMachine(total=12 * GIB)
    large, small = model("large", 0.9, size_bytes=2 * GIB), model("small", 0.3, size_bytes=GIB // 4)
    async with running(tmp_path, large, small, machine=machine) as (mai, backend, _):
        await mai.switch("small", here_only=True)
        await mai.process_message("hi")
        await mai.switch(None)
        mai.manager.current = None
        assert (await mai.process_message("hi")).message.model == "large"
        assert keys(await backend.loaded()) == {"large", "small"}
        machine.others = machine.total - sum(machine.taken.values())
        await asyncio.to_thread(mai._parts.monitor.refresh)
        situation = await mai.manager._decider.situation(TaskFeatures(), current="large", pinned=None)
        decision = await mai.manager._decider.decide(situation)
        assert (decision.choice, [c.key for c in decision.candidates]) == ("small", ["small"])
        assert await give_way_of(mai)
        assert keys(await backend.loaded()) == {"small"}


async def test_what_was_loaded_lower_down_is_loaded_anew_when_there_is_room_and_nobody_uses_it(tmp_path: Path) -> None:
    """A quantised cache, and all the memory that was missing: the same model, with the cache it should have."""
    low = LoadPlan(context=8192, kv_type=KvType.Q8_0)
    async with running(tmp_path, model("m", 0.9), machine=FakeMachine(total=16 * GIB)) as (mai, backend, _):
        profile = (await mai.models())[0].best.profile
        assert await mai.manager._pool.preload(profile, low)
        assert (await mai.process_message("hi")).message.model == "m"
        assert [m.plan for m in await backend.loaded()] == [low], "no turn waits for it"
        assert (await mai.get_status()).rungs == {"m": "quantised cache (q8_0): 8,192 tokens, memory is short"}
        await mai.prepare()
        async with asyncio.timeout(5):
            while [m.plan.kv_type for m in await backend.loaded()] != [KvType.F16]:
                await asyncio.sleep(0.01)
        assert (await mai.get_status()).rungs == {}
        loads = backend.calls.count(("load", "m"))
        assert (await mai.process_message("again")).message.model == "m"
        assert backend.calls.count(("load", "m")) == loads == 2
