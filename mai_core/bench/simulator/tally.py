"""What became of a run, in a form that can be added up over runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

__all__ = ["PARTS", "Histogram", "Tally"]

PARTS = 20
"""A run is cut into so many parts of equal numbers of turns, for what changes over time."""

WIDTH = 1.02
_LOG = math.log(WIDTH)
LEAST = 0.01


@dataclass(slots=True)
class Histogram:
    """Seconds, counted in bins that are 2 % wide: percentiles are exact to that, and histograms can be added."""

    bins: dict[int, int] = field(default_factory=dict)
    count: int = 0
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one; what is below a hundredth of a second counts as that."""
        place = int(math.log(seconds / LEAST) / _LOG) if seconds > LEAST else 0
        self.bins[place] = self.bins.get(place, 0) + 1
        self.count += 1
        self.total += seconds

    def percentile(self, share: float) -> float:
        """Seconds that this share of all does not exceed; the upper edge of the bin."""
        wanted, seen = share * self.count, 0
        for place in sorted(self.bins):
            seen += self.bins[place]
            if seen >= wanted:
                return LEAST * WIDTH ** (place + 1)
        return 0.0

    @property
    def mean(self) -> float:
        """Exact, but for rounding of sums."""
        return self.total / self.count if self.count else 0.0

    def plus(self, other: Histogram) -> Histogram:
        """Both together."""
        bins = dict(self.bins)
        for place, count in other.bins.items():
            bins[place] = bins.get(place, 0) + count
        return Histogram(bins, self.count + other.count, self.total + other.total)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"bins": {str(place): n for place, n in sorted(self.bins.items())}, "total": self.total}

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Self:
        """What ``to_json`` gave."""
        bins = {int(place): int(n) for place, n in data["bins"].items()}
        return cls(bins, sum(bins.values()), float(data["total"]))


@dataclass(slots=True)
class Tally:
    """Counts and sums over turns.

    lost          turns that nothing could answer; every other one is answered
    quality       sum of the true probabilities of a good answer (1 or 0 for one whose first words were judged);
                  ``good`` counts the answers that were
    first, end    seconds from sending to the first token, and to the end of the answer
    switches      answers by another model than the one before; ``loads`` those that somebody waited for
    overdrawn     loads for which there was not the memory, the decision's fault; ``killed`` models that died because
                  others took their memory later; ``crashes`` engines that died by themselves
    doubted       answers that a second model gave, as the first was not sure of its own
    money, cost   of electricity; and of that and the waiting of whoever asked together
    utility       what all turns were worth, in money: answers less their cost
    ceiling       what a clairvoyant could have had: see ``oracle``
    regret        by part of the run: what the ceiling exceeds the utility by; ``rewards`` what a learner is told
    """

    turns: int = 0
    lost: int = 0
    quality: float = 0.0
    good: int = 0
    switches: int = 0
    loads: int = 0
    prepared: int = 0
    overdrawn: int = 0
    killed: int = 0
    crashes: int = 0
    doubted: int = 0
    joules: float = 0.0
    money: float = 0.0
    cost: float = 0.0
    utility: float = 0.0
    ceiling: float = 0.0
    seconds: float = 0.0
    first: Histogram = field(default_factory=Histogram)
    end: Histogram = field(default_factory=Histogram)
    regret: list[float] = field(default_factory=lambda: [0.0] * PARTS)
    rewards: list[float] = field(default_factory=lambda: [0.0] * PARTS)
    served: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        served, faults = dict(self.served), dict(self.faults)
        for mine, theirs in ((served, other.served), (faults, other.faults)):
            for key, count in theirs.items():
                mine[key] = mine.get(key, 0) + count
        sums = {name: getattr(self, name) + getattr(other, name) for name in _SUMS}
        return Tally(
            **sums,
            first=self.first.plus(other.first),
            end=self.end.plus(other.end),
            regret=[a + b for a, b in zip(self.regret, other.regret, strict=True)],
            rewards=[a + b for a, b in zip(self.rewards, other.rewards, strict=True)],
            served=served,
            faults=faults,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values that ``of_json`` reads."""
        return {
            **{name: getattr(self, name) for name in _SUMS},
            "first": self.first.to_json(),
            "end": self.end.to_json(),
            "regret": self.regret,
            "rewards": self.rewards,
            "served": dict(sorted(self.served.items())),
            "faults": dict(sorted(self.faults.items())),
        }

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Self:
        """What ``to_json`` gave."""
        return cls(
            **{name: data[name] for name in _SUMS},
            first=Histogram.of_json(data["first"]),
            end=Histogram.of_json(data["end"]),
            regret=list(data["regret"]),
            rewards=list(data["rewards"]),
            served=dict(data["served"]),
            faults=dict(data["faults"]),
        )


_SUMS = (
    "turns",
    "lost",
    "quality",
    "good",
    "switches",
    "loads",
    "prepared",
    "overdrawn",
    "killed",
    "crashes",
    "doubted",
    "joules",
    "money",
    "cost",
    "utility",
    "ceiling",
    "seconds",
)
