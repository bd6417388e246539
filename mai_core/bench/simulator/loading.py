"""Models come into memory and leave it, as the product's pool has them do.

Whether there is room, and who leaves for it, is decided by the core (``Room``, ``to_evict``). Whether the memory is
really there is the world's to say: a load for which it is not kills the engine, and counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mai_core.bench.simulator.asking import Asking, Knowledge
from mai_core.bench.simulator.ledger import Ledger
from mai_core.bench.simulator.memory import Memory, Resident
from mai_core.bench.simulator.timeline import Timeline
from mai_core.policy.eviction import heat_after
from mai_core.policy.resources import PoolKind
from mai_core.policy.selection import Candidate

__all__ = ["Loader"]


@dataclass(slots=True, eq=False)
class Loader:
    """Loads and evicts on one machine. ``ready`` hears of every load that came to its end."""

    memory: Memory
    asking: Asking
    ledger: Ledger
    timeline: Timeline
    ready: Callable[[], None]
    _shared: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self._shared = frozenset(gpu.name for gpu in self.memory.machine.gpus if gpu.kind is PoolKind.UNIFIED)

    def acquire(self, candidate: Candidate, known: Knowledge, *, optional: bool = False) -> Resident | None:
        """The model, leased, in memory or on its way; None when there turned out not to be the memory for it.

        An ``optional`` one is not tried where there is no room for it by now.
        """
        memory = self.memory
        resident = self._provided(candidate, known, optional=optional)
        if resident is not None:
            resident.leases += 1
            resident.heat = heat_after(resident.heat, memory.turn - resident.warmed) + 1.0
            memory.turn += 1
            resident.warmed = memory.turn
            memory.changed()
        return resident

    def release(self, resident: Resident) -> None:
        """Its answer has ended."""
        resident.leases -= 1
        resident.idle_since = self.timeline.now
        self.memory.changed()

    def prepare(self, candidate: Candidate, known: Knowledge, person: int, *, evict: bool) -> None:
        """Load what a person who types will likely want, where nothing else is being loaded and there is room."""
        memory = self.memory
        if any(r.loading for r in memory.residents):
            return
        resident = self._planned(candidate, known)
        resident.prepared = person
        twin = memory.find(resident.model)
        if twin is not None:
            if twin.leases or not evict:
                return
            self.gone(twin)
        if memory.make_room(resident, self.gone, waited=False, may_evict=evict) and self._load(resident):
            self.ledger.tally.prepared += 1

    def drop_preparations(self, wanted: int) -> None:
        """Who asks wants another model than the one that was being got ready."""
        for resident in [r for r in self.memory.residents if r.loading and r.prepared >= 0 and r.model != wanted]:
            self.gone(resident)

    def drop_idle(self, seconds: float) -> None:
        """Let go of what nobody has used for so long."""
        now = self.timeline.now
        for resident in self.memory.idle():
            if resident.idle_since + seconds <= now:
                self.gone(resident)

    def relieve(self, spared: int) -> None:
        """Let go of everything that idles, but for one model."""
        for resident in self.memory.idle():
            if resident.model != spared:
                self.gone(resident)

    def gone(self, resident: Resident) -> None:
        """It is not in memory any more."""
        resident.gone = True
        self.memory.residents.remove(resident)
        self.memory.changed()

    def _provided(self, candidate: Candidate, known: Knowledge, *, optional: bool) -> Resident | None:
        there = self.memory.find(self.asking.places[candidate.key])
        if there is not None and (there.leases or there.loading or not candidate.reloads):
            there.prepared = -1 if there.loading else there.prepared
            return there
        if there is not None:
            self.gone(there)
        resident = self._planned(candidate, known)
        if not self.memory.make_room(resident, self.gone, waited=not optional):
            return None
        if not self._load(resident):
            self.relieve(-1)
            return None
        self.ledger.tally.loads += 1
        return resident

    def _planned(self, candidate: Candidate, known: Knowledge) -> Resident:
        """The candidate as it would be in memory, with what it will really take."""
        place, truth = self.asking.places[candidate.key], self.asking.truth
        taken = truth.footprint(place, self.asking.predicted(candidate, known))
        seconds = truth.speed(place, candidate.plan, 1).load_seconds
        return Resident(
            model=place,
            key=candidate.key,
            plan=candidate.plan,
            footprint=taken,
            predicted=candidate.footprint,
            load_seconds=seconds,
            ready=self.timeline.now + seconds,
            number=self.memory.number(place, candidate.plan, taken),
            shared=sum(size for name, size in taken.devices.items() if name in self._shared),
        )

    def _load(self, resident: Resident) -> bool:
        """Begin to load; False when there is not the memory for it, which kills the engine."""
        memory = self.memory
        memory.residents.append(resident)
        memory.changed()
        if memory.overdrawn(resident):
            memory.residents.remove(resident)
            memory.changed()
            self.ledger.tally.overdrawn += 1
            return False
        self.ledger.worked(resident.load_seconds)
        self.timeline.at(resident.ready, self._is_ready, resident)
        return True

    def _is_ready(self, resident: Resident) -> None:
        if resident.gone:
            return
        resident.loading = False
        resident.idle_since = self.timeline.now
        self.memory.changed()
        self.ready()
