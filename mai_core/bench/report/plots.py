"""Figures drawn by Matplotlib, without a screen: the same figure gives the same bytes.

Matplotlib is no dependency of Mai but of its extra ``report``. It is imported when the first figure is drawn.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mai_core.bench.report.figures import Figure, Kind, Series
from mai_core.bench.report.palette import GRID, INK, PAPER, QUIET, SERIES, tone
from mai_core.bench.report.vector import inline, standalone

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure as Canvas
    from matplotlib.lines import Line2D

__all__ = ["REMEDY", "can_draw", "inline_svg", "png", "svg"]

REMEDY = "pip install 'mai[report]'"

WIDTH, HEIGHT = 4.8, 2.9
ROW, DOTS_ROW, LEGEND_ROW = 0.27, 0.36, 0.2
TITLE = 0.28
LEGEND_LETTERS, MARK_LETTERS = 60, 6
DOTS_AN_INCH = 200
LONGEST = 22
APART = 0.22
# One fewer than colours, so that the ninth differs from the first in its mark.
MARKS = "os^DvPX"
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
QUIET_DASHES = ((0, (5, 2)), (0, (6, 2, 1, 2)), (0, (9, 2)), (0, (1, 1.5)), (0, (2, 3)))

# Typed as anything: Matplotlib knows its parameters as one long list of literals.
STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": QUIET.light,
    "axes.facecolor": "none",
    "axes.formatter.use_mathtext": False,
    "axes.grid": True,
    "axes.labelcolor": QUIET.light,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": True,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "grid.color": GRID.light,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.labelcolor": INK.light,
    "svg.fonttype": "none",
    "svg.hashsalt": "mai",
    "text.color": INK.light,
    "text.parse_math": False,
    "xtick.color": QUIET.light,
    "xtick.labelsize": 8.5,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.color": QUIET.light,
    "ytick.labelcolor": INK.light,
    "ytick.labelsize": 8.5,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}


def can_draw() -> bool:
    """Whether Matplotlib is installed."""
    return find_spec("matplotlib") is not None


def svg(figure: Figure) -> str:
    """A document of its own, on white. Raises ``ImportError`` without Matplotlib."""
    return standalone(_svg(figure, titled=True), figure.title, figure.caption)


def inline_svg(figure: Figure) -> str:
    """An element for a page, in the colours of the page. Raises ``ImportError`` without Matplotlib."""
    return inline(_svg(figure), figure.key, figure.title, figure.caption)


def png(figure: Figure) -> bytes:
    """A picture on white, 200 dots an inch. Raises ``ImportError`` without Matplotlib."""
    return _drawn(figure, "png", titled=True, metadata={"Software": None}, dpi=DOTS_AN_INCH, facecolor=PAPER.light)


def _svg(figure: Figure, *, titled: bool = False) -> str:
    return _drawn(figure, "svg", titled=titled, transparent=True).decode()


def _drawn(figure: Figure, form: str, *, titled: bool, **options: Any) -> bytes:
    with _style():
        canvas = _canvas(figure, titled=titled)
        written = io.BytesIO()
        canvas.savefig(written, format=form, **options)
    return written.getvalue()


@contextmanager
def _style() -> Iterator[None]:
    """Matplotlib's own defaults and ours, whatever the person has set; names may be in scripts its font lacks."""
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def _canvas(figure: Figure, *, titled: bool) -> Canvas:
    """Where nothing around it tells what it is, a figure bears its title."""
    from matplotlib.figure import Figure as Canvas

    named = [short(series.name) for series in _in_legend(figure)]
    beside = _beside_each_other(named)
    legend = LEGEND_ROW * -(-len(named) // beside)
    row = DOTS_ROW if figure.kind is Kind.DOTS else ROW
    height = 0.75 + row * len(figure.rows) if figure.rows else HEIGHT
    canvas = Canvas(figsize=(WIDTH, height + legend + TITLE * titled), layout="constrained")
    if titled:
        canvas.suptitle(figure.title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    axes = canvas.add_subplot()
    _axes(axes, figure)
    handles = [_draw(axes, figure, series, number) for number, series in enumerate(figure.series)]
    if named:
        # A legend is filled column by column, people read it line by line.
        order = [place for column in range(beside) for place in range(column, len(named), beside)]
        canvas.legend(
            handles=[handles[place] for place in order],
            labels=[named[place] for place in order],
            loc="outside lower left",
            ncols=beside,
            handlelength=1.8,
            columnspacing=1.4,
        )
    return canvas


def _beside_each_other(names: Sequence[str]) -> int:
    """How many entries of a legend a line holds, in columns as wide as their longest."""
    for columns in range(len(names), 1, -1):
        if sum(max(map(len, names[column::columns])) + MARK_LETTERS for column in range(columns)) <= LEGEND_LETTERS:
            return columns
    return 1


def _in_legend(figure: Figure) -> list[Series]:
    """Whoever has no row of its own is named in a legend."""
    return [] if figure.kind in (Kind.BARS, Kind.RANGES) else list(figure.series)


def _axes(axes: Axes, figure: Figure) -> None:
    axes.set_xlabel(figure.x.label, loc="left")
    if figure.x.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if figure.rows:
        axes.set_ylim(len(figure.rows) - 0.5, -0.5)
        axes.set_yticks(range(len(figure.rows)), [short(row) for row in figure.rows])
        axes.spines["left"].set_visible(False)
        axes.grid(figure.kind is Kind.DOTS, axis="y")
    else:
        # Above the axis rather than turned beside it: read like everything else.
        axes.set_title(figure.y.label, loc="left", fontsize=9, color=QUIET.light)
        axes.spines["left"].set_visible(False)


def _draw(axes: Axes, figure: Figure, series: Series, number: int) -> Line2D | BarContainer:
    """What stands for it in a legend."""
    colour, mark = tone(series.place).light, MARKS[number % len(MARKS)]
    xs, ys = [x for x, _ in series.points], [y for _, y in series.points]
    if figure.kind is Kind.DOTS:
        # Beside each other around the row's line, so that equal values do not hide each other.
        middle = (len(figure.series) - 1) / 2
        ys = [y + APART * (number - middle) / max(1.0, middle) for y in ys]
    match figure.kind:
        case Kind.POINTS | Kind.DOTS:
            (line,) = axes.plot(xs, ys, mark, color=colour, markersize=7, markeredgecolor=PAPER.light, clip_on=False)
        case Kind.LINES:
            alone = len(xs) == 1
            dash = "" if alone else _dash(figure, series)
            (line,) = axes.plot(
                xs,
                ys,
                mark if alone else "",
                linestyle=dash,
                color=colour,
                linewidth=1.2 if series.place is None else 1.9,
                markersize=7,
                markeredgecolor=PAPER.light,
                zorder=2.0 if series.place is None else 3.0,
            )
        case Kind.BARS:
            bars = axes.barh(ys, xs, height=0.6, color=colour)
            for x, y in zip(xs, ys, strict=True):
                axes.annotate(
                    f"{x:.1f}", (x, y), (4, 0), textcoords="offset points", va="center", fontsize=8.5, color=INK.light
                )
            return bars
        case Kind.RANGES:
            axes.plot(xs, ys, color=colour, linewidth=5, alpha=0.35, solid_capstyle="round")
            (line,) = axes.plot(xs, ys, "o", color=colour, markersize=5)
    return line


def _dash(figure: Figure, series: Series) -> Any:
    """Lines of one colour differ in their dashes: beyond so many contestants, and those there to compare with."""
    if series.place is not None:
        return DASHES[series.place // len(SERIES) % len(DASHES)]
    references = [one.name for one in figure.series if one.place is None]
    return QUIET_DASHES[references.index(series.name) % len(QUIET_DASHES)]


def short(name: str) -> str:
    """A name that leaves room for the plot."""
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
