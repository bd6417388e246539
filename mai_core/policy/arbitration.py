"""How competing strategies become one order.

Scores are absolute utilities, and the winner of a vote is a strategy's own favourite: so adding a candidate that no
strategy prefers to another never changes the pick. (Borda counts and min-max normalised sums do not have that
property, which is why they are not here.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from mai_core.policy.selection import Ballot, Candidate, Ranked

__all__ = ["ARBITERS", "Arbiter", "first", "vote"]

Arbiter = Callable[[Sequence[Ballot]], tuple[Ranked, ...]]
NO_VOTE = "no strategy voted: the best quality leads"


def first(ballots: Sequence[Ballot]) -> tuple[Ranked, ...]:
    """The first strategy that answered decides; the later ones only order what it left out."""
    utilities = _utilities(ballots)
    order: dict[str, Ranked] = {}
    for ballot in ballots:
        for key, _, reason in ballot.proposals:
            if key not in order:
                order[key] = Ranked(key, utilities[key], f"{ballot.strategy}: {reason}")
    return tuple(order.values())


def vote(ballots: Sequence[Ballot]) -> tuple[Ranked, ...]:
    """Every strategy votes for its favourite with its weight; the rest follow by mean utility.

    Equal votes are broken by mean utility, then by key.
    """
    utilities = _utilities(ballots)
    votes: dict[str, float] = {}
    voters: dict[str, list[Ballot]] = {}
    for ballot in ballots:
        if ballot.proposals:
            favourite = ballot.proposals[0].key
            votes[favourite] = votes.get(favourite, 0.0) + ballot.weight
            voters.setdefault(favourite, []).append(ballot)
    ordered = sorted(utilities, key=lambda key: (-votes.get(key, 0.0), -utilities[key], key))
    return tuple([Ranked(key, utilities[key], _votes_in_words(voters.get(key))) for key in ordered])


ARBITERS: Mapping[str, Arbiter] = MappingProxyType({"first": first, "vote": vote})


def without_votes(candidates: Sequence[Candidate]) -> tuple[Ranked, ...]:
    """The core's own order when every strategy failed or abstained: by quality and health."""
    ordered = sorted(candidates, key=lambda c: (-c.quality * c.health, c.key))
    return tuple(Ranked(c.key, c.quality * c.health, NO_VOTE) for c in ordered)


def _utilities(ballots: Sequence[Ballot]) -> dict[str, float]:
    """Mean score over the weight of all strategies that answered; a candidate left out counts as zero."""
    totals: dict[str, float] = {}
    weights = 0.0
    for ballot in ballots:
        if not ballot.proposals:
            continue
        weight = ballot.weight
        weights += weight
        for key, score, _ in ballot.proposals:
            totals[key] = totals.get(key, 0.0) + weight * score
    if weights <= 0.0:
        return totals
    return {key: total / weights for key, total in totals.items()}


def _votes_in_words(ballots: list[Ballot] | None) -> str:
    if not ballots:
        return ""
    return "; ".join(f"{ballot.strategy}: {ballot.proposals[0].reason}" for ballot in ballots)
