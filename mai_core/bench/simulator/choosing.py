"""Asks the real core, and remembers its answers: decisions are pure, so equal situations are decided once."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mai_core.bench.simulator.asking import Asking, View
from mai_core.bench.simulator.grid import history_of
from mai_core.bench.simulator.learners import Learner
from mai_core.policy.anticipation import Preparation, to_prepare
from mai_core.policy.decision import Vote, conclude, decide
from mai_core.policy.doubt import successors
from mai_core.policy.selection import Ballot, Candidate, Decision, SelectionRequest
from mai_core.policy.stability import StabilityRules, Switch, paid_switch

__all__ = ["Chooser", "Chosen"]


class Chosen(NamedTuple):
    """What a decision means for the machine. ``switch`` is what it adds to the history, at 0 seconds.

    ``ballots`` are kept for whoever learns from what becomes of it. ``heirs`` are who could give a second opinion, the
    best first, where the first words are less sure than ``doubt_below``.
    """

    candidate: Candidate | None
    ranking: tuple[Candidate, ...]
    preparation: Preparation | None
    switch: Switch | None
    fault: str
    ballots: Sequence[Ballot] = ()
    doubt_below: float = -math.inf
    heirs: tuple[Candidate, ...] = ()


@dataclass(slots=True, eq=False)
class Chooser:
    """One contestant in one world. Without ``remembers`` every decision is made anew, with the same result.

    Where a ``learner`` weighs the ballots, each turn is settled by itself.
    """

    asking: Asking
    vote: Vote
    arbiter: str
    rules: StabilityRules
    remembers: bool = True
    learner: Learner | None = None
    _decisions: dict[Hashable, Chosen] = field(default_factory=dict)

    def choose(self, view: View) -> Chosen:
        """The decision on what ``view`` shows."""
        if not self.remembers:
            return self._meant(self._decided(view), view)
        if self.learner is not None:
            return self._meant(self._settled(view), view)
        line_up = self.asking.line_up(view)
        mark = (line_up.number, view.shown.host.cpu.free_cores, *view[1:]) if line_up.fitted else view
        found = self._decisions.get(mark)
        if found is None:
            found = self._decisions[mark] = self._meant(self._settled(view), view)
        return found

    def heard(self, chosen: Chosen, served: str, reward: float) -> None:
        """What became of a decision: see ``Learner.learn``."""
        if self.learner is not None and chosen.ballots:
            self.learner.learn(chosen.ballots, served, reward)

    def _settled(self, view: View) -> Decision:
        """Arbitrate and settle as ``decide`` does, which itself finds the last resort where no model can run."""
        request = self.asking.request(view)
        if not request.candidates:
            return self._decided(view)
        weighed = self._weighed(request, self.vote(request))
        return conclude(request, weighed, arbiter=self.arbiter, rules=self.rules, history=history_of(*view.lately))

    def _decided(self, view: View) -> Decision:
        def vote(request: SelectionRequest) -> Sequence[Ballot]:
            return self._weighed(request, self.vote(request))

        return decide(self.asking.situation(view), vote, arbiter=self.arbiter, rules=self.rules)

    def _weighed(self, request: SelectionRequest, ballots: Sequence[Ballot]) -> Sequence[Ballot]:
        return ballots if self.learner is None else self.learner.weighed(request, ballots)

    def _meant(self, decision: Decision, view: View) -> Chosen:
        """What follows from a decision."""
        places = {c.key: c for c in decision.candidates}
        candidate, below = places.get(decision.choice or ""), decision.doubt_below
        heirs: tuple[Candidate, ...] = ()
        if below is not None and candidate is not None:
            heirs = tuple([places[key] for key in successors(decision.candidates, candidate)])
        return Chosen(
            candidate,
            tuple([places[ranked.key] for ranked in decision.ranking]),
            to_prepare(decision, view.calm, self.rules),
            paid_switch(decision, 0.0),
            next((f"{b.strategy}: {b.fault}" for b in decision.ballots if b.fault), ""),
            () if self.learner is None else decision.ballots,
            -math.inf if below is None else below,
            heirs,
        )
