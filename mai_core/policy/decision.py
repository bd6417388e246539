"""Feasible -> propose -> arbitrate -> settle: one decision from one situation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile

from mai_core.policy.arbitration import ARBITERS, without_votes
from mai_core.policy.experts import Experts
from mai_core.policy.feasibility import Situation, feasible
from mai_core.policy.placements import meant as meant_by
from mai_core.policy.selection import Ballot, Candidate, Decision, Move, Ranked, Rejection, SelectionRequest
from mai_core.policy.stability import StabilityRules, Switch, settle

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
    decision = conclude(
        request,
        ballots,
        found.rejections,
        arbiter=arbiter,
        rules=rules,
        pinned=situation.pinned,
        history=situation.history,
        now=situation.snapshot.taken_at,
        experts=situation.experts,
    )
    return replace(decision, spent=spent) if (spent := situation.budget.words) else decision


def conclude(
    request: SelectionRequest,
    ballots: Sequence[Ballot],
    rejections: Sequence[Rejection] = (),
    *,
    arbiter: str = "vote",
    rules: StabilityRules | None = None,
    pinned: str | None = None,
    history: Sequence[Switch] = (),
    now: float = 0.0,
    experts: Experts | None = None,
) -> Decision:
    """The decision that follows from what the strategies answered, and from the switches made until ``now``.

    Under ``exp4`` ``experts`` say whom to follow; without them the weights the ballots come with.

    A person's pin comes before every strategy, as long as the pinned model can run. On which of its placements is for
    the strategies to say; its others are the first to take over.
    """
    if experts is not None and arbiter == "exp4":
        ballots = experts.weighed(ballots)
    order = _cheapest_of_equals(ARBITERS[arbiter](ballots) or without_votes(request.candidates), request.candidates)
    meant = _meant(pinned, order, request.candidates, rejections) if pinned is not None else ()
    move, choice, reason = Move.NONE, None, "no model can run"
    if order:
        stays = not meant or any(ranked.key == request.current for ranked in meant)
        move, choice, reason = settle(
            meant or order,
            request.candidates,
            request.current if stays else None,
            request.calm_seconds,
            rules or StabilityRules(),
            history=history,
            now=now,
        )
        if meant:
            move, reason = Move.PIN, "pinned by you"
        elif pinned is not None:
            reason = f"{pinned} is pinned but cannot run now; {reason}"
    return Decision(
        doubt_below=_doubt_below(ballots, choice) if move is not Move.PIN else None,
        move=move,
        choice=choice,
        reason=reason,
        ranking=_led_by(choice, meant, order),
        favourite=order[0].key if order else None,
        current=request.current,
        pinned=pinned,
        arbiter=arbiter,
        followed=_followed(ballots, experts) if arbiter == "exp4" and experts is not None else "",
        features=request.features,
        ballots=tuple(ballots),
        candidates=request.candidates,
        rejections=tuple(rejections),
    )


def _doubt_below(ballots: Sequence[Ballot], choice: str | None) -> float | None:
    """Where whoever counts wants a second opinion on the choice: the first of them says from when on."""
    wishes = (p.doubt_below for b in ballots if b.weight > 0.0 for p in b.proposals if p.key == choice)
    return next((below for below in wishes if below is not None), None)


def _followed(ballots: Sequence[Ballot], experts: Experts) -> str:
    drawn = next((b for b in ballots if b.weight > 0.0 and b.proposals), None)
    if drawn is None:
        return ""
    turns = "this turn" if experts.left == 1 else f"{experts.left} turns"
    return f"exp4 drew {drawn.strategy} (weight {drawn.share:.2f}), for {turns}"


def _cheapest_of_equals(order: Sequence[Ranked], candidates: Sequence[Candidate]) -> Sequence[Ranked]:
    """The order with those that share the lead sorted by what they cost."""
    if len(order) < 2 or order[0].utility != order[1].utility:
        return order
    leading = tuple(takewhile(lambda ranked: ranked.utility == order[0].utility, order))
    costs = {c.key: c.cost for c in candidates}
    return (*sorted(leading, key=lambda ranked: costs[ranked.key]), *order[len(leading) :])


def _meant(
    pinned: str, order: Sequence[Ranked], candidates: Sequence[Candidate], rejections: Sequence[Rejection]
) -> tuple[Ranked, ...]:
    """The placements of the pinned model in the arbiter's order, those nobody voted for last.

    One that was rejected is still who was meant, and not another that could be called the same.
    """
    offers: tuple[Candidate | Rejection, ...] = (*candidates, *rejections)
    named = {offer.key for offer in meant_by(pinned, offers)}
    keys = [c.key for c in candidates if c.key in named]
    voted = [ranked for ranked in order if ranked.key in keys]
    return (*voted, *(Ranked(key, 0.0, "") for key in keys if all(key != ranked.key for ranked in voted)))


def _led_by(choice: str | None, meant: Sequence[Ranked], order: Sequence[Ranked]) -> tuple[Ranked, ...]:
    """The choice, then the other placements of what was pinned, then the rest of the order."""
    if choice is None:
        return ()
    if not meant and order[0].key == choice:
        return tuple(order)
    places = {ranked.key: ranked for ranked in (*meant, *order)}
    return (places.pop(choice, Ranked(choice, 0.0, "")), *places.values())
