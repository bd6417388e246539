"""The state of Mai as values, for ``mai status`` and ``mai models``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mai_core.policy.budget import Budget
from mai_core.policy.learning import Estimate
from mai_core.policy.models import Footprint, LoadedModel, ModelProfile
from mai_core.policy.resources import ResourceSnapshot
from mai_core.policy.selection import Candidate, Rejection, Rung
from mai_core.runtime.presence import ProcessNote

__all__ = ["BackendStatus", "Held", "ModelRow", "Placement", "Status"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendStatus:
    """One configured backend.

    ``error`` says why it offers no models, and ``remedy`` what helps; ``absent`` when that is no fault: it is only
    looked for, and not there. ``note`` is what it has to tell of itself.
    """

    name: str
    kind: str
    host: str
    remote: bool
    models: int = 0
    error: str = ""
    remedy: str = ""
    absent: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """What a model was ``estimated`` to take, and what it was last seen to take: ``deviation`` 0.02 is 2 % more.

    The estimate is what is believed now of as many tokens as were in its context then.
    """

    estimated: Estimate
    observed: Footprint
    deviation: float

    @classmethod
    def of(cls, estimated: Estimate, observed: Footprint) -> Held:
        """Both, and how far they are apart."""
        return cls(estimated, observed, observed.total / max(1, estimated.footprint.total) - 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One backend's offer of a model and how it stands now.

    It is a ``candidate`` when it could serve a turn, else there is a ``rejection``. ``pinned`` when a person's pin
    speaks of it.
    """

    profile: ModelProfile
    candidate: Candidate | None = None
    rejection: Rejection | None = None
    loaded: LoadedModel | None = None
    pinned: bool = False

    @property
    def fit(self) -> str:
        """``fits``, ``smaller context``, ``quantised cache``, ``partial offload``, ``slow``, ``does not fit``, ...

        ``server decides`` where nobody here knows what the model would take or what its machine has.
        """
        if self.candidate is not None and not self.candidate.is_loaded and not self.candidate.footprint.total:
            return "server decides"
        if self.candidate is not None:
            return {
                Rung.FULL: "fits",
                Rung.SMALLER_CONTEXT: "smaller context",
                Rung.QUANTISED_KV: "quantised cache",
                Rung.PARTIAL_OFFLOAD: "partial offload",
                Rung.SLOW: "slow",
            }[self.candidate.rung]
        return self.rejection.reason.value if self.rejection else "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """One model with all its placements, the one to run it on now first."""

    placements: tuple[Placement, ...]

    @property
    def model(self) -> str:
        """The name of the model."""
        return self.best.profile.model or self.best.profile.key

    @property
    def best(self) -> Placement:
        """Where it would run now: where it is loaded, else on this machine rather than on another."""
        return self.placements[0]

    @property
    def pinned(self) -> bool:
        """Whether a person's pin speaks of it, or of one of its placements."""
        return any(p.pinned for p in self.placements)

    @property
    def loaded(self) -> LoadedModel | None:
        """It in memory, wherever that is."""
        return next((p.loaded for p in self.placements if p.loaded), None)

    @classmethod
    def of(cls, placements: Iterable[Placement]) -> ModelRow:
        """The row of these placements, in whatever order they come."""
        return cls(placements=tuple(sorted(placements, key=_preference)))


def _preference(placement: Placement) -> tuple[bool, bool, bool]:
    return placement.candidate is None, placement.loaded is None, placement.profile.remote


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything ``mai status`` shows.

    ``current`` is the model that answered last or answers now. ``processes`` are all running Mai processes of this
    person, this one included, with the models each has loaded. ``rungs`` says by key how far
    what this process has loaded came down the ladder; ``kept_out`` who is not tried after failing, and until when.
    ``held`` says by key how a prediction stood when a model was last measured. ``budget`` is what may be spent on
    tokens, and what was.
    """

    current: str | None
    pinned: str | None
    loaded: tuple[LoadedModel, ...]
    resources: ResourceSnapshot
    backends: tuple[BackendStatus, ...] = ()
    processes: tuple[ProcessNote, ...] = ()
    probe_faults: tuple[str, ...] = ()
    rungs: Mapping[str, str] = field(default_factory=dict)
    kept_out: tuple[Rejection, ...] = ()
    held: Mapping[str, Held] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
