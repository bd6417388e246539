"""Hears what became of turns, and has strategies earn their weight by it: the arbiter ``exp4``."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from mai_core.policy.experts import Experts, LearningRules
from mai_core.policy.messages import StopReason
from mai_core.policy.reward import reward
from mai_core.policy.selection import Decision, Move
from mai_core.runtime.store import Store
from mai_core.runtime.turn import Reply

__all__ = ["Learning"]


class Learning:
    """What strategies earned, kept in the store. Silent where another arbiter decides. All methods block.

    ``chance`` draws from [0, 1); ``seconds_value`` is what a second of waiting takes off a turn.
    """

    def __init__(
        self,
        store: Store,
        *,
        arbiter: str,
        seconds_value: float,
        rules: LearningRules | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._learns = arbiter == "exp4"
        self._seconds_value = seconds_value
        self._rules = rules or LearningRules()
        self._chance = chance

    def experts(self) -> Experts | None:
        """What was learnt; the very first draw is made, and kept, when nothing was. None under another arbiter."""
        if not self._learns:
            return None
        if (known := self._store.experts()) is None:
            self._store.learn(self._begun)
            known = self._store.experts()
        return known and replace(known, rules=self._rules)

    def answered(self, reply: Reply) -> None:
        """A turn has ended with a reply. What it is worth is what was predicted, until the person says otherwise."""
        decision, message = reply.decision, reply.message
        writer = decision.candidate(message.model)
        handed_over = decision.doubt_below is None and message.model != decision.choice
        struggled = handed_over or bool(message.earlier) or message.stop is StopReason.REPEATED
        self._heard(
            decision,
            reward(
                answered=True,
                worth=writer.quality if writer is not None else 0.0,
                struggled=struggled,
                seconds=reply.seconds,
                seconds_value=self._seconds_value,
            ),
        )

    def failed(self, decision: Decision | None) -> None:
        """A turn has ended without an answer."""
        if decision is not None:
            self._heard(decision, reward(answered=False, worth=0.0))

    def told(self, decision: Decision, *, predicted: float, worth: float) -> None:
        """The person said what an answer was worth, 0 to 1, of which ``predicted`` was counted before."""
        if self._counts(decision):
            self._store.learn(lambda known: self._begun(known).revised(decision.ballots, predicted - worth))

    def _heard(self, decision: Decision, gained: float) -> None:
        if self._counts(decision):
            chance = self._chance()
            self._store.learn(lambda known: self._begun(known).after(decision.ballots, 1.0 - gained, chance=chance))

    def _counts(self, decision: Decision) -> bool:
        """What a person pinned, or what could not be decided at all, says nothing of the strategies."""
        return self._learns and decision.arbiter == "exp4" and decision.move not in (Move.PIN, Move.NONE)

    def _begun(self, known: Experts | None) -> Experts:
        return replace(known or Experts(chance=self._chance()), rules=self._rules)
