"""What strategies are compared by: what each figure means, which way is better, and how it is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

__all__ = ["METRICS", "Better", "Metric", "Unit", "metric_of", "written"]


class Better(Enum):
    """Which way is better."""

    HIGHER = "higher"
    LOWER = "lower"


class Unit(Enum):
    """What a figure is counted in; the value is how a head of a table says it."""

    SHARE = "0 to 1"
    PERCENT = "%"
    POINTS = "points"
    SECONDS = "seconds"
    A_HUNDRED = "per 100 turns"
    COUNT = "in all"
    JOULES = "J a turn"
    MONEY = "per 1,000 turns"


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure by which strategies are compared. ``key`` is its name in JSON and for thresholds."""

    key: str
    label: str
    unit: Unit
    better: Better
    meaning: str

    def surely_worse(self, low: float, high: float) -> bool:
        """Whether a difference of which this is the interval lies wholly on the wrong side."""
        return high < 0.0 if self.better is Better.HIGHER else low > 0.0

    def meets(self, value: float, bound: float) -> bool:
        """Whether a value is no worse than a bound."""
        return value >= bound if self.better is Better.HIGHER else value <= bound


_HIGHER, _LOWER = Better.HIGHER, Better.LOWER

_ALL = (
    Metric(
        *("quality", "Quality", Unit.SHARE, _HIGHER),
        "The mean probability that an answer is a good one: 0 is never, 1 is always.",
    ),
    Metric(
        *("waiting", "First word, mean", Unit.SECONDS, _LOWER),
        "Waiting until the first word of an answer, loading of a model included; the mean over all turns.",
    ),
    Metric(
        *("waiting-p50", "First word, p50", Unit.SECONDS, _LOWER),
        "Half of all turns wait no longer than this for the first word of the answer.",
    ),
    Metric(
        *("waiting-p95", "First word, p95", Unit.SECONDS, _LOWER),
        "19 of 20 turns wait no longer than this for the first word of the answer.",
    ),
    Metric(
        *("waiting-p99", "First word, p99", Unit.SECONDS, _LOWER),
        "99 of 100 turns wait no longer than this for the first word of the answer.",
    ),
    Metric(
        *("end-p95", "Last word, p95", Unit.SECONDS, _LOWER),
        "19 of 20 turns wait no longer than this for the end of the answer.",
    ),
    Metric(
        *("switches", "Switches", Unit.A_HUNDRED, _LOWER),
        "How often an answer came from another model than the one before. Switching takes time; it is no fault by "
        "itself where the other model answers better.",
    ),
    Metric(
        *("oom", "Out of memory", Unit.COUNT, _LOWER),
        "Loads of a model for which there was not enough memory: always the fault of whoever decided.",
    ),
    Metric(
        *("killed", "Killed", Unit.COUNT, _LOWER),
        "Models that the system ended because other programs took their memory later: mostly bad luck.",
    ),
    Metric(*("lost", "Lost turns", Unit.COUNT, _LOWER), "Turns that no model could answer."),
    Metric(
        *("faults", "Faults", Unit.COUNT, _LOWER),
        "Turns in which a strategy lost its vote, because it raised an error, took too long or answered nonsense. The "
        "core then decided without it.",
    ),
    Metric(
        *("joules", "Energy", Unit.JOULES, _LOWER),
        "Electricity in joules (J) that models took beyond what the machine draws when idle, for a turn. 3.6 million "
        "joules are a kilowatt hour.",
    ),
    Metric(
        *("cost", "Cost", Unit.MONEY, _LOWER),
        "Electricity and waiting, both priced as the settings say, in the currency of the settings.",
    ),
    Metric(
        *("worth", "Worth", Unit.MONEY, _HIGHER),
        "What good answers are worth, less their cost: the one figure that weighs quality, waiting and energy against "
        "each other, in the same currency.",
    ),
    Metric(
        *("regret", "Regret", Unit.MONEY, _LOWER),
        "How much more worth a clairvoyant would have had, who knows how good and how fast every model really is and "
        "finds it loaded. Nobody gets to 0.",
    ),
    Metric(
        *("aiq", "AIQ", Unit.PERCENT, _HIGHER),
        "On recorded answers: the mean share of right answers over all costs from the cheapest model's to the "
        "dearest's, that is the area under the curve of accuracy over cost.",
    ),
    Metric(
        *("accuracy", "Accuracy", Unit.PERCENT, _HIGHER),
        "On recorded answers: the largest share of right answers that it reaches at any of its settings.",
    ),
    Metric(
        *("over-hull", "Beside the hull", Unit.POINTS, _HIGHER),
        "How far that is above what drawing blindly between single models reaches at the same cost. Who is not above 0 "
        "has learnt nothing of the prompts.",
    ),
    Metric(
        *("over-means", "Beside task means", Unit.POINTS, _HIGHER),
        "How far that is above choosing by each model's mean on the task, by somebody who is told the task.",
    ),
    Metric(
        *("broken-laws", "Broken laws", Unit.COUNT, _LOWER),
        "Laws of a good strategy that it broke in some generated world (mai bench check).",
    ),
)

METRICS: Mapping[str, Metric] = MappingProxyType({metric.key: metric for metric in _ALL})
"""By key."""

_DIGITS = {Unit.SHARE: 3, Unit.PERCENT: 2, Unit.POINTS: 2, Unit.A_HUNDRED: 1, Unit.MONEY: 2, Unit.JOULES: 0}


def metric_of(key: str) -> Metric:
    """That of a key; one of several tables is named behind an @. Raises ``KeyError``."""
    return METRICS[key.partition("@")[0]]


def written(unit: Unit, value: float, *, signed: bool = False) -> str:
    """A figure for a person, without its unit except for seconds."""
    if not math.isfinite(value):
        return "–"
    if unit is Unit.SECONDS:
        return _seconds(value, "+" if signed and value > 0 else "")
    return f"{value:{'+' if signed else ''},.{_DIGITS.get(unit, 0)}f}".replace("-", "−")


def _seconds(value: float, sign: str) -> str:
    size, sign = abs(value), "−" if value < 0 else sign
    if size < 1:
        return f"{sign}{1000 * size:.0f} ms"
    if size < 600:
        return f"{sign}{size:.{1 if size < 10 else 0}f} s"
    return f"{sign}{size / 60:.0f} min" if size < 6000 else f"{sign}{size / 3600:.1f} h"
