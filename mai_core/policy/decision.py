"""Feasible -> propose -> arbitrate -> settle: one decision from one situation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mai_core.policy.arbitration import ARBITERS, without_votes
from mai_core.policy.feasibility import Situation, feasible
from mai_core.policy.selection import Ballot, Decision, Move, Ranked, Rejection, SelectionRequest
from mai_core.policy.stability import StabilityRules, settle

__all__ = ["Vote", "conclude", "decide"]

Vote = Callable[[SelectionRequest], Sequence[Ballot]]
"""Asks every strategy: see ``mai_core.plugin.ballots``."""


def decide(situation: Situation, vote: Vote, *, arbiter: str = "vote", rules: StabilityRules | None = None) -> Decision:
    """Which model serves this turn. Deterministic when the strategies are."""
    found = feasible(situation)
    request = SelectionRequest(
        features=situation.features,
        candidates=found.candidates,
        current=situation.current,
        calm_seconds=situation.snapshot.calm_seconds,
    )
    ballots = vote(request) if found.candidates else ()
    return conclude(request, ballots, found.rejections, arbiter=arbiter, rules=rules, pinned=situation.pinned)


def conclude(
    request: SelectionRequest,
    ballots: Sequence[Ballot],
    rejections: Sequence[Rejection] = (),
    *,
    arbiter: str = "vote",
    rules: StabilityRules | None = None,
    pinned: str | None = None,
) -> Decision:
    """The decision that follows from what the strategies answered.

    A person's pin comes before every strategy, as long as the pinned model can run.
    """
    ranking = ARBITERS[arbiter](ballots) or without_votes(request.candidates)
    move, choice, reason = Move.NONE, None, "no model can run"
    if ranking:
        move, choice, reason = settle(
            ranking, request.candidates, request.current, request.calm_seconds, rules or StabilityRules()
        )
        if pinned is not None:
            if request.candidate(pinned) is not None:
                move, choice, reason = Move.PIN, pinned, "pinned by you"
            else:
                reason = f"{pinned} is pinned but cannot run now; {reason}"
    return Decision(
        move=move,
        choice=choice,
        reason=reason,
        ranking=_led_by(choice, ranking, reason),
        favourite=ranking[0].key if ranking else None,
        current=request.current,
        pinned=pinned,
        arbiter=arbiter,
        features=request.features,
        ballots=tuple(ballots),
        candidates=request.candidates,
        rejections=tuple(rejections),
    )


def _led_by(choice: str | None, ranking: tuple[Ranked, ...], reason: str) -> tuple[Ranked, ...]:
    if choice is None or ranking[0].key == choice:
        return ranking
    chosen = next((r for r in ranking if r.key == choice), Ranked(choice, 0.0, reason))
    return (chosen, *(r for r in ranking if r.key != choice))
