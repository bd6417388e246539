"""Paired bootstrap over prompts (Efron 1979): how far a difference would waver if other prompts had been drawn.

Everything is measured on the same resample, so that prompts which are hard for all do not blur a difference.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

__all__ = ["Interval", "interval", "intervals", "resamples"]

# Values are counted in so many parts of the largest of their column; a lane holds the sum over 2^40 prompts.
PARTS = 1 << 24
LANE = 8


class Interval(NamedTuple):
    """An estimate, and the bounds between which it lies with 95 % confidence."""

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> Interval:
        """In another unit."""
        return Interval(self.value * factor, self.low * factor, self.high * factor)

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval is."""
        return self.low > 0.0

    @property
    def below_zero(self) -> bool:
        """Whether the whole interval is."""
        return self.high < 0.0


Statistic = Callable[[Sequence[float]], Sequence[float]]


def intervals(
    columns: Sequence[Sequence[float]], statistic: Statistic, *, rounds: int = 1000, seed: int = 1
) -> list[Interval]:
    """Percentile intervals of each figure that ``statistic`` makes of the means of ``columns``.

    A column holds one number, not negative, for each prompt.
    """
    told = statistic([sum(column) / len(column) for column in columns])
    drawn = [statistic(means) for means in resamples(columns, rounds=rounds, seed=seed)]
    return [interval(value, values) for value, values in zip(told, zip(*drawn, strict=True), strict=True)]


def interval(value: float, drawn: Sequence[float]) -> Interval:
    """The middle 95 % of what was ``drawn``, widened to hold ``value``: areas of rising curves are biased upwards."""
    if not drawn:
        return Interval(value, value, value)
    ordered = sorted(drawn)
    return Interval(value, min(value, _quantile(ordered, 0.025)), max(value, _quantile(ordered, 0.975)))


def resamples(columns: Sequence[Sequence[float]], *, rounds: int, seed: int) -> Sequence[Sequence[float]]:
    """The means of ``columns`` over prompts drawn with replacement, ``rounds`` times.

    All numbers of a prompt lie in one integer, so that one addition adds them all.
    """
    count = len(columns[0])
    units = [(max(column) or 1.0) / PARTS for column in columns]
    form = struct.Struct(f"<{len(columns)}Q")
    packed = [
        int.from_bytes(form.pack(*[round(v / unit) for v, unit in zip(row, units, strict=True)]), "little")
        for row in zip(*columns, strict=True)
    ]
    draw = random.Random(seed)
    found = []
    for _ in range(rounds):
        sums = form.unpack(sum(draw.choices(packed, k=count)).to_bytes(LANE * len(columns), "little"))
        found.append([total * unit / count for total, unit in zip(sums, units, strict=True)])
    return found


def _quantile(ordered: Sequence[float], share: float) -> float:
    """By linear interpolation between the nearest two."""
    at = share * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])
