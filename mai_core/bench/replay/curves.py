"""Accuracy over cost: curves, the area under them, and the hull of single models. Pure functions.

AIQ, the "average improvement in quality" of RouterBench (Hu et al. 2024, arXiv:2403.12031), is the mean height of the
non-decreasing curve of accuracy over cost, here over the costs from the cheapest single model of the pool to the
dearest. So every router of a pool is measured over the same costs, and 1 would be always right for the price of the
cheapest.

Whoever has two settings has every mixture of them, by drawing one for each prompt: lines between points are real.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

__all__ = ["Curve", "Point", "accuracy_at", "aiq", "cost_of", "hull", "rising"]


class Point(NamedTuple):
    """Means over prompts: the ``cost`` of an answer, and the share of right ones."""

    cost: float
    accuracy: float


Curve = Sequence[Point]


def rising(points: Iterable[Point]) -> list[Point]:
    """The points that no cheaper one equals, by cost: who may pay more never has to be right less often."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, -p.accuracy)):
        if not kept or point.accuracy > kept[-1].accuracy:
            kept.append(point)
    return kept


def hull(points: Iterable[Point]) -> list[Point]:
    """The best that drawing among ``points`` can do at every cost: their concave, rising hull (Andrew 1979)."""
    kept: list[Point] = []
    for point in rising(points):
        while len(kept) > 1 and _turns_up(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    return kept


def _turns_up(first: Point, middle: Point, last: Point) -> bool:
    left = (middle.accuracy - first.accuracy) * (last.cost - first.cost)
    return left <= (last.accuracy - first.accuracy) * (middle.cost - first.cost)


def accuracy_at(curve: Curve, cost: float) -> float:
    """The height of a rising curve at ``cost``; level after its end, 0 before its beginning."""
    at = bisect_right(curve, cost, key=lambda p: p.cost)
    if at == 0:
        return 0.0
    if at == len(curve):
        return curve[-1].accuracy
    a, b = curve[at - 1], curve[at]
    return a.accuracy + (b.accuracy - a.accuracy) * (cost - a.cost) / (b.cost - a.cost)


def cost_of(curve: Curve, accuracy: float) -> float | None:
    """The least cost at which a rising curve reaches ``accuracy``; None when it never does."""
    if not curve or curve[-1].accuracy < accuracy:
        return None
    if curve[0].accuracy >= accuracy:
        return curve[0].cost
    a, b = next((a, b) for a, b in pairwise(curve) if b.accuracy >= accuracy)
    return a.cost + (b.cost - a.cost) * (accuracy - a.accuracy) / (b.accuracy - a.accuracy)


def aiq(curve: Curve, low: float, high: float) -> float:
    """The mean height of a rising curve over costs from ``low`` to ``high``; its height there when they are one."""
    if high <= low:
        return accuracy_at(curve, low)
    start = max(low, curve[0].cost)
    if start >= high:
        return 0.0
    inner = (p for p in curve if start < p.cost < high)
    points = (Point(start, accuracy_at(curve, start)), *inner, Point(high, accuracy_at(curve, high)))
    return sum((b.cost - a.cost) * (a.accuracy + b.accuracy) for a, b in pairwise(points)) / 2.0 / (high - low)
