"""Every slot there is, kept to what the engines say."""

from __future__ import annotations

import logging
from collections.abc import Container, Sequence

from mai_core.policy.models import LoadedModel, LoadPlan, ModelProfile, Promise
from mai_core.runtime.slots import Place, Slot, State

__all__ = ["SlotTable"]

log = logging.getLogger("mai.pool")


class SlotTable:
    """What is in memory, by its place, and what is being loaded, by the key of its model."""

    def __init__(self) -> None:
        self.slots: dict[Place, Slot] = {}
        self.loads: dict[str, Slot] = {}

    @property
    def usable(self) -> tuple[Slot, ...]:
        """What a turn may use."""
        return tuple(slot for slot in self.slots.values() if slot.usable)

    @property
    def promised(self) -> tuple[Promise, ...]:
        """Memory promised to loads in flight."""
        return tuple(
            Promise(s.model, s.host, s.footprint, s.plan, firm=s.leases > 0) for s in self.loads.values() if s.in_flight
        )

    def believe(self, listed: Sequence[LoadedModel], backends: Container[str], now: float) -> None:
        """Make the slots of these backends what those list: gone is who is not listed, found who is new.

        What is in use and not listed is nobody's to use any more, but keeps its leases: the listing may be wrong.
        """
        there = {Place(m.backend, m.instance): m for m in listed}
        for place, slot in tuple(self.slots.items()):
            if place.backend in backends:
                slot.listed = place in there
                self.tidy(slot)
        for place, loaded in there.items():
            slot = self.slots.setdefault(place, Slot.found(loaded, now))
            slot.loaded, slot.plan = loaded, loaded.plan

    def tidy(self, slot: Slot) -> None:
        """Forget a slot that its engine does not list and nobody uses."""
        if not slot.listed and not slot.leases and slot.state is not State.LEAVING and self.holds(slot):
            log.info("model is gone", extra={"model": slot.model, "backend": slot.backend})
            slot.move(State.ABSENT)
            del self.slots[slot.place]

    def holds(self, slot: Slot) -> bool:
        """Whether it still stands for its place."""
        return self.slots.get(slot.place) is slot

    def there(self, model: ModelProfile, plan: LoadPlan) -> Slot | None:
        """An instance as good as one loaded by ``plan``, an idle one rather than one that is busy."""
        found = [s for s in self.usable if s.is_of(model) and s.plan.serves(plan)]
        return min(found, key=lambda s: s.leases, default=None)

    def idle(self, host: str | None = None) -> tuple[Slot, ...]:
        """What may be evicted: idle, and loaded by Mai."""
        return tuple(
            slot
            for slot in self.usable
            if slot.state is State.IDLE and slot.mine and not slot.instance.leased and host in (None, slot.host)
        )
