"""Colours of contestants: told apart on white and on black, by those who see few colours, and printed grey by marks."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["GRID", "INK", "PAPER", "QUIET", "SERIES", "Tone", "tone", "variables"]


class Tone(NamedTuple):
    """One colour by day and by night, as the variable ``name`` of a page's style."""

    name: str
    light: str
    dark: str


INK = Tone("--ink", "#1d2127", "#e6e8eb")
QUIET = Tone("--quiet", "#5b6470", "#9aa4b1")
GRID = Tone("--grid", "#e3e6ea", "#30363e")
PAPER = Tone("--paper", "#fdfdfc", "#15181c")

# After Okabe and Ito (2008), "Color Universal Design", darkened for white and lightened for black.
SERIES = (
    Tone("--s0", "#0b6fb3", "#5cb3ee"),
    Tone("--s1", "#c9540a", "#f59a52"),
    Tone("--s2", "#0a8463", "#3fc79d"),
    Tone("--s3", "#a9478a", "#e08fc4"),
    Tone("--s4", "#8a6d00", "#e3c443"),
    Tone("--s5", "#4d4fc4", "#9a9cf5"),
    Tone("--s6", "#b3263a", "#f0808f"),
    Tone("--s7", "#3f6b1f", "#9ccb6f"),
)


def tone(place: int | None) -> Tone:
    """That of a contestant by its place; quiet for who only is compared with."""
    return QUIET if place is None else SERIES[place % len(SERIES)]


def variables(*, dark: bool) -> str:
    """Every tone as a declaration of CSS."""
    return "".join(f"{t.name}:{t.dark if dark else t.light};" for t in (INK, QUIET, GRID, PAPER, *SERIES))
