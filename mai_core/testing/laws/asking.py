"""Asking a strategy on behalf of a law.

What is wrong with an answer in itself is for the laws on answers to say, once. Every other law takes such an example
as none, so that one fault does not look like thirty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import reject

from mai_core.plugin.ballots import collect_ballots
from mai_core.plugin.interfaces import SelectionStrategy
from mai_core.policy.decision import Vote
from mai_core.policy.selection import Ballot, Candidate, Proposal, SelectionRequest
from mai_core.testing.laws.law import Make

__all__ = ["asked", "by_key", "close", "pick", "scores", "vote_of"]

NEAR = 1e-9
"""How far two sums of floats may lie apart and be the same."""


def by_key(proposals: Sequence[Proposal]) -> Mapping[str, Proposal]:
    """What was proposed, without its order."""
    return {proposal.key: proposal for proposal in proposals}


def asked(strategy: SelectionStrategy, request: SelectionRequest) -> Mapping[str, Proposal]:
    """The answer by key; an example that is answered unsoundly counts as none."""
    [ballot] = collect_ballots([(strategy, 1.0)], request, clock=lambda: 0.0, budget_seconds=1.0)
    if ballot.fault:
        reject()
    return by_key(ballot.proposals)


def scores(make: Make, request: SelectionRequest) -> dict[str, float]:
    """The score of every candidate; 0 for one the strategy leaves out, as in a vote."""
    answer = asked(make(), request)
    return {c.key: answer[c.key].score if c.key in answer else 0.0 for c in request.candidates}


def pick(found: Mapping[str, float], candidates: Sequence[Candidate]) -> str | None:
    """Who leads by these scores, of equals the cheapest and then the first by key; None when nobody has any."""
    costs = {c.key: c.cost for c in candidates}
    return min((k for k in found if found[k] > 0.0), key=lambda k: (-found[k], costs[k], k), default=None)


def close(one: float, other: float) -> bool:
    """Whether two scores are the same but for rounding."""
    return abs(one - other) <= NEAR


def vote_of(*strategies: SelectionStrategy) -> Vote:
    """A vote among these. An example the first of them answers unsoundly counts as none."""

    def vote(request: SelectionRequest) -> tuple[Ballot, ...]:
        ballots = collect_ballots(
            [(strategy, 1.0) for strategy in strategies], request, clock=lambda: 0.0, budget_seconds=1.0
        )
        if ballots[0].fault:
            reject()
        return ballots

    return vote
