"""Regression on bags of terms, for many targets at once, in pure Python and quick: thousands of texts in seconds.

All targets share the passes over the texts, since their weights lie in the lanes of one integer (``lanes``): a text is
scored by one ``sum``, and its errors are handed to its terms by one addition each. Minimised is

    sum of losses + strength / 2 * sum over terms of |weights|² / rarity²

by accelerated gradient descent (Nesterov 1983) from zero, with a fixed number of rounds and a step bounded by the
curvature: no randomness, so the same rows give the same weights. The bias stays what the means of the targets say,
which keeps the problem well conditioned; words that every text has do the rest.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import mul

from mai_core.policy.lanes import Lanes

__all__ = ["Linear", "identity", "regress", "sigmoid", "sigmoids", "softmax"]

# Fractions of one that weights and errors are counted in. A text has at most some thousands of terms of weights below
# ten, and some hundred thousand texts have errors below one, which stays clear of the limit of a lane.
_WEIGHT = 1 << 16
_ERROR = 1 << 13

Link = Callable[[Sequence[float]], Sequence[float]]


def identity(scores: Sequence[float]) -> Sequence[float]:
    """For least squares: the score is the prediction."""
    return scores


def sigmoid(score: float) -> float:
    """The probability of a logit, at any size of it."""
    if score >= 0.0:
        return 1.0 / (1.0 + math.exp(-score))
    grown = math.exp(max(-700.0, score))
    return grown / (1.0 + grown)


def sigmoids(scores: Sequence[float]) -> Sequence[float]:
    """For independent yes-or-no targets."""
    return [sigmoid(score) for score in scores]


def softmax(scores: Sequence[float]) -> list[float]:
    """For targets of which one holds."""
    most = max(scores)
    grown = [math.exp(score - most) for score in scores]
    total = sum(grown)
    return [value / total for value in grown]


@dataclass(frozen=True, slots=True)
class Linear:
    """Scores of a bag of terms: ``bias + sum of the weights of its terms / sqrt(number of known terms)``, per target.

    ``table`` packs the weights of a term, in units of ``steps``, with a lane more that counts the term as known.
    """

    bias: tuple[float, ...]
    table: Mapping[bytes, int]
    steps: tuple[float, ...]

    @property
    def lanes(self) -> Lanes:
        """How ``table`` packs."""
        return _lanes(len(self.bias) + 1)

    def scores(self, terms: Collection[bytes]) -> list[float]:
        """One score a target; the bias where no term is known."""
        return self.counted(terms)[0]

    def counted(self, terms: Collection[bytes]) -> tuple[list[float], int]:
        """The scores, and how many of the terms are known."""
        *sums, known = self.lanes.total(filter(None, map(self.table.get, terms)))
        scale = 1.0 / math.sqrt(known) if known else 0.0
        return [bias + scale * value for bias, value in zip(self.bias, map(mul, self.steps, sums), strict=True)], known


_lanes = lru_cache(maxsize=64)(Lanes)


def regress(
    rows: Sequence[Collection[bytes]],
    targets: Sequence[Sequence[float | None]],
    *,
    link: Link,
    strength: float,
    rounds: int,
    curvature: float = 1.0,
    least: int = 2,
    rarity: Callable[[bytes, float], float] | None = None,
) -> Linear:
    """Weights that tell ``targets`` from ``rows``.

    rows       the terms of each text
    targets    what is to be told of it, the same number for each text; None where it is not known
    curvature  the most the link can curve: 1 for squares, 1/4 for sigmoids, 1/2 for softmax
    least      texts a term has to occur in
    rarity     how freely a term may weigh, by itself and the texts for each that has it; else log(1 + texts for each)
    """
    count = len(targets[0])
    frequency = Counter(term for row in rows for term in row)
    vocabulary = sorted(term for term, texts in frequency.items() if texts >= least)
    place = {term: i for i, term in enumerate(vocabulary)}
    bags = [[place[term] for term in sorted(row) if term in place] for row in rows]
    scales = [1.0 / math.sqrt(len(bag)) if bag else 0.0 for bag in bags]
    weigh = rarity or _rarity
    freedom = [weigh(term, len(rows) / frequency[term]) ** 2 for term in vocabulary]
    top = curvature * _largest_eigenvalue(bags, scales, freedom) + strength
    kappa = math.sqrt(strength / top)
    momentum = (1.0 - kappa) / (1.0 + kappa)
    lanes = _lanes(count)
    means = [_mean([value for value in column if value is not None]) for column in zip(*targets, strict=True)]
    bias = _unlinked(means, link)
    weights = [[0.0] * count for _ in vocabulary]
    ahead = [list(w) for w in weights]
    steps = [f / top for f in freedom]
    decay = strength / top
    for _ in range(rounds):
        packed = [lanes.pack([int(w * _WEIGHT) for w in row]) for row in ahead]
        gathered = [0] * len(vocabulary)
        for bag, scale, target in zip(bags, scales, targets, strict=True):
            unit = scale / _WEIGHT
            sums = lanes.unpack(sum(map(packed.__getitem__, bag)))
            told = link([b + unit * s for b, s in zip(bias, sums, strict=True)])
            errors = [0.0 if t is None else t - p for t, p in zip(target, told, strict=True)]
            handed = lanes.pack([int(e * scale * _ERROR) for e in errors])
            for term in bag:
                gathered[term] += handed
        for term, step in enumerate(steps):
            pull, was, here = step / _ERROR, weights[term], ahead[term]
            now = [h - decay * h + pull * g for h, g in zip(here, lanes.unpack(gathered[term]), strict=True)]
            ahead[term] = [n + momentum * (n - w) for n, w in zip(now, was, strict=True)]
            weights[term] = now
    full = _lanes(count + 1)
    table = {term: full.pack([*(round(w * _WEIGHT) for w in weights[i]), 1]) for term, i in place.items()}
    return Linear(bias=tuple(bias), table=table, steps=(1.0 / _WEIGHT,) * count)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _rarity(term: bytes, texts_for_each: float) -> float:
    del term
    return math.log(1.0 + texts_for_each)


def _unlinked(means: Sequence[float], link: Link) -> list[float]:
    if link is identity:
        return list(means)
    held = [min(0.999, max(0.001, mean)) for mean in means]
    return [math.log(p / (1.0 - p)) if link is sigmoids else math.log(p) for p in held]


def _largest_eigenvalue(bags: Sequence[Sequence[int]], scales: Sequence[float], freedom: Sequence[float]) -> float:
    """Of the texts' second moments, with a tenth to spare: power iteration."""
    vector, size = [1.0] * len(freedom), 1.0
    for _ in range(12):
        moved = [0.0] * len(vector)
        weighed = [v * math.sqrt(f) for v, f in zip(vector, freedom, strict=True)]
        for bag, scale in zip(bags, scales, strict=True):
            share = scale * scale * sum(map(weighed.__getitem__, bag))
            for term in bag:
                moved[term] += share
        moved = [m * math.sqrt(f) for m, f in zip(moved, freedom, strict=True)]
        size = math.sqrt(sum(m * m for m in moved)) or 1.0
        vector = [m / size for m in moved]
    return 1.1 * size
