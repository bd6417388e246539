"""Making room in memory: who leaves, that it really leaves, and that its memory is seen to return."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial

from mai_core.errors import ModelLoadError, UnloadFailed
from mai_core.plugin.interfaces import Backend
from mai_core.policy.eviction import Tenant, to_evict
from mai_core.policy.feasibility import Limits, headroom
from mai_core.policy.models import ModelProfile
from mai_core.policy.resources import ResourceSnapshot
from mai_core.policy.speed import LOAD_SECONDS, LOAD_SECONDS_PER_BYTE
from mai_core.runtime.keeping import Keeping
from mai_core.runtime.leaving import end, memory_returned
from mai_core.runtime.residents import Residents
from mai_core.runtime.slot_table import SlotTable
from mai_core.runtime.slots import Slot, State

__all__ = ["Evicting", "NoRoom"]

log = logging.getLogger("mai.pool")

NOBODY_KNOWS = 2**62


class NoRoom(ModelLoadError):
    """A load that nobody waits for, or can do without, would have to make room it was not given."""


class Evicting:
    """Frees memory that idle models hold. ``lock`` is held by whoever makes room, one at a time."""

    def __init__(
        self,
        table: SlotTable,
        backends: Mapping[str, Backend],
        residents: Residents,
        keeping: Keeping,
        *,
        snapshot: Callable[[], Awaitable[ResourceSnapshot]],
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        self._table = table
        self._backends = backends
        self._residents = residents
        self._keeping = keeping
        self._snapshot = snapshot
        self._limits = limits
        self._clock = clock
        self._leaving: dict[Slot, asyncio.Task[None]] = {}
        self.lock = asyncio.Lock()

    async def make_room(self, slot: Slot, turn: int) -> None:
        """Evict idle instances until the load fits: first this model's own smaller one, then the least worth keeping.

        When all are gone that may go, a load somebody waits for is tried all the same: feasibility judged it to fit.
        Raises ``NoRoom`` for one that nobody waits for, or can do without.
        """
        if slot.may_evict:
            await self.evict_all([twin for twin in self._table.idle(slot.host) if twin.model == slot.model])
        missing = 0
        while (dispensable := slot.optional or not slot.leases) or self._table.idle(slot.host):
            if (missing := await self._missing(slot)) <= 0:
                return
            idle = {s.place: s for s in self._table.idle(slot.host)}
            tenants = [
                Tenant(place, s.footprint.anonymous or s.footprint.ram, _reload_seconds(s), s.heat_at(turn))
                for place, s in idle.items()
            ]
            left = 0
            if not dispensable or (slot.may_evict and sum(t.bytes for t in tenants) >= missing):
                left = await self.evict_all([idle[place] for place in to_evict(tenants, missing)])
            if dispensable and not left:
                raise NoRoom(f"there is no room for {slot.model} now")
            if not left:
                return

    async def evict_all(self, slots: Collection[Slot]) -> int:
        """Evict on behalf of another model, which is not to fail for what a backend cannot do; how many left."""
        gone = 0
        for slot in slots:
            try:
                gone += await self.evict(slot)
            except Exception as error:  # noqa: BLE001 - maybe a third party's backend; it is named
                log.warning(
                    "model not unloaded",
                    extra={"model": slot.model, "backend": slot.backend, "error": f"{type(error).__name__}: {error}"},
                )
        return gone

    async def evict(self, slot: Slot) -> bool:
        """Unload a slot, unless it was leased since it was looked at; says whether it did.

        Once begun it is brought to its end, whoever is cancelled meanwhile. Raises ``UnloadFailed`` naming who still
        holds the memory.
        """
        if slot.state is not State.IDLE:
            return False
        slot.move(State.LEAVING)
        task = self._leaving[slot] = asyncio.create_task(self._leave(slot))
        task.add_done_callback(partial(self._has_left, slot))
        await asyncio.shield(task)
        return True

    def leaving(self, model: ModelProfile | None = None) -> tuple[asyncio.Task[None], ...]:
        """The unloads in progress, of that model or of all."""
        return tuple(task for slot, task in self._leaving.items() if model is None or slot.is_of(model))

    async def _leave(self, slot: Slot) -> None:
        started, instance, before = self._clock(), slot.instance, await self._available(slot.host)
        try:
            await self._keeping.leave(slot)
            await end(self._backends[slot.backend], instance)
        except UnloadFailed:
            slot.move(State.STUCK)
            raise
        except BaseException:
            slot.move(State.IDLE)
            raise
        slot.move(State.ABSENT)
        if self._table.holds(slot):
            del self._table.slots[slot.place]
        self._residents.remove(instance)
        log.info("model unloaded", extra={"model": slot.model, "seconds": round(self._clock() - started, 3)})
        if not await memory_returned(partial(self._available, slot.host), before, instance):
            told = {"model": slot.model, "backend": slot.backend, "bytes": instance.footprint.anonymous}
            log.warning("memory did not return", extra=told)

    def _has_left(self, slot: Slot, task: asyncio.Task[None]) -> None:
        del self._leaving[slot]
        if not task.cancelled() and (error := task.exception()) is not None:  # its caller may have gone meanwhile
            log.debug("model did not leave", extra={"model": slot.model, "error": str(error)})

    async def _missing(self, slot: Slot) -> int:
        """Bytes of main memory that still have to be freed for a load; 0 on another machine nobody here knows."""
        host = (await self._snapshot()).host(slot.host)
        if host is None or host.ram is None:
            return 0 if self._backends[slot.backend].remote else NOBODY_KNOWS
        promised = sum(p.footprint.ram for p in self._table.promised if p.model != slot.model and p.host == slot.host)
        return slot.footprint.ram - (host.ram.available - headroom(host, self._limits) - promised)

    async def _available(self, host: str) -> int | None:
        found = (await self._snapshot()).host(host)
        return found.ram.available if found and found.ram else None


def _reload_seconds(slot: Slot) -> float:
    """What loading it again would take: as measured, but nothing is there in less time than a process takes."""
    return max(LOAD_SECONDS, slot.load_seconds or LOAD_SECONDS + LOAD_SECONDS_PER_BYTE * slot.footprint.ram)
