"""The pool against a faulty world, step by step in any order: what is in use stays, and its state never lies."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from mai_core.errors import BackendUnavailable, MaiError, ModelLoadError, OutOfMemory
from mai_core.plugin.interfaces import LoadProgress
from mai_core.policy.feasibility import Limits
from mai_core.policy.models import LoadedModel, LoadPlan, ModelProfile
from mai_core.policy.resources import Host, ResourceSnapshot
from mai_core.runtime import leaving
from mai_core.runtime.pool import Pool
from mai_core.runtime.slots import State
from mai_core.testing import FakeBackend, FakeModel
from mai_core.testing.clock import FakeClock
from mai_core.testing.machine import FakeMachine

T = TypeVar("T")

GIB = 2**30
SIZES = {"tiny": 1, "small": 2, "medium": 3, "large": 5}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's memory returns at once or not at all."""
    monkeypatch.setattr(leaving, "RETURN_SECONDS", 0.0)


FAULTS = (OutOfMemory, ModelLoadError, BackendUnavailable)


class Watched(FakeBackend):
    """A backend that may be told to hold up what it does, and that writes down what the pool must never do."""

    pool: Pool
    sins: list[str]
    held: Callable[[], set[str]]
    refuses_to_unload = False

    async def load(self, model: ModelProfile, plan: LoadPlan, *, progress: LoadProgress | None = None) -> LoadedModel:
        slot = next(s for s in self.pool.slots if s.model == model.key and s.state is State.LOADING)
        if not slot.leases and slot.footprint.ram > self.machine.available:
            self.sins.append(f"{model.key} was prepared beyond the memory there is")
        return await super().load(model, plan, progress=progress)

    async def unload(self, instance: str) -> None:
        if instance in self.held():
            self.sins.append(f"{instance} was unloaded while it was in use")
        if self.refuses_to_unload:
            raise BackendUnavailable("not now")
        await super().unload(instance)


class Caller:
    """Somebody who uses a model until told to let go."""

    def __init__(self, pool: Pool, model: ModelProfile, context: int) -> None:
        self.enough = asyncio.Event()
        self.holds: LoadedModel | None = None
        self.error: BaseException | None = None
        self.task = asyncio.ensure_future(self._use(pool, model, context))

    async def _use(self, pool: Pool, model: ModelProfile, context: int) -> None:
        try:
            async with pool.acquire(model, LoadPlan(context=context)) as instance:
                self.holds = instance
                await self.enough.wait()
        except MaiError as error:
            self.error = error
        finally:
            self.holds = None


class PoolMachine(RuleBasedStateMachine):
    """Two backends on one machine of 8 GiB, callers who come and go, and everything that can go wrong meanwhile."""

    callers: Bundle[Caller] = Bundle("callers")
    preloads: Bundle[asyncio.Task[None]] = Bundle("preloads")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.machine = FakeMachine(total=8 * GIB)
        self.users: list[Caller] = []
        self.everybody: list[asyncio.Task[None]] = []
        self.backends = {name: self._backend(name) for name in ("one", "two")}
        self.sins: list[str] = []
        self.pool = Pool(self.backends, snapshot=self._snapshot, limits=Limits(), idle_seconds=600.0, clock=self.clock)
        for backend in self.backends.values():
            backend.pool, backend.sins, backend.held = self.pool, self.sins, self.held
        self.models = [m for b in self.backends.values() for m in self.run(b.models())]

    def _backend(self, name: str) -> Watched:
        models = []
        for size, gib in SIZES.items():
            model = FakeModel.named(f"{name}-{size}", size_bytes=gib * GIB, backend=name)
            model.load_seconds = float(gib)
            models.append(model)
        return Watched.of(*models, machine=self.machine, clock=self.clock, name=name)

    async def _snapshot(self) -> ResourceSnapshot:
        reading = self.machine.reading()
        return ResourceSnapshot((Host(name=reading.host, pools=reading.pools),))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do this, and let everything that follows from it happen."""

        async def done() -> T:
            outcome = await work
            await self._settled()
            return outcome

        return self.loop.run_until_complete(done())

    async def _settled(self) -> None:
        for _ in range(60):
            await asyncio.sleep(0)

    def settle(self) -> None:
        self.loop.run_until_complete(self._settled())

    def held(self) -> set[str]:
        """The instances that callers hold now, as they see it."""
        return {caller.holds.instance for caller in self.users if caller.holds is not None}

    def script(self, model: ModelProfile) -> FakeModel:
        return self.backends[model.backend].model(model.key)

    @rule(target=callers, which=st.sampled_from([0, 0, 1, 1, 2, 3, 4, 7]), context=st.sampled_from([1024, 4096]))
    def use(self, which: int, context: int) -> Caller:
        async def begin() -> Caller:
            return Caller(self.pool, self.models[which], context)

        caller = self.run(begin())
        self.users.append(caller)
        self.everybody.append(caller.task)
        return caller

    @rule(caller=consumes(callers))
    def let_go(self, caller: Caller) -> None:
        caller.enough.set()
        self.settle()

    @rule(caller=consumes(callers))
    def give_up(self, caller: Caller) -> None:
        caller.task.cancel()
        self.settle()

    @rule(target=preloads, which=st.integers(0, 7), evict=st.booleans())
    def preload(self, which: int, evict: bool) -> asyncio.Task[None]:
        async def begin() -> asyncio.Task[None]:
            return asyncio.ensure_future(prepare())

        async def prepare() -> None:
            with contextlib.suppress(MaiError):
                await self.pool.preload(self.models[which], LoadPlan(context=2048), evict=evict)

        preload = self.run(begin())
        self.everybody.append(preload)
        return preload

    @rule(preload=consumes(preloads))
    def call_off(self, preload: asyncio.Task[None]) -> None:
        preload.cancel()
        self.settle()

    @rule(seconds=st.sampled_from([0.1, 5.0, 5.0, 5.0, 400.0, 7200.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.settle()

    @rule(gib=st.sampled_from([0, 0, 0, 2, 4, 8]))
    def others_take(self, gib: int) -> None:
        self.machine.others = gib * GIB

    @rule(which=st.integers(0, 7), kind=st.sampled_from(FAULTS))
    def the_next_load_fails(self, which: int, kind: type[Exception]) -> None:
        self.script(self.models[which]).load_failures.append(kind("planted"))  # type: ignore[arg-type]

    @rule(data=st.data())
    def something_crashes(self, data: st.DataObject) -> None:
        backend = self.backends[data.draw(st.sampled_from(["one", "two"]))]
        if there := sorted(backend._instances):
            backend.crash(data.draw(st.sampled_from(there)))
            self.settle()

    @rule(name=st.sampled_from(["one", "two"]), mood=st.sampled_from(["well", "well", "well", "gone", "stubborn"]))
    def an_engine_changes_its_mood(self, name: str, mood: str) -> None:
        self.backends[name].available, self.backends[name].refuses_to_unload = mood != "gone", mood == "stubborn"

    @rule(which=st.integers(0, 7))
    def unload(self, which: int) -> None:
        async def unload() -> None:
            with contextlib.suppress(MaiError):
                await self.pool.unload(self.models[which].key)

        self.run(unload())

    @rule()
    def reap(self) -> None:
        self.run(self.pool.reap())

    @rule()
    def relieve(self) -> None:
        self.run(self.pool.relieve("local"))

    @invariant()
    def nothing_forbidden_was_done(self) -> None:
        assert self.sins == []

    @invariant()
    def state_claims_only_what_is_so(self) -> None:
        if not all(b.available for b in self.backends.values()):
            return
        told = self.run(self.pool.loaded())
        there = {(b.name, i) for b in self.backends.values() for i in b._instances}
        assert {(m.backend, m.instance) for m in told} <= there
        leaving = {(s.backend, s.loaded.instance) for s in self.pool.slots if s.loaded and not s.usable}
        assert there <= {(m.backend, m.instance) for m in told} | leaving

    @invariant()
    def what_is_in_use_is_marked_so(self) -> None:
        if not all(b.available for b in self.backends.values()):
            return
        marked = {m.instance for m in self.run(self.pool.loaded()) if m.leased}
        assert marked == self.held() & {i for b in self.backends.values() for i in b._instances}

    @invariant()
    def nothing_is_kept_for_nobody(self) -> None:
        for slot in self.pool.slots:
            assert slot.leases or slot.wanted or not slot.in_flight, "a load that nobody wants"
            assert slot.leases or slot.listed, "a slot for what is gone"

    @invariant()
    def a_model_is_loaded_by_one_at_a_time(self) -> None:
        loading = Counter(s.model for s in self.pool.slots if s.in_flight)
        assert all(times == 1 for times in loading.values())

    def teardown(self) -> None:
        async def end() -> None:
            for backend in self.backends.values():
                backend.available, backend.refuses_to_unload = True, False
            for task in self.everybody:
                task.cancel()
            await asyncio.wait_for(self.pool.close(), 5.0)
            for backend in self.backends.values():
                await backend.close()
            await self._settled()
            assert all(task.done() for task in self.everybody)
            assert self.machine.taken == {}, "nothing is orphaned"
            assert not [t for t in asyncio.all_tasks() if t is not asyncio.current_task() and not t.done()]

        try:
            self.loop.run_until_complete(end())
        finally:
            self.loop.close()


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
