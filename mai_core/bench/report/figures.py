"""What a plot shows, as plain values: the same figure is drawn as SVG, as PNG, or told in words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Axis", "Figure", "Kind", "Series"]


class Kind(Enum):
    """How points are drawn."""

    POINTS = "points"
    LINES = "lines"
    BARS = "bars"
    RANGES = "ranges"
    DOTS = "dots"


@dataclass(frozen=True, slots=True)
class Axis:
    """What is counted along it, and whether by factors."""

    label: str
    log: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one contestant; ``place`` is its place among all, which gives its colour. References have none."""

    name: str
    points: tuple[tuple[float, float], ...]
    place: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A plot. ``key`` names its file; ``caption`` says to anybody what to see in it.

    Of ``POINTS`` every series has one, of ``LINES`` many. The others have ``rows`` instead of a second axis, the number
    of a row for the second coordinate: of ``BARS`` and ``RANGES`` a series has one row, of ``DOTS`` a point in each.
    The points of a range are its ends and what lies between.
    """

    key: str
    title: str
    caption: str
    kind: Kind
    x: Axis
    y: Axis = Axis("")
    series: tuple[Series, ...]
    rows: tuple[str, ...] = ()
