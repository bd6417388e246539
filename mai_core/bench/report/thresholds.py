"""Bounds that whoever is under test has to keep, for scripts: ``METRIC=NUMBER`` or ``METRIC=STRATEGY``.

A number is the worst value that passes: the least where higher is better, the most where lower is. A strategy's name
demands not to be surely worse than it: the paired interval of the difference must not lie wholly on the wrong side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mai_core.bench.report.comparison import Comparison
from mai_core.bench.report.metrics import METRICS, Better, metric_of, written

__all__ = ["LAWS", "ON_TABLES", "PAIRED", "Threshold", "Verdict", "judged", "threshold"]

PAIRED = frozenset({"quality", "waiting", "switches", "joules", "cost", "worth", "regret"})
"""Keys of the metrics of which differences in the same worlds are known."""

ON_TABLES = frozenset({"aiq", "accuracy", "over-hull", "over-means"})
"""Keys of those that only real answers tell."""

LAWS = "broken-laws"
"""The key of what only trying the laws tells."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A bound: a number, or another strategy in place of it."""

    key: str
    bound: float | None = None
    other: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a bound was kept, and the figures in a line."""

    threshold: Threshold
    kept: bool
    told: str


def threshold(text: str, names: Sequence[str]) -> Threshold:
    """What ``METRIC=VALUE`` means, for contestants of those names. Raises ``ValueError`` with a line for a person."""
    key, equals, value = text.partition("=")
    if not equals or not value:
        raise ValueError(f"{text}: METRIC=NUMBER or METRIC=STRATEGY is wanted")
    if key.partition("@")[0] not in METRICS:
        raise ValueError(f"{key}: there are {', '.join(METRICS)}")
    if value in names[1:]:
        if key not in PAIRED:
            raise ValueError(f"{key}: only {', '.join(sorted(PAIRED))} can be held against a strategy")
        return Threshold(key, other=value)
    try:
        bound = float(value)
    except ValueError:
        bound = math.nan
    if math.isnan(bound):
        others = ", ".join(names[1:]) or "nobody"
        raise ValueError(f"{value}: neither a number nor one of the others, who are {others}")
    return Threshold(key, bound=bound)


def judged(comparison: Comparison, thresholds: Sequence[Threshold]) -> Sequence[Verdict]:
    """Whether the first contestant keeps each bound; what was not measured is not kept."""
    return [_judged(comparison, one) for one in thresholds]


def _judged(comparison: Comparison, one: Threshold) -> Verdict:
    first, metric = comparison.first, metric_of(one.key)
    here = comparison.cell(first, one.key)
    if one.other:
        found = comparison.beside(one.other, one.key)
        if found is None or found.low is None or found.high is None:
            return Verdict(one, False, f"{one.key} of {first} beside {one.other} is not known from one world alone")
        value, low, high = (written(metric.unit, v, signed=True) for v in (found.value, found.low, found.high))
        worse = metric.surely_worse(found.low, found.high)
        told = f"{one.key} of {first} is {value} beside {one.other} ({low} to {high})"
        return Verdict(one, not worse, f"{told}, {'surely worse' if worse else 'not surely worse'}")
    assert one.bound is not None
    if here is None:
        return Verdict(one, False, f"{one.key} of {first} was not measured")
    kept = metric.meets(here.value, one.bound)
    way = "at least" if metric.better is Better.HIGHER else "at most"
    told = f"{one.key} of {first} is {_exact(here.value)}, {way} {one.bound:g} is wanted"
    return Verdict(one, kept, told)


def _exact(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"
