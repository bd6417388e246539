"""How much of the gap between two models a score closes: PGR, APGR and CPT (Ong et al. 2024, arXiv:2406.18665).

Prompts go to the strong model in the order of a score. The performance gap recovered at the share c of strong calls is

    PGR(c) = (accuracy(c) - accuracy of the weak) / (accuracy of the strong - accuracy of the weak)

APGR is the area under PGR over c in [0, 1], and CPT(x) the smallest c with PGR(c) >= x. The curve is exact: every
prompt is a step of it, and prompts of equal score are taken together, as if drawn in random order, so that no order of
the rows matters. A score that tells nothing has APGR 1/2; one that knows the answers more than 1.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from operator import mul
from typing import NamedTuple

from mai_core.bench.replay.intervals import Interval, interval

__all__ = ["Gain", "GapClosed", "GapFigures", "closed_gap", "gap_intervals"]

# Gaps smaller than this are none: nothing is recovered of it.
LEAST = 1e-9


class Gain(NamedTuple):
    """The share of strong calls, and the performance gap recovered by them."""

    share: float
    recovered: float


@dataclass(frozen=True, slots=True)
class GapClosed:
    """``apgr`` and the whole curve it is the area under; all None and empty where the models are equally good."""

    curve: tuple[Gain, ...]

    @property
    def apgr(self) -> float | None:
        """The area under the curve."""
        if not self.curve:
            return None
        return sum((b.share - a.share) * (a.recovered + b.recovered) / 2.0 for a, b in pairwise(self.curve))

    def at(self, share: float) -> float:
        """The gap recovered at a share of strong calls; 0 where the models are equally good."""
        after = bisect_left(self.curve, share, key=lambda gain: gain.share)
        if after in (0, len(self.curve)):
            return self.curve[-1].recovered if after and self.curve else 0.0
        a, b = self.curve[after - 1], self.curve[after]
        return a.recovered + (b.recovered - a.recovered) * (share - a.share) / (b.share - a.share)

    def share_for(self, recovered: float) -> float | None:
        """CPT: the smallest share of strong calls that recovers so much of the gap; None where it is never reached."""
        for a, b in pairwise(self.curve):
            if a.recovered >= recovered:
                return a.share
            if b.recovered >= recovered:
                return a.share + (b.share - a.share) * (recovered - a.recovered) / (b.recovered - a.recovered)
        return None


class GapFigures(NamedTuple):
    """APGR, CPT(50 %) and CPT(80 %)."""

    apgr: Interval
    cpt50: Interval
    cpt80: Interval


def closed_gap(scores: Sequence[float], weak: Sequence[float], strong: Sequence[float]) -> GapClosed:
    """The curve of sending prompts to the strong model, those with the highest score first.

    ``weak`` and ``strong`` say how right each model is on every prompt, from 0 to 1.
    """
    return _Ordered.of(scores, weak, strong).curve([1] * len(scores))


def gap_intervals(
    scores: Mapping[str, Sequence[float]],
    weak: Sequence[float],
    strong: Sequence[float],
    *,
    rounds: int = 1000,
    seed: int = 1,
) -> dict[str, GapFigures]:
    """The figures of each of ``scores``, all on the same prompts drawn with replacement, ``rounds`` times.

    Draws in which the models are equally good tell nothing and are left out. Empty when they are on the table itself.
    """
    orders = {name: _Ordered.of(score, weak, strong) for name, score in scores.items()}
    told = {name: _figures(order.curve([1] * len(weak))) for name, order in orders.items()}
    drawn: dict[str, list[tuple[float, ...]]] = {name: [] for name in orders}
    for times in _draws(len(weak), rounds, seed):
        for name, order in orders.items():
            if (found := _figures(order.curve(times))) is not None:
                drawn[name].append(found)
    return {
        name: GapFigures(*(interval(v, [row[i] for row in drawn[name]]) for i, v in enumerate(values)))
        for name, values in told.items()
        if values is not None
    }


def _draws(count: int, rounds: int, seed: int) -> Iterator[Sequence[int]]:
    """How many times each prompt is drawn."""
    draw = random.Random(seed)
    for _ in range(rounds):
        found = Counter(draw.choices(range(count), k=count))
        yield [found[i] for i in range(count)]


def _figures(closed: GapClosed) -> tuple[float, float, float] | None:
    apgr, half, most = closed.apgr, closed.share_for(0.5), closed.share_for(0.8)
    return None if apgr is None or half is None or most is None else (apgr, half, most)


@dataclass(frozen=True, slots=True)
class _Ordered:
    """Prompts by falling score: their places, what the strong model wins on each, and where equal scores end."""

    places: tuple[int, ...]
    gains: tuple[float, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, scores: Sequence[float], weak: Sequence[float], strong: Sequence[float]) -> _Ordered:
        places = sorted(range(len(scores)), key=lambda i: -scores[i])
        sizes = (sum(1 for _ in equal) for _, equal in groupby(places, key=lambda i: scores[i]))
        ends = tuple(end - 1 for end in accumulate(sizes))
        return cls(tuple(places), tuple(strong[i] - weak[i] for i in places), ends)

    def curve(self, times: Sequence[int]) -> GapClosed:
        """With every prompt counted so many ``times``."""
        counts = [times[i] for i in self.places]
        called = list(accumulate(counts))
        won = list(accumulate(map(mul, counts, self.gains)))
        if abs(won[-1]) < LEAST:
            return GapClosed(())
        whole, gap = called[-1], won[-1]
        points = (Gain(called[end] / whole, won[end] / gap) for end in self.ends)
        return GapClosed((Gain(0.0, 0.0), *points))
