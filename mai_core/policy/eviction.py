"""Which idle models leave memory when another one needs room: by what they are worth, not by their age alone."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Generic, TypeVar

__all__ = ["Tenant", "heat_after", "to_evict"]

Id = TypeVar("Id", bound=Hashable)

HALF_LIFE_TURNS = 8.0
MOST_COMBINED = 10
"""Up to so many tenants every combination is compared (1,024 of them); beyond, the cheapest a byte go first."""


@dataclass(frozen=True, slots=True)
class Tenant(Generic[Id]):
    """An idle model in memory.

    bytes           what comes back when it leaves
    reload_seconds  what it costs to have it back
    heat            how much it was used, lately above all; see ``heat_after``
    """

    id: Id
    bytes: int
    reload_seconds: float
    heat: float = 0.0

    @property
    def value(self) -> float:
        """Seconds of waiting its leaving is expected to cost: what a reload takes, by how likely it is."""
        return self.reload_seconds * self.heat / (1.0 + self.heat)


def heat_after(heat: float, turns: float) -> float:
    """What is left of a model's heat after so many turns of others; every turn of its own adds one."""
    return heat * float(0.5 ** (turns / HALF_LIFE_TURNS))


def to_evict(tenants: Sequence[Tenant[Id]], needed: int) -> tuple[Id, ...]:
    """Whose leaving frees ``needed`` bytes at the least expected cost; all of them when even that is not enough.

    Nobody leaves in vain: without any one of those chosen there is too little. Of equal costs the one that frees
    less wins, so that room is made to measure.
    """
    if needed <= 0:
        return ()
    willing = [t for t in tenants if t.bytes > 0]
    if sum(t.bytes for t in willing) < needed:
        return tuple(t.id for t in tenants)
    if len(willing) <= MOST_COMBINED:
        enough = (
            group
            for size in range(1, len(willing) + 1)
            for group in combinations(willing, size)
            if sum(t.bytes for t in group) >= needed
        )
        best = min(enough, key=lambda group: (sum(t.value for t in group), sum(t.bytes for t in group)))
        return _without_needless(best, needed)
    chosen: list[Tenant[Id]] = []
    for tenant in sorted(willing, key=lambda t: (t.value / t.bytes, t.bytes)):
        chosen.append(tenant)
        if sum(t.bytes for t in chosen) >= needed:
            break
    return _without_needless(chosen, needed)


def _without_needless(chosen: Sequence[Tenant[Id]], needed: int) -> tuple[Id, ...]:
    """Those of ``chosen`` without whom it is not enough, the dearest spared first."""
    kept = list(chosen)
    for tenant in sorted(chosen, key=lambda t: -t.value):
        if sum(t.bytes for t in kept) - tenant.bytes >= needed:
            kept.remove(tenant)
    return tuple(t.id for t in kept)
