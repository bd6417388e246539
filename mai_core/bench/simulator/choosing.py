"""Asks the real core, and remembers its answers: decisions are pure, so equal situations are decided once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from mai_core.bench.simulator.asking import Asking, View
from mai_core.bench.simulator.grid import history_of
from mai_core.policy.anticipation import Preparation, to_prepare
from mai_core.policy.decision import Vote, conclude, decide
from mai_core.policy.selection import Candidate
from mai_core.policy.stability import StabilityRules, Switch, paid_switch

__all__ = ["Chooser", "Chosen"]


class Chosen(NamedTuple):
    """What a decision means for the machine. ``switch`` is what it adds to the history, at 0 seconds."""

    candidate: Candidate | None
    ranking: tuple[Candidate, ...]
    preparation: Preparation | None
    switch: Switch | None
    fault: str


@dataclass(slots=True, eq=False)
class Chooser:
    """One contestant in one world. Without ``remembers`` every decision is made anew, with the same result."""

    asking: Asking
    vote: Vote
    arbiter: str
    rules: StabilityRules
    remembers: bool = True
    decisions: dict[View, Chosen] = field(default_factory=dict)

    def choose(self, view: View) -> Chosen:
        """The decision on what ``view`` shows."""
        if not self.remembers:
            return self._decided(view)
        found = self.decisions.get(view)
        if found is None:
            found = self.decisions[view] = self._decided(view)
        return found

    def _decided(self, view: View) -> Chosen:
        """Feasible, propose, arbitrate, settle: as ``decide`` does, with what is remembered of each model.

        Where no model can run in a regular way, ``decide`` itself finds the last resort.
        """
        if self.remembers and (request := self.asking.request(view)).candidates:
            history = history_of(*view.lately)
            decision = conclude(request, self.vote(request), arbiter=self.arbiter, rules=self.rules, history=history)
        else:
            decision = decide(self.asking.situation(view), self.vote, arbiter=self.arbiter, rules=self.rules)
        places = {c.key: c for c in decision.candidates}
        return Chosen(
            places.get(decision.choice or ""),
            tuple([places[ranked.key] for ranked in decision.ranking]),
            to_prepare(decision, view.calm, self.rules),
            paid_switch(decision, 0.0),
            next((f"{b.strategy}: {b.fault}" for b in decision.ballots if b.fault), ""),
        )
