"""What was found, in sentences with their intervals. Nothing is called a difference that could be chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mai_core.bench.report.comparison import Cell, Finding
from mai_core.bench.report.metrics import METRICS, Unit, written

__all__ = ["between", "faulty", "listed", "safety", "told_worth"]

SHOWN = 3
"""Faults of one contestant that are told; the others are counted."""

Figures = Mapping[str, Mapping[str, Cell]]


def listed(parts: Sequence[str]) -> str:
    """Parts of a sentence: a, b and c."""
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else "".join(parts)


def told_worth(figures: Figures) -> Finding:
    """Who is worth most, all things weighed; nothing where one competes alone."""
    if len(figures) < 2:
        return Finding("")
    order = sorted(figures, key=lambda name: -figures[name]["worth"].value)
    best = figures[order[0]]["worth"].value
    others = [f"{name} {written(Unit.MONEY, figures[name]['worth'].value)}" for name in order[1:]]
    return Finding(
        f"{order[0]} is worth most, {written(Unit.MONEY, best)} for a thousand turns; {listed(others)}.",
        "All things weighed",
    )


def between(first: str, other: str, figures: Figures, paired: Mapping[str, Cell]) -> Finding:
    """What the first is above another: what is surely so, and in what the worlds do not tell them apart."""
    sure, unsure = [], []
    for key, name, tell in (
        ("quality", "quality", _quality),
        ("waiting", "waiting", _waiting),
        ("joules", "energy", _energy),
        ("switches", "switches", _switches),
        ("worth", "worth", _worth),
    ):
        cell = paired.get(key)
        if cell is None:
            continue
        if _surely(cell):
            sure.append(tell(cell, figures[other][key].value))
        else:
            unsure.append(name)
    if not sure and not unsure:
        return Finding("")
    if all(cell.low is None for cell in paired.values()):
        return Finding("one world alone does not tell what is chance; try more seeds.", f"{first} beside {other}")
    same = f"no difference that these worlds can tell in {listed(unsure)}" if unsure else ""
    return Finding(f"{'; '.join([*sure, same] if same else sure)}.", f"{first} beside {other}")


def safety(figures: Figures) -> Finding:
    """Who asked for memory that was not there, and who left turns without an answer."""
    told = []
    for name, figure in figures.items():
        oom, lost = int(figure["oom"].value), int(figure["lost"].value)
        faults = [f"ran out of memory {_times(oom)}"] if oom else []
        faults += [f"left {lost:,} {'turn' if lost == 1 else 'turns'} without an answer"] if lost else []
        if faults:
            told.append(f"{name} {' and '.join(faults)}")
    if not told:
        return Finding("nobody ever ran out of memory, and every turn was answered.", "Memory")
    return Finding(f"{'; '.join(told)}; nobody else did.", "Memory")


def faulty(name: str, faults: Mapping[str, int], turns: int) -> Finding:
    """How often somebody's strategies lost their vote, and why; nothing where they never did."""
    if not faults:
        return Finding("")
    often = sorted(faults, key=lambda fault: (-faults[fault], fault))
    told = [f"{fault} ({_times(faults[fault])})" for fault in often[:SHOWN]]
    told += [f"{len(often) - SHOWN} other ways"] if len(often) > SHOWN else []
    return Finding(f"lost votes in {turns:,} turns: {'; '.join(told)}.", f"Faults of {name}")


def _surely(cell: Cell) -> bool:
    return cell.low is not None and cell.high is not None and (cell.low > 0.0 or cell.high < 0.0)


def _quality(cell: Cell, _: float) -> str:
    up = cell.value > 0
    return f"{'better' if up else 'worse'} answers, quality {_by(cell, Unit.SHARE)} {'higher' if up else 'lower'}"


def _waiting(cell: Cell, there: float) -> str:
    return _share(cell, there, "waiting for the first word", Unit.SECONDS)


def _energy(cell: Cell, there: float) -> str:
    return _share(cell, there, "energy", Unit.JOULES, " J")


def _switches(cell: Cell, _: float) -> str:
    return f"{_by(cell, Unit.A_HUNDRED)} {'more' if cell.value > 0 else 'fewer'} switches in 100 turns"


def _worth(cell: Cell, _: float) -> str:
    return f"worth {_by(cell, METRICS['worth'].unit)} {'more' if cell.value > 0 else 'less'}"


def _bounds(cell: Cell) -> tuple[float, float]:
    """Of the size of a difference, the smaller first."""
    assert cell.low is not None
    assert cell.high is not None
    low, high = sorted((abs(cell.low), abs(cell.high)))
    return low, high


def _by(cell: Cell, unit: Unit, symbol: str = "") -> str:
    value, low, high = (f"{written(unit, size)}{symbol}" for size in (abs(cell.value), *_bounds(cell)))
    return f"{value} ({low} to {high})"


def _share(cell: Cell, there: float, what: str, unit: Unit, symbol: str = "") -> str:
    """A difference as a share of what the other has, or as a multiple of it, and as it is with its interval."""
    way = "more" if cell.value > 0 else "less"
    share = abs(cell.value) / there if there > 0.0 else 0.0
    if not share or (cell.value < 0 and share > 1):
        return f"{way} {what}, by {_by(cell, unit, symbol)}"
    if cell.value > there:
        return f"{1 + share:.1f} times the {what}, more by {_by(cell, unit, symbol)}"
    return f"{100 * share:.0f} % {way} {what}, by {_by(cell, unit, symbol)}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
