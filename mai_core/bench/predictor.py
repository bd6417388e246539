"""P(correct) of every model on a prompt from its text alone, fitted on a table of outcomes.

One ridge regression on the words and the shape of prompts, all models at once. It is held so strongly that a word moves
little by itself: measured on held-out prompts, that wins over weaker holding and, by the same measure, over naming the
prompt's task first. How far deviations from a model's mean are to be believed is then found on a fifth of the prompts
that the weights have not seen: where texts tell nothing, all that remains are the means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple, Protocol

from mai_core.policy.regression import Linear, identity, regress
from mai_core.policy.terms import terms

__all__ = ["Belief", "Predictor", "Table", "TextPrompt"]

# Chosen on held-out prompts and held-out tasks of MMLU-Pro.
STRENGTHS, TOKENS_STRENGTH = (500.0, 50.0, 5.0), 25.0
ROUNDS, TOKENS_ROUNDS = 14, 20
LEAST = 4
SHAPE = 2.5
CALIBRATION = 5
MOST_BELIEVED = 2.5
SURE = 0.01
# Characters of a prompt: more than a turn is judged by, since a table is read at leisure.
JUDGED = 4000

# By prompt_id and model: 1 for a correct answer, 0 for a wrong one; or the tokens of the answer.
Table = Mapping[str, Mapping[str, float]]


class TextPrompt(Protocol):
    """What is read of a prompt. Its task is not: a prompt that somebody types has none."""

    @property
    def prompt_id(self) -> str:
        """Its key in the table of outcomes."""

    @property
    def text(self) -> str:
        """What the models were asked."""


class Belief(NamedTuple):
    """Factors on deviations from the means: of all models ``together``, a prompt's difficulty, and of each from all.

    The latter is what chooses among models, and it is often the one to be believed less.
    """

    together: float
    apart: float


@dataclass(frozen=True, slots=True)
class Predictor:
    """Fitted weights, and how far what they say beyond the models' means is to be believed."""

    models: tuple[str, ...]
    weights: Linear
    belief: Belief
    lengths: Linear | None = None
    stretch: tuple[float, ...] = ()

    @classmethod
    def fit(cls, prompts: Sequence[TextPrompt], outcomes: Table, tokens: Table | None = None) -> Predictor:
        """Learn from ``prompts`` and which model answered them correctly; missing outcomes are no matter.

        The order of the prompts is none either. With ``tokens`` the lengths of answers are learnt, too. Raises
        ``ValueError`` when there is no outcome at all.
        """
        ordered = sorted(prompts, key=lambda p: sha256(p.prompt_id.encode("utf-8", "surrogatepass")).digest())
        models = tuple(sorted({model for p in ordered for model in outcomes.get(p.prompt_id, ())}))
        if not models:
            raise ValueError("no outcome to learn from")
        rows = [terms(p.text, JUDGED) for p in ordered]
        targets = [[outcomes.get(p.prompt_id, {}).get(model) for model in models] for p in ordered]
        strength, belief = _strength_and_belief(rows, targets)
        weights = _ridge(rows, targets, strength)
        if tokens is None:
            return cls(models, weights, belief)
        counted = [[tokens.get(p.prompt_id, {}).get(model) for model in models] for p in ordered]
        logs = [[None if n is None else math.log1p(n) for n in row] for row in counted]
        lengths = _ridge(rows, logs, TOKENS_STRENGTH, TOKENS_ROUNDS)
        return cls(models, weights, belief, lengths, _stretch(rows, counted, lengths))

    def predict(self, text: str) -> Mapping[str, float]:
        """The probability, in (0, 1), that each model answers ``text`` correctly."""
        scores = self.weights.scores(terms(text, JUDGED))
        told = [score - bias for score, bias in zip(scores, self.weights.bias, strict=True)]
        together = sum(told) / len(told)
        shared = (self.belief.together - self.belief.apart) * together
        believed = (b + shared + self.belief.apart * t for b, t in zip(self.weights.bias, told, strict=True))
        return {m: min(1.0 - SURE, max(SURE, p)) for m, p in zip(self.models, believed, strict=True)}

    def predict_tokens(self, text: str) -> Mapping[str, float]:
        """Tokens each model is expected to answer with; nothing when it was fitted without any."""
        if self.lengths is None:
            return {}
        scores = self.lengths.scores(terms(text, JUDGED))
        return {m: f * math.expm1(max(0.0, s)) for m, f, s in zip(self.models, self.stretch, scores, strict=True)}


Targets = Sequence[Sequence[float | None]]


def _ridge(rows: Sequence[set[bytes]], targets: Targets, strength: float, rounds: int = ROUNDS) -> Linear:
    return regress(rows, targets, link=identity, strength=strength, rounds=rounds, least=LEAST, rarity=_freedom)


def _freedom(term: bytes, texts_for_each: float) -> float:
    return SHAPE if b" " in term else math.log(1.0 + texts_for_each)


def _strength_and_belief(rows: Sequence[set[bytes]], targets: Targets) -> tuple[float, Belief]:
    """How strongly weights are held, and the factors on deviations that suit prompts they have not seen.

    The factors are by least squares. Where one has to be large, as in a small table of clear cases, weights are held
    less.
    """
    fresh = [i for i in range(len(rows)) if i % CALIBRATION == 0]
    seen = [i for i in range(len(rows)) if i % CALIBRATION]
    strength, belief = STRENGTHS[0], Belief(0.0, 0.0)
    for strength in STRENGTHS if seen else ():
        weights = _ridge([rows[i] for i in seen], [targets[i] for i in seen], strength)
        pairs = [_deviations(weights, rows[i], targets[i]) for i in fresh]
        together = [(sum(told) / len(told), sum(were) / len(were)) for told, were in pairs if told]
        apart = [
            (one - a, other - b)
            for (told, were), (a, b) in zip((pair for pair in pairs if pair[0]), together, strict=True)
            for one, other in zip(told, were, strict=True)
        ]
        belief = Belief(_slope(together), _slope(apart))
        if max(belief) <= MOST_BELIEVED:
            break
    return strength, Belief(*(min(MOST_BELIEVED, max(0.0, factor)) for factor in belief))


def _deviations(weights: Linear, row: set[bytes], target: Sequence[float | None]) -> tuple[list[float], list[float]]:
    """How far each model with an outcome is told to be off its mean on one prompt, and how far it was."""
    known = [i for i, value in enumerate(target) if value is not None]
    scores, bias = weights.scores(row), weights.bias
    return [scores[i] - bias[i] for i in known], [(target[i] or 0.0) - bias[i] for i in known]


def _slope(pairs: Sequence[tuple[float, float]]) -> float:
    across = sum(told * told for told, _ in pairs)
    return sum(told * were for told, were in pairs) / across if across else 0.0


def _stretch(rows: Sequence[set[bytes]], counted: Targets, lengths: Linear) -> tuple[float, ...]:
    """By how much the mean of each model's tokens exceeds that of what is told: a mean of logarithms tells too few."""
    told, were = [1.0] * len(lengths.bias), [1.0] * len(lengths.bias)
    for row, tokens in zip(rows, counted, strict=True):
        for i, (score, count) in enumerate(zip(lengths.scores(row), tokens, strict=True)):
            if count is not None:
                told[i] += math.expm1(max(0.0, score))
                were[i] += count
    return tuple(w / t for w, t in zip(were, told, strict=True))
