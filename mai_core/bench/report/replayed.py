"""What a replay of recorded answers found, as a part of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mai_core.bench.replay.curves import Point, accuracy_at, hull, rising
from mai_core.bench.replay.intervals import Interval
from mai_core.bench.replay.result import HELD_OUT, OUT_OF_FOLD, Replayed, Standing
from mai_core.bench.replay.result import Section as Held
from mai_core.bench.report.comparison import Cell, Finding, Part, Row, Section, Table
from mai_core.bench.report.figures import Axis, Figure, Kind, Series
from mai_core.bench.report.metrics import Unit, written
from mai_core.bench.report.sentences import listed

__all__ = ["replayed"]

HUNDRED = 100.0
HULL = "hull"
# So far off the hull that nothing else could be seen beside them.
FAR_OFF = frozenset({"oracle", "random"})
STEPS = 60
COLUMNS = ("aiq", "accuracy", "over-hull", "over-means")
TITLES = {
    OUT_OF_FOLD: "every prompt judged by what was learnt from others",
    HELD_OUT: "every task judged by what was learnt from other tasks",
}

LIMITS = (
    "Recorded answers say whether a model was right, not whether anybody liked it, and cost there is counted in the "
    "table's own unit; nobody waits, and every model is at hand.",
    "The models and tasks of a table are not those of your machine.",
)


def replayed(found: Replayed, places: Mapping[str, int], *, alone: bool = True) -> Part:
    """A part of one table. ``places`` are those of all contestants; where it is not ``alone``, keys carry its name."""
    at = "" if alone else f"@{found.table}"
    main = found.section()
    competing = {one.name: one for one in main.standings if not one.reference and one.name in places}
    figures = {name: _figures(one) for name, one in competing.items()}
    return Part(
        figures={name: {f"{key}{at}": cell for key, cell in told.items()} for name, told in figures.items()},
        headline=tuple(f"{key}{at}" for key in _headline(figures)),
        findings=tuple(_finding(found.table, one) for one in competing.values()),
        sections=tuple(_section(found, held, places, number) for number, held in enumerate(found.sections)),
        facts=(_fact(found),),
        limits=LIMITS,
    )


def _headline(figures: Mapping[str, Mapping[str, Cell]]) -> Sequence[str]:
    """Areas where somebody has one; accuracy beside them where somebody has but one setting and so none."""
    areas = ["aiq"] if any("aiq" in told for told in figures.values()) else []
    points = [] if all("aiq" in told for told in figures.values()) else ["accuracy"]
    return [*areas, *points, "over-hull"]


def _figures(one: Standing) -> Mapping[str, Cell]:
    told = {
        "aiq": _cell(one.aiq),
        "accuracy": _cell(one.accuracy) or (Cell(HUNDRED * one.top.accuracy) if one.top else None),
        "over-hull": _cell(one.over_hull),
        "over-means": _cell(one.over_means),
    }
    return {key: cell for key, cell in told.items() if cell}


def _cell(found: Interval | None) -> Cell | None:
    return None if found is None else Cell(*found.scaled(HUNDRED))


def _finding(table: str, one: Standing) -> Finding:
    lead = f"{one.name} on {table}"
    if one.fault or one.over_hull is None:
        return Finding(f"could not be measured, {one.fault or 'it has no figures'}.", lead)
    bars = [(one.over_hull, "drawing blindly between single models")]
    bars += [(one.over_means, "choosing by the task's means")] if one.over_means is not None else []
    sure = [_beside(found, what) for found, what in bars if found.above_zero or found.below_zero]
    unsure = [what for found, what in bars if not found.above_zero and not found.below_zero]
    same = [f"no difference that these prompts can tell from {listed(unsure)}"] if unsure else []
    return Finding(f"{'; '.join([*sure, *same])}.", lead)


def _beside(found: Interval, what: str) -> str:
    sizes = (abs(found.value), *sorted((abs(found.low), abs(found.high))))
    value, low, high = (written(Unit.POINTS, HUNDRED * size) for size in sizes)
    return f"{value} points {'above' if found.above_zero else 'below'} {what} ({low} to {high})"


def _section(found: Replayed, held: Held, places: Mapping[str, int], number: int) -> Section:
    rows = [
        Row(one.name, tuple(figures.get(key) for key in COLUMNS), reference=one.name not in places)
        for one in held.standings
        for figures in (_figures(one),)
    ]
    return Section(
        f"Real answers: {found.table}",
        f"{TITLES.get(held.name, held.name).capitalize()}. Cost: {found.unit}.",
        figures=tuple(_plots(found, held, places, number)),
        tables=(Table(COLUMNS, tuple(rows)),),
    )


def _plots(found: Replayed, held: Held, places: Mapping[str, int], number: int) -> Iterator[Figure]:
    """Everybody's curve, and how far those of mortals are above the hull, where one curve hides another."""
    curves = {one.name: _points(one) for one in held.standings if one.points}
    series = tuple(Series(name, points, places.get(name)) for name, points in curves.items())
    cost = Axis("mean cost of an answer", log=all(cost > 0.0 for points in curves.values() for cost, _ in points))
    nth = f"-{number + 1}" if number else ""
    yield Figure(
        key=f"accuracy-over-cost-{found.table}{nth}",
        title=f"Accuracy over cost, {found.table}",
        caption="How often answers are right for what they cost. Higher and further left is better; the line named "
        "hull is what drawing blindly between single models reaches, and the oracle knows every answer beforehand.",
        kind=Kind.LINES,
        x=cost,
        y=Axis("right answers, %"),
        series=series,
    )
    if HULL in curves:
        bar = [Point(cost, height) for cost, height in curves[HULL]]
        yield Figure(
            key=f"beside-the-hull-{found.table}{nth}",
            title=f"Above and below the hull, {found.table}",
            caption="The same, less what drawing blindly between single models reaches at that cost: who is above 0 "
            "knows something of the prompts. Only costs that a model has by itself.",
            kind=Kind.LINES,
            x=cost,
            y=Axis("points above the hull"),
            series=tuple(replace(one, points=_over(one.points, bar)) for one in series if one.name not in FAR_OFF),
        )


def _points(one: Standing) -> tuple[tuple[float, float], ...]:
    """The curve of a contestant; of single models their hull. Dense: a line over cost is none over its logarithm."""
    curve = hull(one.points) if one.name == HULL else rising(one.points)
    costs = sorted({*(point.cost for point in curve), *_between(curve[0].cost, curve[-1].cost)})
    return tuple((cost, HUNDRED * accuracy_at(curve, cost)) for cost in costs)


def _over(points: Sequence[tuple[float, float]], bar: Sequence[Point]) -> tuple[tuple[float, float], ...]:
    low, high = bar[0].cost, bar[-1].cost
    return tuple((cost, height - accuracy_at(bar, cost)) for cost, height in points if low <= cost <= high)


def _between(low: float, high: float) -> Sequence[float]:
    """Costs at equal factors."""
    if not 0.0 < low < high:
        return []
    return [low * (high / low) ** (step / STEPS) for step in range(1, STEPS)]


def _fact(found: Replayed) -> tuple[str, str]:
    tasks = f" of {found.tasks:,} tasks" if found.tasks else ""
    fits = f"; only what fits {found.machine}" if found.machine else ""
    held = f"{found.folds} parts held out in turn, {found.rounds:,} resamples"
    return (
        f"Real answers, {found.table}",
        f"{found.prompts:,} prompts{tasks}, {len(found.models)} models{fits}; {held}",
    )
