"""What this machine teaches about predictions of memory: how far they are off here, and how sure that is.

A prediction is multiplied by a correction learnt from what was seen: first of all models of one architecture on one
engine and host, then of the model itself, each starting from what the one before it says (normal distributions of the
logarithm of observed over predicted, with the median and the median absolute deviation in place of mean and deviation:
https://en.wikipedia.org/wiki/Robust_statistics). One strange observation changes little, a few that agree change all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import exp, log, sqrt
from statistics import median

from mai_core.policy.models import Footprint, ModelProfile

__all__ = ["MOST_SEEN", "Basis", "Correction", "Corrections", "Estimate", "Learned", "Observation", "learn"]

HEADER_ERROR = 0.04
"""Relative, one standard deviation: of predictions from a header whose architecture is described."""

UNKNOWN_ERROR = 0.15
"""Of an architecture nobody has described; its prediction is an upper estimate."""

GUESSED_ERROR = 0.30
"""Of a guess from the size of a file alone."""

MAPPED_ERROR = 0.01
"""Of mapped weights, which are as long as their file, where its engine maps them."""

LEAST_ERROR = 0.01
"""Two loads of one model by one plan differ by about as much."""

MOST_SEEN = 500
"""Observations that are looked through, over all models."""

MOST_COUNTED = 20
"""Observations of one kind that count; older ones may be of another version of the engine."""

CAUTION = 2.0
"""Errors added to a prediction before it is held against what is free: one in forty takes more."""

LEAST, FURTHEST = 0.05, 3.0
"""No correction is outside of these: engines that map no file take next to nothing mapped, and none takes far more."""


class Basis(StrEnum):
    """How a prediction is known."""

    GUESSED = "guessed"
    HEADER = "header"
    LEARNED = "learned"


@dataclass(frozen=True, slots=True)
class Observation:
    """What a model in memory was predicted to take and what it took, at one length of conversation.

    ``engine`` is the kind of its backend, ``model`` the backend's own reference to it.
    """

    host: str
    engine: str
    architecture: str
    backend: str
    model: str
    predicted: Footprint
    observed: Footprint


@dataclass(frozen=True, slots=True)
class Correction:
    """A factor on predicted bytes, its relative ``error`` as one standard deviation, and the ``runs`` it stands on."""

    factor: float = 1.0
    error: float = HEADER_ERROR
    runs: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A predicted footprint, the most it may be with some caution, its relative error, and how it is known."""

    footprint: Footprint
    upper: Footprint
    error: float
    basis: Basis


@dataclass(frozen=True, slots=True)
class Corrections:
    """Of predictions for one model: of its private and its mapped main memory, and of what it takes on devices."""

    private: Correction = Correction()
    mapped: Correction = Correction(error=MAPPED_ERROR)
    device: Correction = Correction()
    basis: Basis = Basis.HEADER

    def estimate(self, predicted: Footprint) -> Estimate:
        """A prediction in the light of what was learnt."""
        private, mapped, device = self.private, self.mapped, self.device
        anonymous, file_backed = predicted.anonymous * private.factor, predicted.file_backed * mapped.factor
        devices = {name: size * device.factor for name, size in predicted.devices.items()}
        footprint = Footprint(int(anonymous), int(file_backed), {name: int(n) for name, n in devices.items()})
        upper = Footprint(
            int(anonymous * (1.0 + self._caution * private.error)),
            int(file_backed * (1.0 + self._caution * mapped.error)),
            {name: int(size * self.stretch) for name, size in predicted.devices.items()},
        )
        unsure = private.error * anonymous + mapped.error * file_backed + device.error * sum(devices.values())
        return Estimate(footprint, upper, unsure / max(1, footprint.total), self.basis)

    @property
    def stretch(self) -> float:
        """What a device has to have free for a predicted byte."""
        return self.device.factor * (1.0 + self._caution * self.device.error)

    @property
    def _caution(self) -> float:
        """A guess is an upper estimate as it is."""
        return 0.0 if self.basis is Basis.GUESSED else CAUTION


Place = tuple[str, ...]
"""A kind of model, as host, engine and architecture; or a model, as backend and location."""


@dataclass(frozen=True, slots=True)
class Learned:
    """Everything this machine has taught."""

    private: Mapping[Place, Correction] = field(default_factory=dict)
    mapped: Mapping[Place, Correction] = field(default_factory=dict)
    device: Mapping[Place, Correction] = field(default_factory=dict)

    def of(self, model: ModelProfile, engine: str) -> Corrections:
        """The corrections for ``model``, whose backend is of the kind ``engine``."""
        shape = model.architecture
        kind, own = (model.host, engine, shape.name if shape else ""), (model.backend, model.location)
        before = Correction(error=_unlearned(model))
        private = self.private.get(own) or self.private.get(kind) or before
        mapped = self.mapped.get(own) or self.mapped.get(kind) or Correction(error=MAPPED_ERROR)
        device = self.device.get(own) or self.device.get(kind) or before
        basis = Basis.HEADER if shape and shape.known else Basis.GUESSED
        return Corrections(private, mapped, device, Basis.LEARNED if private.runs or device.runs else basis)


def learn(observations: Iterable[Observation]) -> Learned:
    """Corrections from what was observed, newest first."""
    seen = tuple(observations)
    return Learned(
        _learnt(seen, lambda footprint: footprint.anonymous),
        _learnt(seen, lambda footprint: footprint.file_backed, MAPPED_ERROR),
        _learnt(seen, lambda footprint: sum(footprint.devices.values())),
    )


def _learnt(
    seen: Sequence[Observation], of: Callable[[Footprint], int], error: float = HEADER_ERROR
) -> dict[Place, Correction]:
    """First of each kind of model, then of each model, in the light of its kind."""
    kinds: dict[Place, list[float]] = {}
    models: dict[Place, list[float]] = {}
    kind_of: dict[Place, Place] = {}
    for one in seen:
        predicted, observed = of(one.predicted), of(one.observed)
        if predicted > 0:
            kind, model = (one.host, one.engine, one.architecture), (one.backend, one.model)
            ratio = log(max(1, observed) / predicted)
            kinds.setdefault(kind, []).append(ratio)
            models.setdefault(model, []).append(ratio)
            kind_of.setdefault(model, kind)
    before = {kind: Correction(error=error if kind[-1] else GUESSED_ERROR) for kind in kinds}
    found = {kind: _updated(before[kind], ratios) for kind, ratios in kinds.items()}
    return found | {model: _updated(found[kind_of[model]], ratios) for model, ratios in models.items()}


def _unlearned(model: ModelProfile) -> float:
    """The error of predictions for a model before anything was seen."""
    if model.architecture is None:
        return GUESSED_ERROR
    return HEADER_ERROR if model.architecture.known else UNKNOWN_ERROR


def _updated(before: Correction, ratios: Sequence[float]) -> Correction:
    """What is thought after seeing logarithms of observed over predicted, newest first."""
    counted = ratios[:MOST_COUNTED]
    middle = median(counted)
    spread = 1.4826 * median(abs(ratio - middle) for ratio in counted)
    few = len(counted) < 3  # too few to tell how much they scatter
    spread = max(LEAST_ERROR, spread, before.error / len(counted) if few else 0.0)
    weight, weight_before = len(counted) / spread**2, 1.0 / before.error**2
    mean = (weight * middle + weight_before * log(before.factor)) / (weight + weight_before)
    error = sqrt(1.0 / (weight + weight_before) + spread**2)
    factor = min(FURTHEST, max(LEAST, exp(mean)))
    return Correction(factor, min(error, before.error if few else GUESSED_ERROR), max(before.runs, len(counted)))
