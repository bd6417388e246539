"""Strategies as third parties might write them, each wrong in one way, and the law that catches it."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from typing import Any, ClassVar

from mai_core import hookimpl
from mai_core.plugin.interfaces import SelectionStrategy
from mai_core.policy.selection import Candidate, Proposal, SelectionRequest

__all__ = ["WRONG", "Careful", "Plugin"]


class Careful:
    """What is right: the others are like this one but for one thing."""

    name: ClassVar[str] = "careful"

    def score(self, c: Candidate) -> float:
        return c.quality * c.health

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        return [Proposal(c.key, self.score(c), "quality by health") for c in request.candidates]


class Raises(Careful):
    name = "raises"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        best = max(c.quality for c in request.candidates)
        return [Proposal(c.key, float(c.quality == best), "the best") for c in request.candidates]


class RaisesSeldom(Careful):
    name = "raises-seldom"

    def score(self, c: Candidate) -> float:
        return c.quality * c.health / (c.prefill_seconds / c.prefill_seconds)


class Slow(Careful):
    name = "slow"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        time.sleep(0.11)
        return super().propose(request)


class Quadratic(Careful):
    name = "quadratic"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        places = {
            c.key: 1 + sum((o.quality, o.key) > (c.quality, c.key) for o in request.candidates)
            for c in request.candidates
        }
        return [Proposal(c.key, self.score(c), f"place {places[c.key]}") for c in request.candidates]


class Endless(Careful):
    name = "endless"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        while True:
            pass


class NotANumber(Careful):
    name = "nan"

    def score(self, c: Candidate) -> float:
        return math.nan if c.is_remote else c.quality * c.health


class TooHigh(Careful):
    name = "too-high"

    def score(self, c: Candidate) -> float:
        return c.quality * c.health + 0.2 * c.is_loaded


class Foreign(Careful):
    name = "foreign"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        usual = request.current or "gpt-5"
        return [Proposal(usual, 0.5, "as always"), *super().propose(request)]


class Twice(Careful):
    name = "twice"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        return [*super().propose(request), *super().propose(request)]


class Scores(Careful):
    name = "no-proposals"

    def propose(self, request: SelectionRequest) -> Any:
        return {c.key: self.score(c) for c in request.candidates}


class Tuples(Careful):
    name = "tuples"

    def propose(self, request: SelectionRequest) -> Any:
        return [(c.key, self.score(c), "quality") for c in request.candidates]


class Silent(Careful):
    name = "silent"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        return [Proposal(c.key, self.score(c)) for c in request.candidates]


class Moody(Careful):
    name = "random"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        return [Proposal(c.key, random.random(), "a mood") for c in request.candidates]


class Elephant(Careful):
    name = "stateful"

    def __init__(self) -> None:
        self.turns = 0

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        self.turns += 1
        return [Proposal(c.key, self.score(c) / self.turns, "I remember") for c in request.candidates]


class Averaging(Careful):
    """Smooths what it thinks of a model over turns: the answer to a request alone is always the same."""

    name = "averaging"

    def __init__(self) -> None:
        self.best = 0.0

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        self.best = max([self.best, *(c.quality for c in request.candidates)])
        return [Proposal(c.key, self.score(c) * (1 - self.best / 2), "beside the best yet") for c in request.candidates]


class FirstComes(Careful):
    name = "first-comes"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        return [Proposal(c.key, self.score(c) / (1 + i / 100), "first") for i, c in enumerate(request.candidates)]


class Alphabetical(Careful):
    name = "alphabetical"

    def score(self, c: Candidate) -> float:
        return c.quality * c.health * (1.0 if c.key[0] < "c" else 0.99)


class Normalising(Careful):
    """Min-max over the candidates, as routers like to do."""

    name = "normalising"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        found = [c.quality for c in request.candidates]
        least, span = min(found, default=0.0), (max(found, default=0.0) - min(found, default=0.0)) or 1.0
        return [Proposal(c.key, (c.quality - least) / span, "of those there are") for c in request.candidates]


class Crowded(Careful):
    name = "crowded"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        share = 1 / len(request.candidates) if request.candidates else 1.0
        return [Proposal(c.key, self.score(c) * share, "its share") for c in request.candidates]


class Perverse(Careful):
    name = "quality-inverting"

    def score(self, c: Candidate) -> float:
        return (1.0 - c.quality) * c.health


class Spendthrift(Careful):
    name = "spendthrift"

    def score(self, c: Candidate) -> float:
        return min(1.0, c.quality * c.health / 2 + c.money)


class Patient(Careful):
    name = "patient"

    def score(self, c: Candidate) -> float:
        return c.quality * c.health * c.wait_seconds / (1 + c.wait_seconds)


class Pitying(Careful):
    name = "pitying"

    def score(self, c: Candidate) -> float:
        return c.quality * (1.0 - c.health / 2)


class Cramming(Careful):
    name = "cramming"

    def score(self, c: Candidate) -> float:
        return c.quality * c.health * (1.0 - max(0.0, c.spare) / 2)


class Vandal(Careful):
    name = "vandal"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        for c in request.candidates:
            c.footprint.devices["cuda0"] = -1  # type: ignore[index]
        return super().propose(request)


class Vain(Careful):
    """Says of itself what is not so."""

    name = "vain"
    claims: ClassVar[frozenset[str]] = frozenset({"cost-is-heeded"})


WRONG: dict[type[SelectionStrategy], str] = {
    Raises: "never-raises",
    RaisesSeldom: "never-raises",
    Slow: "answers-in-time",
    Quadratic: "answers-in-time",
    Endless: "answers-in-time",
    NotANumber: "scores-are-utilities",
    TooHigh: "scores-are-utilities",
    Foreign: "proposes-only-candidates",
    Twice: "proposes-only-candidates",
    Scores: "answers-with-proposals",
    Tuples: "answers-with-proposals",
    Silent: "gives-reasons",
    Moody: "is-deterministic",
    Elephant: "is-deterministic",
    Averaging: "remembers-nothing",
    FirstComes: "order-is-irrelevant",
    Alphabetical: "names-are-irrelevant",
    Normalising: "a-dominated-model-changes-nothing",
    Crowded: "scores-are-absolute",
    Perverse: "never-prefers-a-dominated-model",
    Spendthrift: "a-lower-price-never-lowers-a-score",
    Patient: "speed-never-lowers-a-score",
    Pitying: "health-never-lowers-a-score",
    Cramming: "room-to-spare-never-lowers-a-score",
    Vandal: "changes-nothing-it-is-given",
    Vain: "cost-is-heeded",
}


class Plugin:
    """All of them, as one plugin registers them, and the careful one."""

    @hookimpl
    def mai_register_strategies(self) -> list[type[SelectionStrategy]]:
        return [Careful, *WRONG]
