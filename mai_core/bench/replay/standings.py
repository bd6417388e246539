"""How contestants stand: accuracy and cost, the area under their curves, and how much that is over the bars to beat.

The bars are the hull of single models, which anybody reaches by drawing among them blindly, and the per-task mean,
which is told the task of every prompt. Differences come with paired intervals: all contestants meet the same
resampled prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mai_core.bench.replay.contestants import Contestant, Run
from mai_core.bench.replay.curves import Curve, Point, accuracy_at, aiq, cost_of, hull, rising
from mai_core.bench.replay.intervals import Interval, intervals
from mai_core.bench.replay.pool import Pool
from mai_core.bench.replay.result import Standing

__all__ = ["Bars", "standings"]


@dataclass(frozen=True, slots=True)
class Bars:
    """The hull of single models, and what the cheapest and the dearest cost: areas are taken between the two."""

    hull: Curve
    low: float
    high: float

    @classmethod
    def of(cls, singles: Sequence[Point]) -> Bars:
        """The bars that single models set."""
        costs = [point.cost for point in singles]
        return cls(hull(singles), min(costs), max(costs))

    def curve(self, points: Sequence[Point]) -> list[Point]:
        """A contestant's curve. Whoever can choose can choose the cheapest model for everything."""
        return rising([*points, self.hull[0]])

    def area(self, curve: Curve) -> float:
        """Its AIQ."""
        return aiq(curve, self.low, self.high)

    def height(self, curve: Curve, cost: float) -> float:
        """The accuracy of a curve for ``cost``, that of its beginning when nothing is as cheap."""
        return accuracy_at(curve, max(cost, curve[0].cost))


def standings(
    pool: Pool, contestants: Sequence[Contestant], means: Contestant, *, rounds: int = 1000, seed: int = 1
) -> list[Standing]:
    """Every contestant's figures beside the hull and ``means``, which is the per-task mean, in the order given."""
    singles = [Run.of(pool, [m] * len(pool.prompts), model.name) for m, model in enumerate(pool.models)]
    sound = [c for c in contestants if not c.fault]
    groups = [singles, means.runs, *(c.runs for c in sound)]
    columns = [column for runs in groups for run in runs for column in (run.cost, run.correct)]
    ends = [0]
    for runs in groups:
        ends.append(ends[-1] + 2 * len(runs))

    def figures(found: Sequence[float]) -> list[float]:
        of_singles, of_means, *others = (
            [Point(found[i], found[i + 1]) for i in range(begin, end, 2)] for begin, end in pairwise(ends)
        )
        bars = Bars.of(of_singles)
        beside = bars.curve(of_means)
        whole, of_beside = bars.area(bars.hull), bars.area(beside)
        told: list[float] = []
        for points in others:
            if len(points) > 1:
                area = bars.area(bars.curve(points))
                told += [area, area - whole, area - of_beside]
            else:
                cost, accuracy = points[0]
                told += [accuracy, accuracy - bars.height(bars.hull, cost), accuracy - bars.height(beside, cost)]
        return told

    found = iter(intervals(columns, figures, rounds=rounds, seed=seed))
    told = {c.name: _standing(pool, c, next(found), next(found), next(found)) for c in sound}
    return [told.get(c.name) or Standing(name=c.name, about=c.about, fault=c.fault) for c in contestants]


def _standing(
    pool: Pool, contestant: Contestant, value: Interval, over_hull: Interval, over_means: Interval
) -> Standing:
    count = len(pool.prompts)
    points = tuple(Point(sum(run.cost) / count, sum(run.correct) / count) for run in contestant.runs)
    best = pool.singles[pool.best]
    enough = cost_of(rising(points), best.accuracy)
    many = len(points) > 1
    return Standing(
        name=contestant.name,
        about=contestant.about,
        reference=contestant.reference,
        settings=tuple(run.setting for run in contestant.runs),
        points=points,
        aiq=value if many else None,
        accuracy=None if many else value,
        over_hull=over_hull,
        over_means=over_means,
        as_best=None if enough is None or not best.cost else enough / best.cost,
    )
