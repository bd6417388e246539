"""Models in memory: shared loads, leases that hold, and nobody who suffers for another's cancelled load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from mai_core.errors import BackendUnavailable, ModelLoadError, OutOfMemory, UnloadFailed
from mai_core.plugin.interfaces import LoadProgress
from mai_core.policy.feasibility import Limits
from mai_core.policy.models import Footprint, LoadedModel, LoadPlan, ModelProfile
from mai_core.policy.resources import Host, ResourceSnapshot
from mai_core.runtime import leaving
from mai_core.runtime import pool as pools
from mai_core.runtime.evicting import NoRoom
from mai_core.runtime.pool import LoadRecord, Pool
from mai_core.runtime.slots import State
from mai_core.testing import FakeBackend, FakeModel
from mai_core.testing.machine import FakeMachine

GIB = 2**30
PLAN = LoadPlan(context=4096)


def script(key: str, weights: int = GIB, **how: object) -> FakeModel:
    """A model that takes its weights, and is predicted to take more."""
    made = FakeModel.named(key, size_bytes=weights)
    for name, value in how.items():
        setattr(made, name, value)
    return made


def pool_of(
    *backends: FakeBackend,
    machine: FakeMachine | None = None,
    on_load: Callable[[LoadRecord], None] = lambda record: None,
    before_snapshot: Callable[[], Awaitable[None]] | None = None,
    idle_seconds: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
    own: Callable[[ModelProfile], ModelProfile] = lambda model: model,
    known_as: Callable[[LoadedModel], LoadedModel] = lambda loaded: loaded,
) -> Pool:
    machine = machine or FakeMachine()

    async def snapshot() -> ResourceSnapshot:
        if before_snapshot is not None:
            await before_snapshot()
        reading = machine.reading()
        return ResourceSnapshot((Host(name=reading.host, pools=reading.pools),))

    return Pool(
        {b.name: b for b in backends},
        snapshot=snapshot,
        limits=Limits(),
        on_load=on_load,
        idle_seconds=idle_seconds,
        clock=clock,
        own=own,
        known_as=known_as,
    )


async def use(pool: Pool, model: ModelProfile, plan: LoadPlan = PLAN) -> str:
    async with pool.acquire(model, plan) as instance:
        assert instance.leased
        return instance.instance


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


def loads(backend: FakeBackend) -> list[str]:
    return [key for what, key in backend.calls if what == "load"]


async def test_callers_share_one_load_and_the_instance_stays() -> None:
    backend = FakeBackend.of(script("a", load_seconds=0.02))
    records: list[LoadRecord] = []
    pool = pool_of(backend, on_load=records.append)
    [model] = await backend.models()
    used = await asyncio.gather(*(use(pool, model) for _ in range(5)))
    assert len(set(used)) == 1
    assert await use(pool, model) == used[0]
    assert loads(backend) == ["a"]
    assert [(r.key, r.context, r.observed) for r in records] == [("a", 4096, Footprint(GIB))]
    assert records[0].seconds >= 0.02
    assert not any(m.leased for m in await pool.loaded())


async def test_everybody_hears_of_the_progress_of_a_shared_load() -> None:
    backend = FakeBackend.of(script("a", load_seconds=0.02))
    pool = pool_of(backend)
    [model] = await backend.models()
    heard: dict[str, list[float]] = {"first": [], "second": []}

    async def one(name: str) -> None:
        async with pool.acquire(model, PLAN, progress=heard[name].append):
            pass

    await asyncio.gather(one("first"), one("second"))
    assert heard["first"][-1] == heard["second"][-1] == 1.0


async def test_a_roomier_plan_replaces_the_smaller_instance() -> None:
    backend = FakeBackend.of(script("a"))
    pool = pool_of(backend)
    [model] = await backend.models()
    await use(pool, model)
    await use(pool, model, replace(PLAN, context=2048))
    assert loads(backend) == ["a"], "a larger window serves a smaller plan"
    await use(pool, model, replace(PLAN, context=8192))
    assert [m.plan.context for m in await pool.loaded()] == [8192]


async def test_room_is_made_by_the_least_recently_used() -> None:
    machine = FakeMachine(total=8 * GIB)
    backend = FakeBackend.of(*(script(k, 2 * GIB) for k in "abc"), machine=machine)
    pool = pool_of(backend, machine=machine)
    a, b, c = await backend.models()
    for model in (a, b, a):
        await use(pool, model)
    await use(pool, c)
    assert {m.key for m in await pool.loaded()} == {"a", "c"}


async def test_what_is_leased_while_room_is_made_is_not_unloaded() -> None:
    """The instance is idle when it is listed, and leased by the time its turn to go has come."""
    machine = FakeMachine(total=4 * GIB)
    backend = FakeBackend.of(script("old", 2 * GIB), script("new", 2 * GIB, size=GIB), machine=machine)
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        asked.set()
        await go_on.wait()

    pool = pool_of(backend, machine=machine, before_snapshot=wait)
    old, new = await backend.models()
    await use(pool, old)
    loading = asyncio.create_task(use(pool, new))
    await asked.wait()
    async with pool.acquire(old, PLAN) as held:
        go_on.set()
        await loading
        assert ("unload", "old") not in backend.calls
        assert held.instance in {m.instance for m in await pool.loaded() if m.leased}


async def test_nobody_is_cancelled_for_the_load_somebody_else_gave_up() -> None:
    """Who comes while a load is being cancelled waits for its end and begins a new one."""
    ending, may_end = asyncio.Event(), asyncio.Event()

    class SlowToLeave(FakeBackend):
        async def load(
            self, model: ModelProfile, plan: LoadPlan, *, progress: LoadProgress | None = None
        ) -> LoadedModel:
            try:
                return await super().load(model, plan, progress=progress)
            except asyncio.CancelledError:
                ending.set()
                await may_end.wait()
                raise

    backend = SlowToLeave.of(script("a", load_seconds=30.0))
    pool = pool_of(backend)
    [model] = await backend.models()
    impatient = asyncio.create_task(use(pool, model))
    await until(lambda: loads(backend) == ["a"])
    impatient.cancel()
    await ending.wait()
    patient = asyncio.create_task(use(pool, model))
    await asyncio.sleep(0.01)
    backend.model("a").load_seconds = 0.0
    may_end.set()
    async with asyncio.timeout(5):
        assert await patient
    assert impatient.cancelled()
    assert loads(backend) == ["a", "a"]


async def test_a_shared_load_outlives_one_of_its_waiters_but_not_the_last() -> None:
    backend = FakeBackend.of(script("a", load_seconds=0.05))
    pool = pool_of(backend)
    [model] = await backend.models()
    waiters = [asyncio.create_task(use(pool, model)) for _ in range(2)]
    await until(lambda: loads(backend) == ["a"])
    waiters[0].cancel()
    assert await waiters[1]
    assert await pool.unload("a") == 1
    backend.model("a").load_seconds = 30.0
    lonely = asyncio.create_task(use(pool, model))
    await until(lambda: len(loads(backend)) == 2)
    lonely.cancel()
    await asyncio.gather(lonely, return_exceptions=True)
    assert await pool.loaded() == ()
    assert backend.machine.taken == {}


async def test_a_backend_that_gives_less_context_is_not_asked_for_ever() -> None:
    class Stingy(FakeBackend):
        async def load(
            self, model: ModelProfile, plan: LoadPlan, *, progress: LoadProgress | None = None
        ) -> LoadedModel:
            return await super().load(model, replace(plan, context=1024), progress=progress)

    backend = Stingy.of(script("a"))
    pool = pool_of(backend)
    [model] = await backend.models()
    async with asyncio.timeout(5), pool.acquire(model, PLAN) as instance:
        assert instance.plan.context == 1024
    assert loads(backend) == ["a"]


async def test_out_of_memory_frees_what_is_idle_and_says_so() -> None:
    machine = FakeMachine(total=16 * GIB)
    backend = FakeBackend.of(script("idle"), script("big", load_failures=[OutOfMemory("no")]), machine=machine)
    pool = pool_of(backend, machine=machine)
    idle, big = await backend.models()
    await use(pool, idle)
    with pytest.raises(OutOfMemory):
        await use(pool, big)
    assert await pool.loaded() == ()


async def test_a_leased_model_is_neither_unloaded_nor_counted() -> None:
    backend = FakeBackend.of(script("a"))
    pool = pool_of(backend)
    [model] = await backend.models()
    async with AsyncExitStack() as leases:
        for _ in range(2):
            await leases.enter_async_context(pool.acquire(model, PLAN))
        assert await pool.unload("a") == 0
    assert await pool.unload("a") == 1


async def test_another_backends_failure_to_unload_is_not_this_models() -> None:
    class Stuck(FakeBackend):
        async def unload(self, instance: str) -> None:
            raise BackendUnavailable("gone for lunch")

    machine = FakeMachine(total=4 * GIB)
    stuck = Stuck.of(script("old", 2 * GIB), machine=machine, name="stuck")
    fine = FakeBackend.of(script("new", 2 * GIB, size=GIB), machine=machine, name="fine")
    pool = pool_of(stuck, fine, machine=machine)
    [old], [new] = await stuck.models(), await fine.models()
    await use(pool, old)
    assert await use(pool, new)
    with pytest.raises(BackendUnavailable):
        await pool.unload("old")


@pytest.mark.parametrize("manner", ["raises", "hangs"])
async def test_a_backend_that_cannot_list_what_it_has_hides_nobody_elses(
    manner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mai_core.runtime.residents.PATIENCE_SECONDS", 0.05)

    class Broken(FakeBackend):
        async def loaded(self) -> Sequence[LoadedModel]:
            if manner == "hangs":
                await asyncio.sleep(60)
            raise KeyError("defect")

    backend = FakeBackend.of(script("a"))
    pool = pool_of(backend, Broken.of(name="broken"))
    [model] = await backend.models()
    await use(pool, model)
    assert [m.key for m in await pool.loaded()] == ["a"]
    await pool.close()


async def test_an_unknown_backend_is_unavailable() -> None:
    backend = FakeBackend.of(script("a"))
    [model] = await backend.models()
    with pytest.raises(BackendUnavailable, match="which is off"):
        await use(pool_of(), model)


async def test_closing_ends_a_load_that_has_not_even_begun() -> None:
    backend = FakeBackend.of(script("a"))
    pool = pool_of(backend)
    [model] = await backend.models()
    waiting = asyncio.create_task(use(pool, model))
    await until(lambda: bool(pool.promised))
    await pool.close()
    await asyncio.gather(waiting, return_exceptions=True)
    assert pool.promised == ()
    async with asyncio.timeout(5):
        assert await use(pool, model)


async def test_nothing_is_loaded_twice_by_a_backend_that_cannot_say_what_it_has() -> None:
    class Busy(FakeBackend):
        busy = False

        async def loaded(self) -> Sequence[LoadedModel]:
            if self.busy:
                raise BackendUnavailable("busy")
            return await super().loaded()

    backend = Busy.of(script("a"))
    assert isinstance(backend, Busy)
    pool = pool_of(backend)
    [model] = await backend.models()
    first = await use(pool, model)
    backend.busy = True
    with pytest.raises(BackendUnavailable):
        await use(pool, model)
    backend.busy = False
    assert await use(pool, model) == first
    assert backend.calls == [("load", "a")]


async def test_instances_of_one_name_on_two_backends_are_two() -> None:
    one, two = (FakeBackend.of(script("m"), name=name) for name in ("one", "two"))
    pool = pool_of(
        one,
        two,
        own=lambda m: replace(m, key="m"),
        known_as=lambda m: replace(m, key="two/m") if m.backend == "two" else m,
    )
    [here], [there] = await one.models(), await two.models()
    there = replace(there, key="two/m")
    assert await use(pool, here) == await use(pool, there)
    async with pool.acquire(here, PLAN):
        assert {m.backend for m in await pool.loaded() if m.leased} == {"one"}
        assert await pool.unload("two/m") == 1, "what is idle on the other backend goes"
        assert {m.backend for m in await pool.loaded()} == {"one"}


async def test_room_is_made_by_the_least_worth_keeping_not_the_oldest() -> None:
    """What is dear to load again and was in use all day stays, though it was used less lately than another."""
    machine = FakeMachine(total=8 * GIB)
    names = {"dear": 0.3, "cheap": 0.0, "new": 0.0}
    backend = FakeBackend.of(
        *(script(key, 2 * GIB, load_seconds=seconds) for key, seconds in names.items()), machine=machine
    )
    pool = pool_of(backend, machine=machine)
    dear, cheap, new = await backend.models()
    for model in (dear, dear, dear, cheap, new):
        await use(pool, model)
    assert [key for what, key in backend.calls if what == "unload"] == ["cheap"]


async def test_preloading_takes_free_memory_only_unless_told_otherwise() -> None:
    machine = FakeMachine(total=4 * GIB)
    backend = FakeBackend.of(script("old", 2 * GIB), script("new", 2 * GIB, size=GIB), machine=machine)
    pool = pool_of(backend, machine=machine)
    old, new = await backend.models()
    assert await pool.preload(old, PLAN)
    assert [m.leased for m in await pool.loaded()] == [False]
    assert not await pool.preload(new, PLAN), "it would push another out"
    assert {m.key for m in await pool.loaded()} == {"old"}
    async with pool.acquire(old, PLAN):
        assert not await pool.preload(new, PLAN, evict=True), "what is in use stays"
    assert await pool.preload(new, PLAN, evict=True)
    assert {m.key for m in await pool.loaded()} == {"new"}


async def test_a_turn_joins_a_preload_and_a_preload_that_is_called_off_leaves_it_to_the_turn() -> None:
    backend = FakeBackend.of(script("a", load_seconds=0.1))
    pool = pool_of(backend)
    [model] = await backend.models()
    preload = asyncio.create_task(pool.preload(model, PLAN))
    await until(lambda: any(slot.in_flight for slot in pool.slots))
    turn = asyncio.create_task(use(pool, model))
    await until(lambda: any(slot.leases for slot in pool.slots))
    preload.cancel()
    await asyncio.gather(preload, return_exceptions=True)
    assert await turn
    assert loads(backend) == ["a"]


async def test_a_preload_that_is_called_off_leaves_nothing() -> None:
    backend = FakeBackend.of(script("a", load_seconds=30.0))
    pool = pool_of(backend)
    [model] = await backend.models()
    preload = asyncio.create_task(pool.preload(model, PLAN))
    await until(lambda: bool(loads(backend)))
    preload.cancel()
    await asyncio.gather(preload, return_exceptions=True)
    assert pool.slots == ()
    assert await pool.loaded() == ()


async def test_what_is_idle_for_long_leaves_and_what_is_used_stays() -> None:
    now = 0.0
    backend = FakeBackend.of(script("idle"), script("used"))
    pool = pool_of(backend, idle_seconds=60.0, clock=lambda: now)
    idle, used = await backend.models()
    await use(pool, idle)
    async with pool.acquire(used, PLAN):
        now = 59.0
        assert await pool.reap() == 0
        now = 61.0
        assert await pool.reap() == 1
        assert {m.key for m in await pool.loaded()} == {"used"}
    now = 120.0
    assert await pool.reap() == 0, "it was in use until a minute ago"


async def test_a_model_that_does_not_leave_is_named_and_given_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging(FakeBackend):
        async def unload(self, instance: str) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(leaving, "UNLOAD_SECONDS", 0.05)
    backend = Hanging.of(script("a"), name="hung")
    pool = pool_of(backend)
    [model] = await backend.models()
    first = await use(pool, model)
    with pytest.raises(UnloadFailed, match=r"hung did not unload a .* still holds its memory"):
        await pool.unload("a")
    assert await pool.loaded() == ()
    assert [slot.state for slot in pool.slots] == [State.STUCK]
    assert await use(pool, model) != first
    backend.crash(first)
    await pool.loaded()
    assert [slot.state for slot in pool.slots] == [State.IDLE], "seen gone at last"


async def test_a_model_its_engine_refuses_to_unload_is_still_of_use() -> None:
    class Refusing(FakeBackend):
        async def unload(self, instance: str) -> None:
            raise BackendUnavailable("not now")

    backend = Refusing.of(script("a"))
    pool = pool_of(backend)
    [model] = await backend.models()
    first = await use(pool, model)
    with pytest.raises(BackendUnavailable):
        await pool.unload("a")
    assert await use(pool, model) == first


async def test_memory_that_does_not_return_is_told(caplog: pytest.LogCaptureFixture) -> None:
    class Leaking(FakeBackend):
        async def unload(self, instance: str) -> None:
            await super().unload(instance)
            self.machine.take("leak", GIB)

    machine = FakeMachine()
    pool = pool_of(backend := Leaking.of(script("a"), machine=machine), machine=machine)
    [model] = await backend.models()
    await use(pool, model)
    assert await pool.unload("a") == 1
    assert "memory did not return" in caplog.text


async def test_a_crash_is_noticed_and_the_model_loaded_anew() -> None:
    pool = pool_of(backend := FakeBackend.of(script("a")))
    [model] = await backend.models()
    async with pool.acquire(model, PLAN) as held:
        backend.crash(held.instance)
        assert await pool.loaded() == ()
        async with pool.acquire(model, PLAN) as again:
            assert again.instance != held.instance
    assert [m.instance for m in await pool.loaded()] == [again.instance]
    assert len(pool.slots) == 1


async def test_a_load_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "LONGEST_LOAD_SECONDS", 0.05)
    monkeypatch.setattr(pools, "SLOWEST_BYTES_PER_SECOND", 1e15)
    pool = pool_of(backend := FakeBackend.of(script("a", load_seconds=3600.0)))
    [model] = await backend.models()
    with pytest.raises(ModelLoadError, match="did not load a within"):
        await use(pool, model)
    assert pool.promised == ()
    assert backend.machine.taken == {}


async def test_what_is_optional_is_loaded_only_where_there_is_room_by_now() -> None:
    machine = FakeMachine()
    backend = FakeBackend.of(script("old"), script("new"), machine=machine)
    pool = pool_of(backend, machine=machine)
    old, new = await backend.models()

    async def optionally() -> str:
        async with pool.acquire(new, PLAN, optional=True) as instance:
            return instance.key

    async with pool.acquire(old, PLAN):
        machine.others = machine.total - 2 * GIB
        with pytest.raises(NoRoom, match="no room for new now"):
            await optionally()
        assert loads(backend) == ["old"]
        assert not pool.promised
        machine.others = 0
        assert await optionally() == "new"


async def test_who_needs_a_load_that_others_could_do_without_gets_it_all_the_same() -> None:
    machine = FakeMachine()
    backend = FakeBackend.of(script("a", load_seconds=0.02), machine=machine)
    pool = pool_of(backend, machine=machine)
    [model] = await backend.models()
    machine.others = machine.total - 2 * GIB

    async def optionally() -> None:
        async with pool.acquire(model, PLAN, optional=True):
            pass

    could, must = await asyncio.gather(optionally(), use(pool, model), return_exceptions=True)
    assert could is None or isinstance(could, NoRoom)
    assert isinstance(must, str), must
