"""How contestants stand: accuracy and cost, the area under their curves, and how much that is over the bars to beat.

The bars are the hull of single models, which anybody reaches by drawing among them blindly, and the per-task mean, which is
told the task of every prompt. Differences come with paired intervals: all contestants meet the same resampled prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mai_core.bench.replay.contestants import Contestant, Run
from mai_core.bench.replay.curves import Curve, Point, accuracy_at, aiq, cost_of, hull, rising
from mai_core.bench.replay.intervals import Interval, intervals
from mai_core.bench.replay.pool import Pool

__all__ = ["Bars", "Standing", "bars_of", "standings"]


@dataclass(frozen=True, slots=True)
class Standing:
    """One contestant's figures.

    points      cost and accuracy at each setting
    aiq         the area under its curve (``curves``); of one that has but one setting None
    over_hull   its AIQ less that of the hull of single models; of a single setting, its accuracy less that of the hull at
                the same cost. ``over_means`` is the same beside the per-task mean
    as_best     the cost at which it is right as often as the best single model, as a share of that model's
    """

    name: str
    about: str = ""
    fault: str = ""
    settings: tuple[str, ...] = ()
    points: tuple[Point, ...] = ()
    aiq: Interval | None = None
    over_hull: Interval | None = None
    over_means: Interval | None = None
    as_best: float | None = None

    @property
    def top(self) -> Point:
        """Its most accurate setting, the cheapest of equals."""
        return max(self.points, key=lambda p: (p.accuracy, -p.cost))


@dataclass(frozen=True, slots=True)
class Bars:
    """The hull of single models, and the costs from its beginning to its end that areas are taken over."""

    hull: Curve

    @property
    def low(self) -> float:
        """What the cheapest model costs."""
        return self.hull[0].cost

    @property
    def high(self) -> float:
        """What the best single model costs; beyond it nothing is left to win by drawing."""
        return self.hull[-1].cost

    def curve(self, points: Sequence[Point]) -> list[Point]:
        """A contestant's curve. Whoever can choose can choose the cheapest model for everything."""
        return rising([*points, self.hull[0]])

    def area(self, curve: Curve) -> float:
        """Its AIQ."""
        return aiq(curve, self.low, self.high)

    def height(self, curve: Curve, cost: float) -> float:
        """The accuracy of a curve for ``cost``, that of its beginning when nothing is as cheap."""
        return accuracy_at(curve, max(cost, curve[0].cost))


def bars_of(pool: Pool) -> Bars:
    """The bars of a pool on all of its prompts."""
    return Bars(hull(pool.singles))


def standings(
    pool: Pool, contestants: Sequence[Contestant], means: Contestant, *, rounds: int = 1000, seed: int = 1
) -> list[Standing]:
    """Every contestant's figures beside the hull and ``means``, which is the per-task mean, in the order given."""
    singles = [
        Run(model.name, tuple(correct), tuple(cost))
        for model, correct, cost in zip(
            pool.models, zip(*pool.correct, strict=True), zip(*pool.cost, strict=True), strict=True
        )
    ]
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
        bars = Bars(hull(of_singles))
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
    return [told.get(c.name) or Standing(c.name, c.about, c.fault) for c in contestants]


def _standing(
    pool: Pool, contestant: Contestant, value: Interval, over_hull: Interval, over_means: Interval
) -> Standing:
    count = len(pool.prompts)
    points = tuple(Point(sum(run.cost) / count, sum(run.correct) / count) for run in contestant.runs)
    best = pool.singles[pool.best]
    enough = cost_of(rising(points), best.accuracy)
    return Standing(
        contestant.name,
        contestant.about,
        settings=tuple(run.setting for run in contestant.runs),
        points=points,
        aiq=value if len(points) > 1 else None,
        over_hull=over_hull,
        over_means=over_means,
        as_best=None if enough is None or not best.cost else enough / best.cost,
    )
