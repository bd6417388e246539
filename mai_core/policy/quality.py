"""How likely a model answers a turn well."""

from __future__ import annotations

import math

from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import UNKNOWN_PARAMETERS, ModelProfile
from mai_core.policy.regression import sigmoid
from mai_core.policy.tasks import SLOPE

__all__ = ["expected_quality", "prior_quality"]

# The line through the ``default`` of every chat model of the shipped catalogue, by least squares. So a model is not
# thought better of for being unknown.
AT_NOTHING = 0.22
PER_DOUBLING = 0.065
# Quality lost to quantisation, by bits a weight.
_QUANTISATION_LOSS = (
    ("Q2", 0.10),
    ("IQ1", 0.20),
    ("IQ2", 0.10),
    ("Q3", 0.05),
    ("IQ3", 0.05),
    ("Q4", 0.015),
    ("IQ4", 0.015),
)


def prior_quality(model: ModelProfile) -> float:
    """The quality of a model nobody has rated: grows with the logarithm of its size, less for coarse weights."""
    billions = (model.parameters or model.size_bytes * 1.6 or UNKNOWN_PARAMETERS) / 1e9
    quality = AT_NOTHING + PER_DOUBLING * math.log2(1.0 + 4.0 * billions)
    loss = next((loss for name, loss in _QUANTISATION_LOSS if model.quantisation.upper().startswith(name)), 0.0)
    return min(0.90, max(0.05, quality - loss))


def expected_quality(model: ModelProfile, features: TaskFeatures) -> float:
    """Probability in (0, 1) of a good answer to this turn: ability at its kind of task against its difficulty.

    An item response model of two parameters (Birnbaum 1968), on a scale where medium difficulty, 0.5, and an average
    discrimination leave the catalogue's figure as it is. A figure for the field outweighs that for the kind.
    """
    rated = model.quality.get(features.field) if features.field else None
    rated = model.quality.get(features.kind, model.quality.get("default")) if rated is None else rated
    base = prior_quality(model) if rated is None else min(0.99, max(0.01, rated))
    ability = features.discrimination * math.log(base / (1.0 - base))
    return sigmoid(ability - SLOPE * (features.difficulty - 0.5))
