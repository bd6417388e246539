"""How likely a model answers a turn well."""

from __future__ import annotations

import math
from functools import cache

from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import UNKNOWN_PARAMETERS, ModelProfile
from mai_core.policy.regression import sigmoid
from mai_core.policy.tasks import SLOPE

__all__ = [
    "ability",
    "answers_well",
    "expected_quality",
    "logit",
    "prior_quality",
    "quantisation_loss",
    "size_quality",
]

# The line through the ``default`` of every chat model of the shipped catalogue, by least squares. So a model is not
# thought better of for being unknown.
AT_NOTHING = 0.22
PER_DOUBLING = 0.065
# Quality lost to quantisation, by bits a weight.
FOUR_BITS_LOSE = 0.015
_QUANTISATION_LOSS = (
    ("Q2", 0.10),
    ("IQ1", 0.20),
    ("IQ2", 0.10),
    ("Q3", 0.05),
    ("IQ3", 0.05),
    ("Q4", FOUR_BITS_LOSE),
    ("IQ4", FOUR_BITS_LOSE),
)


def logit(probability: float) -> float:
    """The logarithm of the odds; of what is nearly certain, as of one in a hundred."""
    held = min(0.99, max(0.01, probability))
    return math.log(held / (1.0 - held))


def size_quality(parameters: float) -> float:
    """The quality of a model of which its size alone is known: it grows with the logarithm."""
    return AT_NOTHING + PER_DOUBLING * math.log2(1.0 + 4.0 * parameters / 1e9)


def prior_quality(model: ModelProfile) -> float:
    """The quality of a model nobody has rated: grows with the logarithm of its size, less for coarse weights."""
    quality = size_quality(model.parameters or model.size_bytes * 1.6 or UNKNOWN_PARAMETERS)
    return min(0.90, max(0.05, quality - quantisation_loss(model)))


def quantisation_loss(model: ModelProfile) -> float:
    """Quality lost to coarse weights."""
    return _loss_of(model.quantisation)


@cache
def _loss_of(quantisation: str) -> float:
    spelled = quantisation.upper()
    return next((loss for name, loss in _QUANTISATION_LOSS if spelled.startswith(name)), 0.0)


def ability(model: ModelProfile, features: TaskFeatures) -> float:
    """How able a model is at this kind of task, in logits, by all that is known before anybody used it.

    A figure for the field outweighs that for the kind. Figures are for weights of four bits and better; coarser ones
    lose.
    """
    rated = model.quality.get(features.field) if features.field else None
    rated = model.quality.get(features.kind, model.quality.get("default")) if rated is None else rated
    return logit(prior_quality(model) if rated is None else rated - max(0.0, quantisation_loss(model) - FOUR_BITS_LOSE))


def answers_well(ability: float, features: TaskFeatures) -> float:
    """Probability in (0, 1) that who is so able answers this turn well.

    An item response model of two parameters (Birnbaum 1968), on a scale where medium difficulty, 0.5, and an average
    discrimination leave the catalogue's figure as it is.
    """
    return sigmoid(features.discrimination * ability - SLOPE * (features.difficulty - 0.5))


def expected_quality(model: ModelProfile, features: TaskFeatures, shift: float = 0.0) -> float:
    """Probability in (0, 1) of a good answer to this turn; ``shift`` is what outcomes taught, see ``outcomes``."""
    return answers_well(ability(model, features) + shift, features)
