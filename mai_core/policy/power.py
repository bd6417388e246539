"""What turns really take in energy: the power drawn while a model works, less what is drawn all the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

__all__ = ["Power", "PowerDraw"]

LEAST_LOOKS = 5
"""Looks at an idle and at a busy machine, each, before their difference is believed."""
LOOKS = 50
"""The mean is over about so many looks, so that it follows what is changed of the machine."""


class Power(NamedTuple):
    """Mean ``watts`` of the last moment, and what tells of them: sources differ in how much of a machine they see."""

    watts: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerDraw:
    """Mean watts, by one source, while nothing was asked of a model and while one worked; each with its looks."""

    source: str = ""
    idle: float = 0.0
    idle_looks: int = 0
    busy: float = 0.0
    busy_looks: int = 0

    def seen(self, power: Power, *, busy: bool) -> PowerDraw:
        """One look more. Another source begins anew: it may see more of the machine, or less."""
        known = self if power.source == self.source else PowerDraw(source=power.source)
        if busy:
            mean, looks = _mean(known.busy, known.busy_looks, power.watts)
            return replace(known, busy=mean, busy_looks=looks)
        mean, looks = _mean(known.idle, known.idle_looks, power.watts)
        return replace(known, idle=mean, idle_looks=looks)

    @property
    def extra(self) -> float | None:
        """Watts a model takes while it works; None until enough was seen."""
        if min(self.idle_looks, self.busy_looks) < LEAST_LOOKS:
            return None
        return max(0.0, self.busy - self.idle)


def _mean(before: float, looks: int, watts: float) -> tuple[float, int]:
    count = min(looks + 1, LOOKS)
    return before + (watts - before) / count, count
