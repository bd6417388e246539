"""The only owner of load, unload, preload and evict. Everything that changes what is in memory happens here.

A slot, which is a model in memory or on its way there, moves along these lines only (``slots.MOVES``):

                 acquire, preload            room made              loaded
      absent ───────────────────▶ reserved ───────────▶ loading ──────────▶ idle ◀───────▶ leased
         ▲                           │                   │   │               │    lease,      │
         │◀─────── given up ─────────┴────── failed ─────┘   │        evict, │    release     │
         │                                                   │        unload ▼                │
         │◀──────────────────── memory seen to return ───────┼──────────── leaving ──▶ idle   │
         │                                                   │               │     (refused)  │
         │◀────── seen gone ──────── stuck ◀── does not end ─┴───────────────┘                │
         │◀────── no longer listed by its engine: crashed, or unloaded by somebody else ──────┘

Callers that want a model that is being loaded share that load, and whoever comes while it is being cancelled waits for
its end and begins anew. Memory promised to a load counts as used from the promise on. What is leased is never unloaded,
and what others loaded never is. What an engine no longer lists is absent, whatever was thought.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterable, Mapping
from dataclasses import dataclass

from mai_core.errors import BackendUnavailable, ModelLoadError, OutOfMemory
from mai_core.plugin.interfaces import Backend
from mai_core.policy.feasibility import Limits
from mai_core.policy.footprint import predict_footprint
from mai_core.policy.models import Footprint, LoadedModel, LoadPlan, ModelProfile, Promise
from mai_core.policy.resources import ResourceSnapshot
from mai_core.runtime.evicting import Evicting, NoRoom
from mai_core.runtime.keeping import Keeping
from mai_core.runtime.residents import Residents
from mai_core.runtime.slot_table import SlotTable
from mai_core.runtime.slots import Slot, State

__all__ = ["LoadRecord", "Pool"]

log = logging.getLogger("mai.pool")

Progress = Callable[[float], None]

CANCEL_SECONDS = 10.0
LONGEST_LOAD_SECONDS = 300.0
SLOWEST_BYTES_PER_SECOND = 20e6
"""A load is given up when it takes five minutes and what a slow disk needs for it: its backend has lost it."""

IDLE_CHECK_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRecord:
    """What a load was expected to take and what it took."""

    key: str
    backend: str
    context: int
    predicted: Footprint
    observed: Footprint
    seconds: float


class Pool:
    """Models in memory, over all backends.

    A backend may know a model by another key than the rest of Mai does: ``own`` gives a model as its backend lists it,
    ``known_as`` a loaded one under the key it has here. ``predict`` tells what a load will take. What is idle for
    ``idle_seconds`` is unloaded; 0 keeps it. ``clock`` counts seconds and never goes back.
    """

    def __init__(
        self,
        backends: Mapping[str, Backend],
        *,
        snapshot: Callable[[], Awaitable[ResourceSnapshot]],
        limits: Limits,
        predict: Callable[[ModelProfile, LoadPlan], Footprint] = predict_footprint,
        own: Callable[[ModelProfile], ModelProfile] = lambda model: model,
        known_as: Callable[[LoadedModel], LoadedModel] = lambda loaded: loaded,
        on_load: Callable[[LoadRecord], None] = lambda record: None,
        idle_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backends = backends
        self._residents = Residents(backends)
        self._predict = predict
        self._own = own
        self._known_as = known_as
        self._on_load = on_load
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._table = SlotTable()
        self._keeping = Keeping(backends)
        self._evicting = Evicting(
            self._table, backends, self._residents, self._keeping, snapshot=snapshot, limits=limits, clock=clock
        )
        self._turn = 0
        self._reaper: asyncio.Task[None] | None = None

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """What is in memory and can be used now, as the backends say, with this pool's leases marked."""
        self._believe(await self._residents.all(), self._backends)
        return tuple(slot.instance for slot in self._table.usable)

    @property
    def promised(self) -> tuple[Promise, ...]:
        """Memory promised to loads in flight."""
        return self._table.promised

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Every slot as it stands, for those who watch; nobody else may move them."""
        return (*self._table.loads.values(), *self._table.slots.values())

    def read(self, conversation: str) -> dict[str, int]:
        """Tokens of a conversation that need not be read anew, by model: its engine holds them, or finds them again."""
        held = {slot.model: slot.read for slot in self._table.usable if slot.conversation == conversation}
        return {**self._keeping.kept(conversation), **held}

    def has_read(self, model: str, conversation: str, tokens: int) -> None:
        """Take note that a model has read so much of a conversation."""
        for slot in self._table.usable:
            if slot.model == model:
                slot.filled = max(slot.filled, tokens)
                if slot.conversation == conversation:
                    slot.read = tokens

    async def filled(self, model: ModelProfile) -> tuple[tuple[LoadedModel, int], ...]:
        """Every instance of a model as it is now, with the tokens of the longest conversation it has answered in."""
        self._believe(await self._residents.surely_of(model.backend), (model.backend,))
        return tuple((slot.instance, slot.filled) for slot in self._table.usable if slot.is_of(model))

    async def checkpoint(self, model: str, reading: float) -> None:
        """Have saved what an idle model, at so many tokens a second, would be long in reading after a crash."""
        for slot in self._table.idle():
            if slot.model == model:
                await self._keeping.checkpoint(slot, reading)

    @contextlib.asynccontextmanager
    async def acquire(
        self,
        model: ModelProfile,
        plan: LoadPlan,
        *,
        conversation: str = "",
        progress: Progress | None = None,
        optional: bool = False,
    ) -> AsyncIterator[LoadedModel]:
        """A lease on ``model``, loaded by ``plan`` unless an instance with that much context is there already.

        While it is held, the instance is not unloaded. What its engine once read of ``conversation`` is restored where
        it was kept. Raises what the backend's ``load`` raises, and ``NoRoom`` where the model is ``optional`` and does
        not fit beside the headroom by now.
        """
        slot = await self._ready(model, plan, progress, optional=optional)
        self._turn += 1
        slot.warm(self._turn)
        try:
            await self._keeping.enter(slot, conversation)
            yield slot.instance
        finally:
            self._release(slot)

    async def preload(self, model: ModelProfile, plan: LoadPlan, *, evict: bool = False) -> bool:
        """Load ``model`` for a turn that is likely to come, and leave it idle; says whether it is there now.

        It takes free memory only, beyond the headroom and beside what others were promised; with ``evict`` also that
        of idle models, when that is enough. Cancelling ends the load, unless somebody waits for it by then.
        """
        self._backend(model)
        self._believe(await self._residents.surely_of(model.backend), (model.backend,))
        if self._table.there(model, plan) is not None:
            return True
        slot = self._table.loads.get(model.key)
        if slot is None:
            slot = self._begin(model, plan)
            slot.may_evict = evict
        elif slot.ending or slot.plan.context < plan.context:
            return False
        assert slot.task is not None
        slot.wanted = True
        try:
            await asyncio.shield(slot.task)
        except NoRoom:
            return False
        except asyncio.CancelledError:
            slot.wanted = False
            await self._give_up(slot)
            raise
        return True

    async def unload(self, key: str) -> int:
        """Free every idle instance of ``key`` that Mai loaded; returns how many there were.

        Raises ``UnloadFailed`` naming who holds the memory of one that does not end.
        """
        async with self._evicting.lock:
            await self.loaded()
            return sum([await self._evicting.evict(slot) for slot in self._table.idle() if slot.model == key])

    async def relieve(self, host: str, *, spare: str | None = None) -> int:
        """Free the idle models on a host that is in trouble, except ``spare``; returns how many there were."""
        async with self._evicting.lock:
            await self.loaded()
            return await self._evicting.evict_all([s for s in self._table.idle(host) if s.model != spare])

    async def reap(self) -> int:
        """Free what has been idle for too long; returns how many there were."""
        async with self._evicting.lock:
            await self.loaded()
            long_ago = self._clock() - self._idle_seconds
            return await self._evicting.evict_all([s for s in self._table.idle() if s.idle_since <= long_ago])

    def start(self) -> None:
        """Begin to free what is idle for too long."""
        if self._idle_seconds and self._reaper is None:
            self._reaper = asyncio.create_task(self._reap_for_ever())

    async def close(self) -> None:
        """Stop loads in flight, and keep what was read. The backends free what they hold themselves."""
        if self._reaper is not None:
            self._reaper.cancel()
        loads = tuple(self._table.loads.values())
        for slot in loads:
            slot.ending = True
        tasks = [t for t in (*(s.task for s in loads), *self._evicting.leaving(), self._reaper) if t is not None]
        for slot in loads:
            if slot.task is not None:
                slot.task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
        await asyncio.gather(*(self._keeping.leave(slot) for slot in self._table.idle()))
        await self._residents.close()

    async def _ready(self, model: ModelProfile, plan: LoadPlan, progress: Progress | None, *, optional: bool) -> Slot:
        """A slot leased for the caller."""
        while True:
            self._backend(model)
            self._believe(await self._residents.surely_of(model.backend), (model.backend,))
            if (slot := self._table.there(model, plan)) is not None:
                slot.lease()
                return slot
            if leaving := self._evicting.leaving(model):
                await asyncio.wait(leaving)
                continue
            slot = self._table.loads.get(model.key)
            if slot is not None and slot.ending:
                await self._wait_for_its_end(slot)
                continue
            mine = slot is None
            if slot is None:
                slot = self._begin(model, plan)
            slot.may_evict = True
            slot.optional &= optional
            if progress is not None:
                slot.listeners.append(progress)
            try:
                await self._join(slot)
            except NoRoom:  # of a preload that was not to make room, or of somebody who could do without
                if optional:
                    raise
                continue
            # A backend may give less context than it was asked for; asking it again would give the same.
            if mine or slot.plan.context >= plan.context:
                return slot
            self._release(slot)

    def _begin(self, model: ModelProfile, plan: LoadPlan) -> Slot:
        slot = Slot.reserved(model, plan, self._predict(model, plan))
        self._table.loads[model.key] = slot
        slot.task = asyncio.create_task(self._load(slot, model))
        # Not at the end of the coroutine: one that is cancelled before its first step never gets there.
        slot.task.add_done_callback(lambda _: self._ended(model.key, slot))
        return slot

    def _ended(self, key: str, slot: Slot) -> None:
        del self._table.loads[key]
        if slot.in_flight:
            slot.move(State.ABSENT)

    async def _join(self, slot: Slot) -> None:
        """Wait for a load that others may share, and lease what comes of it.

        It is cancelled when the last who waits leaves. Raises what the load does.
        """
        assert slot.task is not None
        slot.lease()
        try:
            await asyncio.shield(slot.task)
        except asyncio.CancelledError:
            if slot.state is State.LEASED:
                self._release(slot)
            else:
                slot.leases -= 1
                await self._give_up(slot)
            raise

    async def _give_up(self, slot: Slot) -> None:
        """Cancel a load nobody wants any more."""
        if slot.leases or slot.wanted or slot.task is None or slot.task.done():
            return
        slot.ending = True
        slot.task.cancel()
        await asyncio.wait([slot.task], timeout=CANCEL_SECONDS)

    async def _wait_for_its_end(self, slot: Slot) -> None:
        assert slot.task is not None
        _, late = await asyncio.wait([slot.task], timeout=CANCEL_SECONDS)
        if late:
            raise ModelLoadError(
                f"{slot.backend} does not end a load of {slot.model} that was given up",
                remedy=f"restart {slot.backend}",
            )

    async def _load(self, slot: Slot, model: ModelProfile) -> None:
        def report(share: float) -> None:
            for listener in slot.listeners:
                listener(share)

        predicted, deadline = slot.footprint, LONGEST_LOAD_SECONDS + model.size_bytes / SLOWEST_BYTES_PER_SECOND
        try:
            async with self._evicting.lock:
                await self.loaded()
                await self._evicting.make_room(slot, self._turn)
            slot.move(State.LOADING)
            report(0.0)
            started = self._clock()
            async with asyncio.timeout(deadline):
                own = await self._backend(model).load(self._own(model), slot.plan, progress=report)
        except OutOfMemory:
            await self.relieve(model.host)
            raise
        except TimeoutError as error:
            late = f"{model.backend} did not load {model.key} within {deadline:.0f} s"
            raise ModelLoadError(late, remedy=f"restart {model.backend}") from error
        seconds = self._clock() - started
        self._residents.add(own)
        slot.arrived(self._known_as(own), seconds, self._clock())
        self._table.slots[slot.place] = slot
        log.info(
            "model loaded",
            extra={
                "model": model.key,
                "seconds": round(seconds, 3),
                "context": slot.plan.context,
                "kv": slot.plan.kv_type,
            },
        )
        self._on_load(
            LoadRecord(
                key=model.key,
                backend=model.backend,
                context=slot.plan.context,
                predicted=predicted,
                observed=slot.footprint,
                seconds=seconds,
            )
        )

    def _release(self, slot: Slot) -> None:
        slot.release(self._clock())
        self._table.tidy(slot)

    def _believe(self, listed: Iterable[LoadedModel], backends: Container[str]) -> None:
        self._table.believe([self._known_as(m) for m in listed], backends, self._clock())

    async def _reap_for_ever(self) -> None:
        while True:
            await asyncio.sleep(min(IDLE_CHECK_SECONDS, self._idle_seconds / 2))
            await self.reap()

    def _backend(self, model: ModelProfile) -> Backend:
        try:
            return self._backends[model.backend]
        except KeyError:
            raise BackendUnavailable(f"{model.key} belongs to the backend {model.backend}, which is off") from None
