"""Replays as CSV: a row for each contestant, and a row for each point of each curve."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from mai_core.bench.replay.result import Replayed

__all__ = ["points_csv", "standings_csv", "write_points"]

INTERVALS = ("aiq", "accuracy", "over_hull", "over_means")


def standings_csv(results: Sequence[Replayed]) -> str:
    """Contestants' figures: shares, not percent; empty where there are none."""
    bounds = [f"{name}{end}" for name in INTERVALS for end in ("", "_low", "_high")]
    columns = ["table", "section", "contestant", *bounds, "top_accuracy", "top_cost", "as_best", "fault"]
    rows = []
    for result in results:
        for section in result.sections:
            for one in section.standings:
                told = [value for name in INTERVALS for value in getattr(one, name) or ("", "", "")]
                top = (one.top.accuracy, one.top.cost) if one.top else ("", "")
                best = "" if one.as_best is None else one.as_best
                rows.append([result.table, section.name, one.name, *told, *top, best, one.fault])
    return _csv(columns, rows)


def points_csv(results: Sequence[Replayed]) -> str:
    """Curves: what every contestant costs at each of its settings, and how often it is right."""
    rows = (
        (result.table, section.name, one.name, setting, *point)
        for result in results
        for section in result.sections
        for one in section.standings
        for setting, point in zip(one.settings, one.points, strict=True)
    )
    return _csv(["table", "section", "contestant", "setting", "cost", "accuracy"], rows)


def write_points(file: Path, results: Sequence[Replayed]) -> None:
    """``points_csv`` into a file. Raises ``OSError``."""
    file.write_text(points_csv(results), encoding="utf-8")


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()
