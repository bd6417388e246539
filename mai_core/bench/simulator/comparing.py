"""Contestants beside each other: sums over worlds, and paired differences with their confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from statistics import mean, stdev

from mai_core.bench.simulator.campaign import Outcome
from mai_core.bench.simulator.tally import Tally

__all__ = ["Difference", "paired", "summed"]

# Student's t at 97.5 %, by degrees of freedom; the normal distribution's beyond.
_T = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120)
_T_FROM = ((17, 2.110), (20, 2.086), (25, 2.060), (30, 2.042), (40, 2.021), (60, 2.000), (120, 1.980))
_NORMAL = 1.960


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference per world, and half the width of its 95 % interval; infinite from one world alone."""

    mean: float
    half: float
    worlds: int

    @property
    def sure(self) -> bool:
        """Whether zero is outside of the interval."""
        return abs(self.mean) > self.half


def summed(outcomes: Iterable[Outcome]) -> dict[str, Tally]:
    """Every contestant's worlds added up."""
    by_name: dict[str, list[Tally]] = {}
    for outcome in outcomes:
        for name, tally in outcome.tallies.items():
            by_name.setdefault(name, []).append(tally)
    return {name: reduce(Tally.plus, tallies, Tally()) for name, tallies in by_name.items()}


def paired(outcomes: Sequence[Outcome], one: str, other: str, of: Callable[[Tally], float]) -> Difference:
    """How far ``one`` is above ``other`` in the same worlds: a paired t interval (Student 1908) over worlds."""
    differences = [of(o.tallies[one]) - of(o.tallies[other]) for o in outcomes]
    if len(differences) < 2:
        return Difference(differences[0] if differences else 0.0, math.inf, len(differences))
    width = _quantile(len(differences) - 1) * stdev(differences) / math.sqrt(len(differences))
    return Difference(mean(differences), width, len(differences))


def _quantile(freedom: int) -> float:
    """Never too small: between two entries the one of fewer degrees counts."""
    if freedom <= len(_T):
        return _T[freedom - 1]
    return next((t for least, t in reversed(_T_FROM) if freedom >= least), _T[-1]) if freedom < 1000 else _NORMAL
