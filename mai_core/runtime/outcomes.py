"""Learns from how replies turned out: what the person says of them, what they do about them, and what goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

from mai_core.errors import MaiError, ModelCrashed, ModelStruggles
from mai_core.policy.lessons import Lesson, lessons
from mai_core.policy.messages import Conversation, Message, Role, StopReason
from mai_core.policy.outcomes import Abilities, Outcome, Sign, outcome_of, refit
from mai_core.policy.selection import Decision
from mai_core.policy.struggle import Struggle
from mai_core.runtime.learning import Learning
from mai_core.runtime.store import Store
from mai_core.runtime.store.outcomes import OUTCOMES_KEPT
from mai_core.runtime.turn import Reply

__all__ = ["Outcomes", "Troubles", "sign_of"]

REFIT_SECONDS = 3600.0
"""Age makes outcomes count less; until that shows, a fit is good for so long."""

Troubles = Iterable[tuple[str, Sign]]
"""The models that went wrong in a turn, by key, and how."""


class Outcomes:
    """The outcomes of all processes of this person, and what they teach. All methods block; any thread may call them.

    ``half_life`` is in seconds, ``now`` tells seconds since the epoch. Where it is not ``enabled`` nothing is kept and
    nothing learnt.
    """

    def __init__(
        self, store: Store, learning: Learning, *, enabled: bool, half_life: float, now: Callable[[], float]
    ) -> None:
        self._store = store
        self._learning = learning
        self._enabled = enabled
        self._half_life = half_life
        self._now = now
        self._lock = threading.Lock()
        self._version = 0
        self._seen: dict[int, Outcome] = {}
        self._fitted_at = 0.0
        self._abilities = Abilities()

    def abilities(self) -> Abilities:
        """What was learnt until now; when nothing has changed this is one look at the store."""
        if not self._enabled:
            return Abilities()
        with self._lock:
            now = self._now()
            stale = bool(self._seen) and not 0.0 <= now - self._fitted_at < REFIT_SECONDS
            if self._store.outcomes_version() != self._version:
                self._read()
                stale = True
            if stale:
                self._abilities = refit(self._seen.values(), now=now, half_life=self._half_life, start=self._abilities)
                self._fitted_at = now
            return self._abilities

    def lessons(self) -> tuple[Lesson, ...]:
        """What was learnt of each model and kind of task."""
        abilities = self.abilities()
        with self._lock:
            return lessons(self._seen.values(), abilities)

    def answered(self, reply: Reply, troubles: Troubles) -> None:
        """A turn has ended with a reply, which counts as good enough until somebody says or does something else."""
        if not self._enabled:
            return
        message, decision = reply.message, reply.decision
        sign = Sign.STRUGGLED if message.stop is StopReason.REPEATED else Sign.KEPT
        writer = decision.candidate(message.model)
        if writer is not None:
            made = outcome_of(writer, decision.features, sign, value=sign.verdict, seconds=reply.seconds)
            self._store.record_outcome(made, reply.conversation, message.id)
        self.went_wrong(decision, troubles)
        self.abilities()  # nobody waits now

    def went_wrong(self, decision: Decision | None, troubles: Troubles) -> None:
        """Models went wrong in a turn."""
        for key, sign in troubles if self._enabled and decision is not None else ():
            assert decision is not None
            if (candidate := decision.candidate(key)) is not None:
                self._store.record_outcome(
                    outcome_of(candidate, decision.features, sign, value=sign.verdict, seconds=0.0)
                )

    def rated(self, history: Conversation, good: bool) -> str:
        """The person said that the last reply was good, or bad; returns the model that wrote it.

        Raises ``MaiError`` where there is no reply, and where nothing can be learnt from it.
        """
        reply = next((m for m in reversed(history.messages) if m.role is Role.ASSISTANT and m.model), None)
        if reply is None:
            raise MaiError("there is no reply to rate", remedy="ask something first")
        if not self._enabled:
            raise MaiError("nothing is learnt from outcomes", remedy="mai config set learning.outcomes true")
        if not self.told(history.id, reply, Sign.RATED, float(good)):
            raise MaiError("it is not known any more how that reply came about", remedy="rate a newer one")
        return reply.model

    def told(self, conversation: str, reply: Message, sign: Sign, value: float) -> bool:
        """The person said or did something about a reply, the last of its conversation; whether that is kept.

        Their own word is, whatever was known before; and what they did outweighs that they left it at that.
        """
        if not self._enabled:
            return False
        earlier = self._store.outcome(conversation, reply.id)
        stored = self._store.last_decision(conversation)
        decision = stored.decision if stored is not None and stored.message_id < reply.id else None
        writer = decision.candidate(reply.model) if decision is not None else None
        if earlier is not None:
            made = replace(earlier, sign=sign, value=value)
        elif writer is not None and decision is not None:
            made = outcome_of(writer, decision.features, sign, value=value, seconds=0.0)
        else:
            return False
        kept = self._store.record_outcome(made, conversation, reply.id)
        if kept.sign is Sign.RATED is sign and writer is not None and decision is not None:
            was_told = earlier is not None and earlier.sign is Sign.RATED
            predicted = earlier.value if earlier is not None and was_told else writer.quality
            self._learning.told(decision, predicted=predicted, worth=value)
        return True

    def forget(self) -> int:
        """Delete all outcomes; returns how many there were."""
        return self._store.forget_outcomes()

    def _read(self) -> None:
        """Take in what changed; all of it when something else is gone than the oldest."""
        found = self._store.outcomes(self._version)
        self._seen.update(found.changed)
        for oldest in sorted(self._seen)[:-OUTCOMES_KEPT]:
            del self._seen[oldest]
        if len(self._seen) != found.total:
            found = self._store.outcomes()
            self._seen = found.changed
        self._version = found.version


def sign_of(error: MaiError) -> Sign | None:
    """What the failure of a model says of how well it answers: nothing where machine, window or server are to blame."""
    if isinstance(error, ModelStruggles):
        counts = error.struggle in (Struggle.LOOPED, Struggle.UNSURE, Struggle.EMPTY)
        return Sign.STRUGGLED if counts else None
    return Sign.FAILED if isinstance(error, ModelCrashed) else None
