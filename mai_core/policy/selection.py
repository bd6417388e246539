"""What a strategy sees, what it answers, and the decision that comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from mai_core.policy.features import TaskFeatures
from mai_core.policy.learning import Basis
from mai_core.policy.models import Footprint, LoadPlan, Tier

__all__ = [
    "LOAD_LASTS",
    "Ballot",
    "Candidate",
    "Decision",
    "Flip",
    "Move",
    "Proposal",
    "Ranked",
    "Rejection",
    "RejectionReason",
    "Rung",
    "SelectionRequest",
]


LOAD_LASTS = 6
"""Turns over which a load is spread: as many as a switch has to repay itself in, by default (``StabilityRules``)."""


class Rung(StrEnum):
    """How far a candidate had to come down to fit, best first."""

    FULL = "full"
    SMALLER_CONTEXT = "smaller-context"
    QUANTISED_KV = "quantised-kv"
    PARTIAL_OFFLOAD = "partial-offload"
    SLOW = "slow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model that can run now, loaded as ``plan`` says.

    model               name shared by all placements of one model; a candidate is one placement
    quality             probability in [0, 1] that it answers this turn well
    learnt              the part of it that this person's own outcomes made; ``outcomes`` of its kind of task count
    load_seconds        until it is ready; 0 when it is loaded and the loaded context suffices
    prefill_seconds     until it has read the conversation
    tokens_per_second   while it writes
    wait_seconds        load + prefill + the expected reply
    energy_joules, money   what the turn would take; ``money`` is tokens and electricity together
    cost                the money, and the waiting at what the person's time is worth, in the same currency
    health              1 when it never failed lately, towards 0 with every failure
    spare               share of the tightest pool still free once it is loaded, below 0 when it is overdrawn
    wanted              tokens of context it would have if memory were no matter; 0 where others loaded it
    reloads             it is in memory, with less than ``plan``: that instance leaves for this one
    better              how it could be loaded instead by now, with nobody else leaving; for when it is idle
    error, basis        of a predicted footprint, the relative error (one standard deviation) and how it is known
    """

    key: str
    model: str = ""
    backend: str = ""
    host: str = "local"
    tier: Tier = Tier.SMALL
    plan: LoadPlan
    footprint: Footprint = field(default_factory=Footprint)
    rung: Rung = Rung.FULL
    quality: float = 0.5
    learnt: float = 0.0
    outcomes: int = 0
    load_seconds: float = 0.0
    prefill_seconds: float = 0.0
    tokens_per_second: float = 1.0
    wait_seconds: float = 0.0
    energy_joules: float = 0.0
    money: float = 0.0
    cost: float = 0.0
    health: float = 1.0
    spare: float = 1.0
    wanted: int = 0
    reloads: bool = False
    better: LoadPlan | None = None
    error: float = 0.0
    basis: Basis | None = None
    is_loaded: bool = False
    is_remote: bool = False

    def spread(self, amount: float) -> float:
        """``amount``, its waiting, energy, money or cost, with the load in it spread over ``LOAD_LASTS`` turns.

        That is what a turn takes as long as the model stays. A load has its share of all of them by the time it takes:
        what is loaded here costs electricity, and what has a price is loaded elsewhere.
        """
        if self.load_seconds <= 0.0:
            return amount
        loading = self.load_seconds / max(self.load_seconds, self.wait_seconds)
        return amount * (1.0 - loading * (1.0 - 1.0 / LOAD_LASTS))


class RejectionReason(StrEnum):
    """Why a model cannot serve this turn."""

    MEMORY = "memory"
    CONTEXT = "context"
    CAPABILITY = "capability"
    HEALTH = "health"
    NOT_INSTALLED = "not-installed"
    BROKEN = "broken"
    PRIVACY = "privacy"
    UNKNOWN_HOST = "unknown-host"
    UNAVAILABLE = "unavailable"
    NOT_CHAT = "not-chat"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A placement that cannot serve this turn, with the numbers and what would lift it.

    ``needed`` and ``available`` are bytes for MEMORY and tokens for CONTEXT; ``needed`` bytes are an upper estimate,
    whose relative ``error`` and ``basis`` are those of the prediction. ``model`` and ``backend`` are as in
    ``Candidate``; ``backend`` is empty for a pinned model of which nobody knows where it was.
    """

    key: str
    model: str = ""
    backend: str = ""
    reason: RejectionReason
    message: str
    remedy: str = ""
    needed: int = 0
    available: int = 0
    pool: str = ""
    error: float = 0.0
    basis: Basis | None = None

    @property
    def missing(self) -> int:
        """How much of what was needed is not there."""
        return max(0, self.needed - self.available)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionRequest:
    """One turn as a strategy sees it.

    ``current`` is the model that answered the last turn. ``candidates`` are in no particular order. ``calm_seconds``
    is how long the machine has been without trouble.
    """

    features: TaskFeatures
    candidates: tuple[Candidate, ...]
    current: str | None = None
    calm_seconds: float = float("inf")

    def candidate(self, key: str | None) -> Candidate | None:
        """The candidate of that key."""
        for candidate in self.candidates:
            if candidate.key == key:
                return candidate
        return None


class Proposal(NamedTuple):
    """What a strategy thinks of one candidate: an absolute utility in [0, 1] and the reason in a few words.

    A strategy may leave candidates out. The score of one candidate must not depend on which others there are.

    ``doubt_below`` asks for a second opinion when this candidate is chosen: its first tokens are held back, and where
    their mean log-probability is below that, a better model answers in its place. None lets it answer.
    """

    key: str
    score: float
    reason: str = ""
    doubt_below: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """What one strategy answered, best first, or the ``fault`` that lost it its vote.

    ``share`` is the probability with which ``exp4`` would have followed it, 0 under every other arbiter; ``weight`` is
    then 1 for the one that was followed and 0 for the others.
    """

    strategy: str
    proposals: tuple[Proposal, ...] = ()
    weight: float = 1.0
    share: float = 0.0
    fault: str = ""
    seconds: float = 0.0


class Ranked(NamedTuple):
    """A place in the arbiter's order."""

    key: str
    utility: float
    reason: str


class Move(StrEnum):
    """What a decision does with the model in use."""

    START = "start"
    STAY = "stay"
    SWITCH = "switch"
    PIN = "pin"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Flip:
    """The smallest change found that would have chosen another model."""

    change: str
    choice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Which model serves the turn, in which order the others follow if it fails, and everything that led there.

    ``ranking`` begins with ``choice``. ``favourite`` is the arbiter's first; it differs from ``choice`` when
    stability or a pin held the decision back. ``followed`` says in words whom ``exp4`` followed, ``spent`` what was
    spent of the budget. ``doubt_below`` is that of the proposal the choice follows. ``flip`` is filled in on request.
    """

    move: Move
    choice: str | None
    reason: str
    ranking: tuple[Ranked, ...] = ()
    favourite: str | None = None
    current: str | None = None
    pinned: str | None = None
    arbiter: str = ""
    followed: str = ""
    spent: str = ""
    doubt_below: float | None = None
    features: TaskFeatures
    ballots: tuple[Ballot, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    flip: Flip | None = None

    def candidate(self, key: str | None) -> Candidate | None:
        """The candidate of that key."""
        for candidate in self.candidates:
            if candidate.key == key:
                return candidate
        return None
