"""The state of Mai as values, for ``mai status`` and ``mai models``."""

from __future__ import annotations

from dataclasses import dataclass

from mai_core.policy.models import LoadedModel, ModelProfile
from mai_core.policy.resources import ResourceSnapshot
from mai_core.policy.selection import Candidate, Rejection, Rung
from mai_core.runtime.presence import ProcessNote

__all__ = ["BackendStatus", "ModelRow", "Status"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendStatus:
    """One configured backend; ``error`` says why it offers no models."""

    name: str
    kind: str
    host: str
    remote: bool
    models: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """One model and how it stands now: a ``candidate`` when it could serve a turn, else a ``rejection``."""

    profile: ModelProfile
    candidate: Candidate | None = None
    rejection: Rejection | None = None
    loaded: LoadedModel | None = None
    pinned: bool = False

    @property
    def fit(self) -> str:
        """``fits``, ``smaller context``, ``quantised cache``, ``slow``, or ``does not fit`` and its kin."""
        if self.candidate is not None:
            return {
                Rung.FULL: "fits",
                Rung.SMALLER_CONTEXT: "smaller context",
                Rung.QUANTISED_KV: "quantised cache",
                Rung.SLOW: "slow",
            }[self.candidate.rung]
        return self.rejection.reason.value if self.rejection else "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything ``mai status`` shows.

    ``current`` is the model that answered last or answers now. ``processes`` are all running Mai processes of this
    person, this one included, with the models each has loaded.
    """

    current: str | None
    pinned: str | None
    loaded: tuple[LoadedModel, ...]
    resources: ResourceSnapshot
    backends: tuple[BackendStatus, ...] = ()
    processes: tuple[ProcessNote, ...] = ()
    probe_faults: tuple[str, ...] = ()
