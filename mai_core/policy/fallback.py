"""What is tried next when a model fails: every class of failure leads to its own next step.

A chain always ends. Each step it adds for a model that failed is that model with less than before: a smaller context, a
smaller part of the window, or its one reload behind it. So nothing that failed is ever repeated unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from mai_core.policy.footprint import predict_footprint
from mai_core.policy.models import LoadPlan, ModelProfile
from mai_core.policy.placements import is_named
from mai_core.policy.selection import Decision, Move
from mai_core.policy.struggle import Struggle

__all__ = ["MOST_HANDOVERS", "MOST_MODELS", "Attempt", "Cause", "Chain", "Failure"]

MOST_MODELS = 5
MOST_HANDOVERS = 2
"""An answer is taken from a model that could go on, or has lost itself, at most so often: every handover is a wait."""

SHRUNK = 0.8
"""The part of a window that is used once the engine found a prompt too long, or an answer did not end in it."""


class Failure(StrEnum):
    """Why an attempt came to nothing, as far as the next step depends on it; a struggle is another such cause."""

    CRASHED = "crashed"
    OUT_OF_MEMORY = "out-of-memory"
    TOO_LONG = "too-long"
    NO_ROOM = "no-room"
    BACKEND_GONE = "backend-gone"
    OTHER = "other"


Cause = Failure | Struggle


@dataclass(frozen=True, slots=True)
class Attempt:
    """A model and how it is asked.

    shrink      the part of its window that may be used
    again       it has been reloaded after a crash
    to_the_end  nobody better was there: however slow or unsure it is, the answer is left to it
    regardless  there was no room for it when its turn came, and nobody else is left: it is loaded all the same
    """

    key: str
    plan: LoadPlan
    shrink: float = 1.0
    again: bool = False
    to_the_end: bool = False
    regardless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What is left to try in a turn. ``minimum`` is the smallest context, in tokens, that a model is of use with.

    Where a person ``pinned`` a model, only what it cannot do itself is done by others: it may be slow or unsure.
    ``starved`` are the hosts on which memory did not suffice.
    """

    models: Mapping[str, ModelProfile]
    minimum: int
    queue: tuple[Attempt, ...]
    tried: frozenset[str] = frozenset()
    handovers: int = 0
    pinned: bool = False
    starved: frozenset[str] = frozenset()

    @classmethod
    def of(cls, decision: Decision, models: Mapping[str, ModelProfile], minimum: int) -> Chain:
        """The ranking, then whatever else can run, the best first: better an answer nobody voted for than none."""
        plans = {c.key: c.plan for c in sorted(decision.candidates, key=lambda c: (-c.quality, c.key))}
        keys = dict.fromkeys([*(ranked.key for ranked in decision.ranking), *plans])
        queue = tuple(Attempt(key, plans[key]) for key in keys if key in plans and key in models)
        return cls(models=models, minimum=minimum, queue=queue, pinned=decision.move is Move.PIN)

    @property
    def next(self) -> Attempt | None:
        """What to try now; None when the chain is at its end."""
        head = self.queue[0] if self.queue else None
        return head if head is not None and (head.key in self.tried or len(self.tried) < MOST_MODELS) else None

    def without(self, attempt: Attempt) -> Chain:
        """The chain without an attempt that is not to be made any more: its model is kept out by now."""
        return replace(self, queue=tuple(waiting for waiting in self.queue if waiting != attempt))

    def heirs(self, attempt: Attempt, struggle: Struggle) -> tuple[str, ...]:
        """Keys of the models that could take over from one that struggles, in order: none that was tried before.

        What has lost itself or is unsure does no better elsewhere; what is slow may. Nobody is forced into memory that
        has no room for it while there is an answer that can be borne.
        """
        model = self.models[attempt.key]
        if self.handovers >= MOST_HANDOVERS or len(self.tried | {attempt.key}) >= MOST_MODELS:
            return ()
        bearable = struggle in (Struggle.SLOW, Struggle.UNSURE, Struggle.DOUBTED)
        if bearable and attempt.to_the_end:
            return ()

        def fits(other: ModelProfile) -> bool:
            return struggle is Struggle.SLOW if _alike(other, model) else not (self.pinned and bearable)

        untried = (waiting for waiting in self.queue if waiting.key not in self.tried | {attempt.key})
        able = (waiting.key for waiting in untried if not (bearable and waiting.regardless))
        return tuple(key for key in able if fits(self.models[key]))

    def after(self, attempt: Attempt, cause: Cause, *, borrowed: bool = False, heirs: Collection[str] = ()) -> Chain:
        """The chain once the head of its queue, ``attempt``, has failed so.

        The window of a ``borrowed`` model, loaded by others, is not Mai's to make smaller. ``heirs`` are those that
        would do better than one that is slow or unsure, the best first. After a failure the other placements of a model
        come first, unless only they leave the machine, then the fallbacks its entry in the catalogue names; what has
        lost itself in one place is not asked in another. Where memory did not suffice for one, what takes as much
        of the same host is left for the end, and once that happened there twice, larger models are not tried at all.
        What there is no room for by now waits until nobody else is left; then the smallest is loaded all the same.
        """
        rest = tuple(waiting for waiting in self.queue if waiting != attempt)
        if cause is Failure.NO_ROOM:
            return replace(self, queue=self._postponed(attempt, rest))
        model, handovers = self.models[attempt.key], self.handovers
        first: tuple[Attempt, ...] = ()
        last: tuple[Attempt, ...] = ()
        match cause:
            case Failure.CRASHED if not attempt.again:
                first = (replace(attempt, again=True),)
            case Failure.OUT_OF_MEMORY if not borrowed and attempt.plan.context // 2 >= self.minimum:
                first = (replace(attempt, plan=replace(attempt.plan, context=attempt.plan.context // 2)),)
            case Failure.TOO_LONG if attempt.shrink == 1.0:
                first = (replace(attempt, shrink=SHRUNK),)
            case Failure.BACKEND_GONE:
                rest = self._only(rest, lambda other: other.backend != model.backend)
            case Struggle.LOOPED:
                rest, handovers = self._only(rest, lambda other: not _alike(other, model)), handovers + 1
            case Struggle.SLOW | Struggle.UNSURE | Struggle.DOUBTED if not attempt.to_the_end:
                handovers += 1
                last = (replace(attempt, to_the_end=True),)
            case Struggle.WINDOW_FULL:
                rest = tuple(waiting for waiting in rest if waiting.plan.context > attempt.plan.context)
                if attempt.shrink == 1.0:
                    first = (replace(attempt, shrink=SHRUNK),)
        order = self._order(model, tuple(heirs))
        short, too_much = cause is Failure.OUT_OF_MEMORY, self._too_much(attempt)
        rest = tuple(sorted(rest, key=lambda waiting: (short and too_much(waiting), order(waiting.key))))
        if short and model.host in self.starved:
            rest = self._only(rest, lambda other: other.host != model.host or not _larger(other, model, attempt.plan))
        starved = self.starved | {model.host} if short else self.starved
        queue = (*first, *sorted((*rest, *last), key=lambda waiting: waiting.regardless))
        return replace(self, queue=queue, tried=self.tried | {attempt.key}, handovers=handovers, starved=starved)

    def _postponed(self, attempt: Attempt, rest: Sequence[Attempt]) -> tuple[Attempt, ...]:
        """The queue with an attempt at its end, but for one that only was to better an answer somebody can give."""
        if attempt.regardless or any(waiting.to_the_end for waiting in rest):
            return tuple(rest)
        last = [replace(attempt, regardless=True), *(waiting for waiting in rest if waiting.regardless)]
        return (*(waiting for waiting in rest if not waiting.regardless), *sorted(last, key=self._bytes))

    def _too_much(self, failed: Attempt) -> Callable[[Attempt], bool]:
        """Whether an attempt takes as much of the same host's memory as one for which there was not enough."""
        host, bytes_ = self.models[failed.key].host, self._bytes(failed)
        return lambda waiting: self.models[waiting.key].host == host and self._bytes(waiting) >= bytes_ > 0

    def _bytes(self, attempt: Attempt) -> int:
        return predict_footprint(self.models[attempt.key], attempt.plan).total

    def _only(self, queue: Sequence[Attempt], fits: Callable[[ModelProfile], bool]) -> tuple[Attempt, ...]:
        return tuple(waiting for waiting in queue if fits(self.models[waiting.key]))

    def _order(self, model: ModelProfile, heirs: tuple[str, ...]) -> Callable[[str], int]:
        """Where each model comes after ``model`` failed; those of one place stay as they were."""

        def place(key: str) -> int:
            if key in heirs:
                return heirs.index(key)
            other = self.models[key]
            if _alike(other, model) and (model.remote or not other.remote):
                return len(heirs)
            named = (i for i, fallback in enumerate(model.fallbacks) if is_named(fallback, other))
            return len(heirs) + 1 + next(named, len(model.fallbacks))

        return place


def _larger(one: ModelProfile, other: ModelProfile, plan: LoadPlan) -> bool:
    """Whether a model takes more memory than another that is loaded the same way."""
    return predict_footprint(one, plan).total > predict_footprint(other, plan).total > 0


def _alike(one: ModelProfile, other: ModelProfile) -> bool:
    """Whether both are placements of one model."""
    return (one.model or one.key) == (other.model or other.key)
