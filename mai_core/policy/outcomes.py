"""What this person's own outcomes teach about how well models answer them.

An item response model as in ``policy.quality``, whose abilities are shifted, each time normally distributed around 0:
by kind of task, for all models alike, as a kind may be harder, or its person stricter, than was thought; by model; and
by model and kind. So few outcomes say a little, many of one kind are believed of that kind, and what all models have in
common is held against none of them. The most probable shifts are found by Newton's steps, and the curvature there tells
how sure they are (Laplace's approximation).

What follows from the form, whatever was counted before:

- a good outcome never lowers, and a bad one never raises, the quality of its model at any kind of task, nor that of any
  model at its kind of task; no other changes as much as that of its model at its kind of task;
- one outcome moves an ability by no more than ``MOST`` x weight x discrimination logits;
- models without outcomes keep their order; without any outcomes all is as it was before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import log1p, sqrt, tanh
from typing import NamedTuple

from mai_core.policy.features import TaskFeatures
from mai_core.policy.kinds import TaskKind
from mai_core.policy.quality import logit
from mai_core.policy.selection import Candidate

__all__ = ["HALF_LIFE", "MOST", "Abilities", "Outcome", "Shift", "Sign", "outcome_of", "refit"]

COMMON, MODEL, OWN = 0.50, 0.12, 0.08
"""Variances, in squared logits: of a kind of task for all models, of a model, and of a model at a kind of task.

What the catalogue expects of models on public questions is off by about 0.25, 0.04 and 0.02. People differ more from
each other than examinations do; much wider than this, chance misleads where there is nothing to learn
(``mai_core.bench.refit``).
"""

MOST = COMMON + MODEL + OWN
"""What one outcome of the weight 1 on a task of average discrimination moves an ability by, at most, in logits."""

HALF_LIFE = 90 * 86_400.0
"""Seconds after which an outcome counts half: models are updated, and people come to ask other things."""

FORGOTTEN = 2.0**-20
ROUNDS = 60
CLOSE = 1e-8
"""Steps that change no odds by more, in logits, are the last: errors are squared with every one."""

Cell = tuple[str, TaskKind]
Row = tuple[float, float, float, float]


class Sign(StrEnum):
    """How an outcome is known.

    rated      the person said so
    retried    they had the reply written again
    edited     they put their message differently instead of going on
    struggled  the model looped, guessed or answered nothing
    failed     it crashed
    kept       they left it at that, as people mostly do; so that being used is not held against a model
    """

    RATED = "rated"
    RETRIED = "retried"
    EDITED = "edited"
    STRUGGLED = "struggled"
    FAILED = "failed"
    KEPT = "kept"

    @property
    def weight(self) -> float:
        """What it counts beside a person's own word."""
        return _WEIGHTS[self]

    @property
    def verdict(self) -> float:
        """How good an answer it speaks of where nobody rates it."""
        return 1.0 if self is Sign.KEPT else 0.0


_WEIGHTS = {
    Sign.RATED: 1.0,
    Sign.RETRIED: 0.4,
    Sign.EDITED: 0.2,
    Sign.STRUGGLED: 0.2,
    Sign.FAILED: 0.1,
    Sign.KEPT: 0.05,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one answer turned out. Nothing of what was said is in it.

    model           the name all placements of a model share
    expected        probability of a good answer before anything was learnt of this person
    discrimination  and ``difficulty``: as in ``TaskFeatures``
    value           how good it was, from 0 to 1
    at              when, in seconds since the epoch; ``seconds`` is what the turn took
    """

    model: str
    kind: TaskKind
    expected: float
    value: float
    sign: Sign = Sign.RATED
    discrimination: float = 1.0
    difficulty: float = 0.5
    at: float = 0.0
    seconds: float = 0.0


def outcome_of(candidate: Candidate, features: TaskFeatures, sign: Sign, *, value: float, seconds: float) -> Outcome:
    """How an answer of ``candidate`` turned out, whatever was learnt before it."""
    return Outcome(
        model=candidate.model or candidate.key,
        kind=features.kind,
        expected=candidate.quality - candidate.learnt,
        value=value,
        sign=sign,
        discrimination=features.discrimination,
        difficulty=features.difficulty,
        seconds=seconds,
    )


class Shift(NamedTuple):
    """How far an ability is off what was known beforehand, in logits, and its error as one standard deviation.

    ``outcomes`` is the number of those of this very model and kind.
    """

    value: float = 0.0
    error: float = sqrt(MOST)
    outcomes: int = 0


_NOTHING = Shift()


@dataclass(frozen=True, slots=True)
class Abilities:
    """What outcomes taught: of models at kinds of task, of models at kinds without outcomes, and of kinds for models
    without outcomes."""

    cells: Mapping[Cell, Shift] = field(default_factory=dict)
    models: Mapping[str, Shift] = field(default_factory=dict)
    kinds: Mapping[TaskKind, Shift] = field(default_factory=dict)

    def of(self, model: str, kind: TaskKind) -> Shift:
        """The shift of a model at a kind of task."""
        return self.cells.get((model, kind)) or self.models.get(model) or self.kinds.get(kind) or _NOTHING


def refit(
    outcomes: Iterable[Outcome], *, now: float, half_life: float = HALF_LIFE, start: Abilities | None = None
) -> Abilities:
    """The most probable abilities given ``outcomes``, which count half for every ``half_life`` seconds of age.

    ``start`` is where to begin, such as the last fit: it saves time and changes nothing.
    """
    cells: dict[Cell, list[Row]] = {}
    for one in outcomes:
        counts = _WEIGHTS[one.sign] * 0.5 ** (max(0.0, now - one.at) / half_life)
        if counts > FORGOTTEN:
            half = one.discrimination / 2.0
            row = (logit(one.expected) / 2.0, half, counts * half, 2.0 * one.value - 1.0)
            cells.setdefault((one.model, one.kind), []).append(row)
    if not cells:
        return Abilities()
    reach = {cell: 2.0 * max(row[1] for row in rows) for cell, rows in cells.items()}
    at = {cell: start.of(*cell).value if start is not None else 0.0 for cell in cells}
    for _ in range(ROUNDS):
        net = _Net({cell: _evidence(rows, at[cell]) for cell, rows in cells.items()})
        steps = {cell: net.mean(cell) - place for cell, place in at.items()}
        far = max(reach[cell] * abs(step) for cell, step in steps.items())
        # A step damped so never overshoots where the curvature changes no faster than by itself: Sun and Tran-Dinh
        # 2019, generalised self-concordant functions, with nu = 2.
        damped = log1p(far) / far if far else 1.0
        at = {cell: place + damped * steps[cell] for cell, place in at.items()}
        if far < CLOSE:
            break
    return net.abilities({cell: len(rows) for cell, rows in cells.items()})


class _Belief(NamedTuple):
    """A normal distribution by its precision and by precision x mean, so that those of several sources add up."""

    precision: float
    pull: float

    def beside(self, other: _Belief) -> _Belief:
        """Both together."""
        return _Belief(self.precision + other.precision, self.pull + other.pull)

    def widened(self, variance: float) -> _Belief:
        """What it says of something that differs by so much."""
        narrow = 1.0 + self.precision * variance
        return _Belief(self.precision / narrow, self.pull / narrow)


def _evidence(rows: Sequence[Row], at: float) -> _Belief:
    """What the outcomes of a cell say of its shift, as the normal distribution that fits their likelihood at a place.

    With t = tanh(z / 2) the probability of a good answer is (1 + t) / 2, and no exponential overflows.
    """
    pull = curvature = 0.0
    for offset, half, weight, side in rows:
        t = tanh(offset + half * at)
        pull += weight * (side - t)
        curvature += weight * half * (1.0 - t * t)
    return _Belief(curvature, curvature * at + pull)


class _Net:
    """The posterior of all shifts, given normal evidence of what a kind, a model and their own make together.

    What is a cell's own is integrated out first. Models are tied to each other by kinds alone, so they go next, and a
    small matrix over kinds is left to invert.
    """

    def __init__(self, evidence: Mapping[Cell, _Belief]) -> None:
        self._evidence = evidence
        models = {model: _Belief(1.0 / MODEL, 0.0) for model, _ in evidence}
        kinds = {kind: _Belief(1.0 / COMMON, 0.0) for _, kind in evidence}
        self._ties: dict[str, dict[TaskKind, float]] = {model: {} for model in models}
        for (model, kind), belief in evidence.items():
            told = belief.widened(OWN)
            models[model], kinds[kind] = models[model].beside(told), kinds[kind].beside(told)
            self._ties[model][kind] = told.precision
        left = {one: {other: kinds[one].precision * (one is other) for other in kinds} for one in kinds}
        pulls = {kind: belief.pull for kind, belief in kinds.items()}
        for model, ties in self._ties.items():
            precision, pull = models[model]
            for one, tie in ties.items():
                pulls[one] -= tie * pull / precision
                for other, its in ties.items():
                    left[one][other] -= tie * its / precision
        self._models = models
        self._between = _inverse(left)
        self._of_kinds = {kind: sum(row[k] * pull for k, pull in pulls.items()) for kind, row in self._between.items()}
        self._of_models = {
            model: (pull - sum(tie * self._of_kinds[kind] for kind, tie in self._ties[model].items())) / precision
            for model, (precision, pull) in models.items()
        }

    def mean(self, cell: Cell) -> float:
        """The shift of a cell with evidence."""
        precision, pull = self._evidence[cell]
        return (self._of_models[cell[0]] + self._of_kinds[cell[1]] + OWN * pull) / (1.0 + OWN * precision)

    def abilities(self, counts: Mapping[Cell, int]) -> Abilities:
        """Every shift with its error."""
        cells, models = {}, {}
        for model, mean in self._of_models.items():
            spread = self._spread(model)
            models[model] = Shift(mean, sqrt(spread + COMMON + OWN))
            for kind, common in self._of_kinds.items():
                variance = spread + self._between[kind][kind] + 2.0 * self._shared(model, kind)
                narrow = 1.0 + OWN * self._evidence.get((model, kind), _NONE).precision
                at = self.mean((model, kind)) if (model, kind) in self._evidence else mean + common
                error = sqrt(OWN / narrow + variance / narrow**2)
                cells[model, kind] = Shift(at, error, counts.get((model, kind), 0))
        kinds = {
            kind: Shift(mean, sqrt(self._between[kind][kind] + MODEL + OWN)) for kind, mean in self._of_kinds.items()
        }
        return Abilities(cells, models, kinds)

    def _shared(self, model: str, kind: TaskKind) -> float:
        """The covariance of a model and a kind."""
        ties, precision = self._ties[model], self._models[model].precision
        return -sum(tie * self._between[kind][other] for other, tie in ties.items()) / precision

    def _spread(self, model: str) -> float:
        """The variance of a model."""
        ties, precision = self._ties[model], self._models[model].precision
        return (1.0 - sum(tie * self._shared(model, kind) for kind, tie in ties.items())) / precision


_NONE = _Belief(0.0, 0.0)


def _inverse(matrix: Mapping[TaskKind, Mapping[TaskKind, float]]) -> dict[TaskKind, dict[TaskKind, float]]:
    """Of a symmetric positive definite matrix (Gauss and Jordan; it needs no pivots)."""
    left = {one: dict(row) for one, row in matrix.items()}
    found = {one: {other: float(one is other) for other in matrix} for one in matrix}
    for one in matrix:
        pivot = left[one][one]
        for rows in (left, found):
            rows[one] = {k: value / pivot for k, value in rows[one].items()}
        for other in matrix:
            if other is not one and (factor := left[other][one]):
                for rows in (left, found):
                    rows[other] = {k: value - factor * rows[one][k] for k, value in rows[other].items()}
    return found
