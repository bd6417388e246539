"""A comparison on a terminal, and in files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mai_core.cli.output import ink, out, print_table
from mai_core.cli.tables import table
from mai_core.errors import MaiError

if TYPE_CHECKING:
    from mai_core.bench.report.comparison import Cell, Comparison

__all__ = ["ReportError", "make_room", "require_plots", "show", "write"]

# What leaves a narrow terminal first, and heads that are shorter than in a report.
DROP = ("cost", "joules", "worth", "waiting-p50", "over-hull", "switches")
HEADS = {
    "waiting-p50": "First p50",
    "waiting-p95": "First p95",
    "oom": "No memory",
    "lost": "Lost",
    "joules": "J",
    "over-hull": "beside the hull",
}


class ReportError(MaiError):
    """A report or its plots cannot be drawn or written."""


def require_plots() -> None:
    """Raises ``ReportError`` where plots cannot be drawn."""
    from mai_core.bench.report.plots import REMEDY, can_draw

    if not can_draw():
        raise ReportError("plots are drawn by Matplotlib, which is not here", remedy=REMEDY)


def make_room(html: Path | None, svg: Path | None, png: Path | None) -> None:
    """Make the folders that will be written to, so that a wrong one is told at once. Raises ``ReportError``."""
    with _told_in_a_line():
        for folder in (html and html.parent, svg, png):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)


def show(comparison: Comparison) -> None:
    """The one table of all, and what was found."""
    from mai_core.bench.report.metrics import metric_of

    headline = comparison.headline
    heads = {key: HEADS.get(_plain(key), metric_of(key).label) + _of_table(key) for key in headline.columns}
    drop = [heads[key] for plain in DROP for key in headline.columns if _plain(key) == plain]
    made = table("Strategy", *heads.values(), right=heads.values(), drop=drop)
    for row in headline.rows:
        made.add_row(row.name, *(_told(cell, key) for cell, key in zip(row.cells, headline.columns, strict=True)))
    print_table(made)
    print()
    console = out()
    for finding in comparison.findings:
        lead = (f"{finding.lead}: ", "bold") if finding.lead else ""
        console.print(ink(lead, finding.text), soft_wrap=not console.is_terminal)


def write(comparison: Comparison, html: Path | None, svg: Path | None, png: Path | None) -> Sequence[str]:
    """Write what is asked for where there is ``make_room``, and say where. Raises ``ReportError``."""
    with _told_in_a_line():
        return list(_written(comparison, html, svg, png))


@contextmanager
def _told_in_a_line() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        told = f"{error.filename or 'the report'} cannot be written ({error.strerror})"
        raise ReportError(told, remedy="choose another place") from error


def _written(comparison: Comparison, html: Path | None, svg: Path | None, png: Path | None) -> Iterator[str]:
    from mai_core.bench.report import plots
    from mai_core.bench.report.page import page

    figures = comparison.figures
    if html is not None:
        drawn = {figure.key: plots.inline_svg(figure) for figure in figures} if plots.can_draw() else {}
        html.write_text(page(comparison, drawn, plots.REMEDY), encoding="utf-8")
        yield f"The report: {html}" if drawn else f"The report, without plots: {html} ({plots.REMEDY} for plots)"
    for folder, ending in ((svg, "svg"), (png, "png")):
        if folder is not None:
            for figure in figures:
                content = plots.svg(figure).encode() if ending == "svg" else plots.png(figure)
                (folder / f"{figure.key}.{ending}").write_bytes(content)
            yield f"{len(figures)} plots: {folder}"


def _told(cell: Cell | None, key: str) -> str:
    from mai_core.bench.report.metrics import Unit, metric_of, written

    unit = metric_of(key).unit
    return "–" if cell is None else written(unit, cell.value, signed=unit is Unit.POINTS)


def _plain(key: str) -> str:
    return key.partition("@")[0]


def _of_table(key: str) -> str:
    _, _, name = key.partition("@")
    return f" {name}" if name else ""
