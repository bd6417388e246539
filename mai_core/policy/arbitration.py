"""How competing strategies become one order.

Scores are absolute utilities, never normalised over the candidates, and a vote is the mean of all scores (score
voting). So whether one candidate beats another does not depend on a third: adding a dominated model, or losing one
that only just fitted, never changes which of the others leads. Plurality and Borda counts lack that property.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from mai_core.policy.selection import Ballot, Candidate, Ranked

__all__ = ["ARBITERS", "Arbiter", "exp4", "first", "vote"]

Arbiter = Callable[[Sequence[Ballot]], tuple[Ranked, ...]]
NO_VOTE = "no strategy voted: the best quality leads"


def first(ballots: Sequence[Ballot]) -> tuple[Ranked, ...]:
    """The first strategy that answered decides; the later ones only order what it left out.

    So its scores are the utilities, and what it left out has none: the others cannot hold back a switch it wants.
    """
    order: dict[str, Ranked] = {}
    leading = next((b for b in ballots if b.proposals), None)
    for ballot in ballots:
        for key, score, reason, _ in ballot.proposals:
            if key not in order:
                order[key] = Ranked(key, score if ballot is leading else 0.0, f"{ballot.strategy}: {reason}")
    return tuple(order.values())


def vote(ballots: Sequence[Ballot]) -> tuple[Ranked, ...]:
    """Every strategy gives each candidate its score; the highest weighted mean leads, equal ones by key.

    A candidate a strategy leaves out gets zero from it.
    """
    utilities = _utilities(ballots)
    favourites: dict[str, list[str]] = {}
    for ballot in ballots:
        if ballot.proposals:
            favourites.setdefault(ballot.proposals[0].key, []).append(ballot.strategy)
    # Two stable sorts on one column each beat one sort on a computed pair.
    ordered = sorted(sorted(utilities), key=utilities.__getitem__, reverse=True)
    return tuple(
        [
            Ranked(key, utilities[key], f"first choice of {', '.join(favourites[key])}" if key in favourites else "")
            for key in ordered
        ]
    )


def exp4(ballots: Sequence[Ballot]) -> tuple[Ranked, ...]:
    """Who has the weight leads as if named first: the one that was drawn, see ``mai_core.policy.experts``."""
    return first(sorted(ballots, key=lambda ballot: -ballot.weight))


ARBITERS: Mapping[str, Arbiter] = MappingProxyType({"first": first, "vote": vote, "weighted": vote, "exp4": exp4})
"""``weighted`` is ``vote`` with the weights of the settings; in ``vote`` all weigh the same."""


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
        for key, score, _, _ in ballot.proposals:
            totals[key] = totals.get(key, 0.0) + weight * score
    if weights <= 0.0:
        return totals
    return {key: total / weights for key, total in totals.items()}
