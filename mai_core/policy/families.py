"""What a model nobody has rated is worth when its relatives are rated: other sizes of the same family.

A family is what a name says before its size: ``qwen2.5-coder-9b-instruct`` is of ``qwen2.5-coder``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mai_core.policy.catalogue import before_size
from mai_core.policy.models import KnownModel
from mai_core.policy.quality import logit, size_quality
from mai_core.policy.regression import sigmoid

__all__ = ["family_quality"]


def family_quality(known: Sequence[KnownModel], key: str, parameters: float) -> Mapping[str, float]:
    """Figures by kind of task for ``key``, a model of so many ``parameters``; nothing when no relative is rated.

    Between two sizes odds are interpolated by the logarithm of the size; beyond the largest and below the smallest
    they move as those of all models do with size.
    """
    family = before_size(key)
    if not family or not parameters:
        return {}
    relatives = sorted(
        (k for k in known if k.chat and k.quality and k.parameters and before_size(k.key) == family),
        key=lambda k: (k.parameters, k.key),
    )
    below = [k for k in relatives if k.parameters <= parameters]
    above = [k for k in relatives if k.parameters > parameters]
    if below and above:
        return _between(below[-1], above[0], parameters)
    if nearest := (below[-1:] or above[:1]):
        return _moved(nearest[0], parameters)
    return {}


def _between(small: KnownModel, large: KnownModel, parameters: float) -> Mapping[str, float]:
    share = math.log(parameters / small.parameters) / math.log(large.parameters / small.parameters)
    return {
        kind: sigmoid((1.0 - share) * logit(figure) + share * logit(large.quality[kind]))
        for kind, figure in small.quality.items()
        if kind in large.quality
    }


def _moved(nearest: KnownModel, parameters: float) -> Mapping[str, float]:
    shift = logit(size_quality(parameters)) - logit(size_quality(nearest.parameters))
    return {kind: sigmoid(logit(figure) + shift) for kind, figure in nearest.quality.items()}
