"""How a replay is shown on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mai_core.cli.output import ink
from mai_core.cli.tables import table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from mai_core.bench.replay.intervals import Interval
    from mai_core.bench.replay.result import Replayed, Section, Standing

__all__ = ["replay_view"]

TITLES = {"out-of-fold": "Prompts held out, {folds} folds", "held-out-tasks": "Every task held out in turn"}
TASK = "beside task mean"
HULL = "beside the hull"


def replay_view(found: Replayed) -> Iterator[RenderableType]:
    """The models, then a table of contestants and one of scores for each section; empty lines between."""
    tasks = f" of {found.tasks} tasks" if found.tasks else ""
    yield ink((found.table, "bold cyan"), f": {found.prompts:,} prompts{tasks}, {len(found.models)} models.")
    if found.machine:
        yield ink(f"Only what fits {found.machine}.")
    yield ink((f"Cost: {found.unit}.", "dim"))
    yield ""
    yield _models(found)
    for section in found.sections:
        yield ""
        yield ink((TITLES[section.name].format(folds=found.folds), "bold"))
        yield ink(("In percent, differences in points; in brackets 95 % intervals.", "dim"))
        yield _standings(section)
        if section.gaps:
            yield ""
            yield _gaps(section, found)
    yield ""


def _models(found: Replayed) -> RenderableType:
    made = table("Model", "Right", "Cost", "On hull", right=("Right", "Cost"))
    for model in found.models:
        made.add_row(model.name, f"{100 * model.accuracy:.2f}", _cost(model.cost), "yes" if model.on_hull else "")
    return made


def _standings(section: Section) -> RenderableType:
    columns = ("AIQ", HULL, TASK, "Best", "Cost", "As best")
    made = table("Router", *columns, right=columns, drop=("As best", "Cost", "Best"))
    for standing in section.standings:
        name = ink((standing.name, "dim" if standing.reference else ""))
        if standing.fault:
            made.add_row(name, *("–" for _ in columns))
            continue
        top = standing.top
        made.add_row(
            name,
            f"{100 * standing.aiq.value:.2f}" if standing.aiq else "–",
            _beside(standing.over_hull),
            "" if standing.name == "per-task mean" else _beside(standing.over_means),
            f"{100 * top.accuracy:.2f}" if top else "",
            _cost(top.cost) if top else "",
            _as_best(standing),
        )
    return made


def _gaps(section: Section, found: Replayed) -> RenderableType:
    """How fast the gap between two models closes, by what orders the prompts."""
    from rich.console import Group

    columns = ("APGR", "CPT 50 %", "CPT 80 %")
    made = table("Score", *columns, right=columns)
    for gap in section.gaps:
        made.add_row(
            gap.score,
            _plain(gap.apgr, 3),
            *(_plain(figure.scaled(100.0), 1) for figure in (gap.cpt50, gap.cpt80)),
        )
    return Group(ink((f"From {found.weak} to {found.strong}", "bold")), made)


def _beside(interval: Interval | None) -> Text:
    """A difference in percentage points; coloured where zero is outside of the interval."""
    if interval is None:
        return ink("")
    value, low, high = (100.0 * part for part in interval)
    style = "green" if interval.above_zero else "red" if interval.below_zero else ""
    return ink((f"{value:+.2f} [{low:+.2f}, {high:+.2f}]", style))


def _plain(interval: Interval, digits: int) -> str:
    return f"{interval.value:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def _as_best(standing: Standing) -> str:
    return "never" if standing.as_best is None else f"{100 * standing.as_best:.0f} %"


def _cost(cost: float) -> str:
    return f"{cost:,.0f}" if cost >= 100 else f"{cost:.3g}"
