"""Metamorphic laws: two turns that differ in nothing that matters are answered alike."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume
from hypothesis import strategies as st

from mai_core.policy.selection import SelectionRequest
from mai_core.testing.laws.asking import close, pick, scores
from mai_core.testing.laws.law import Group, Make, expect, law
from mai_core.testing.worlds import dominated, requests

__all__ = ["LAWS"]

ADDED = "added"
index = st.integers(0, 3)


@law(Group.SAMENESS, request=requests(least=2), turn=index, backwards=st.booleans())
def order_is_irrelevant(make: Make, request: SelectionRequest, turn: int, backwards: bool) -> None:
    """Candidates come in no particular order: permuted, they score the same."""
    turned = (*request.candidates[turn:], *request.candidates[:turn])
    permuted = replace(request, candidates=turned[::-1] if backwards else turned)
    before, after = scores(make, request), scores(make, permuted)
    order = ", ".join(c.key for c in permuted.candidates)
    expect(after == before, f"the scores {_told(before)} in any order", f"in the order {order} they are {_told(after)}")


@law(Group.SAMENESS, request=requests(least=1))
def names_are_irrelevant(make: Make, request: SelectionRequest) -> None:
    """A model under another key scores the same."""
    renamed = replace(
        request,
        candidates=tuple(replace(c, key=_renamed(c.key)) for c in request.candidates),
        current=request.current and _renamed(request.current),
    )
    after = scores(make, renamed)
    for key, score in scores(make, request).items():
        other = _renamed(key)
        expect(score == after[other], f"{score:.4g} by any name", f"{key} renamed to {other} scores {after[other]:.4g}")


@law(Group.SAMENESS, request=requests(least=2))
def scores_are_absolute(make: Make, request: SelectionRequest) -> None:
    """A score does not depend on the other candidates: alone or one of many, it is the same."""
    together = scores(make, request)
    for candidate in request.candidates:
        alone = scores(make, replace(request, candidates=(candidate,)))[candidate.key]
        expect(
            close(alone, together[candidate.key]),
            f"{candidate.key} to score {alone:.4g} as it does alone",
            f"among {len(together)} it scores {together[candidate.key]:.4g}",
        )


@law(Group.SAMENESS, request=requests(least=1), which=index)
def twins_score_alike(make: Make, request: SelectionRequest, which: int) -> None:
    """A candidate that is there twice under two keys scores the same twice, and changes no other score."""
    original = request.candidates[which % len(request.candidates)]
    assume(original.key != request.current)
    twice = replace(request, candidates=(*request.candidates, replace(original, key=ADDED)))
    before, after = scores(make, request), scores(make, twice)
    added = after.pop(ADDED)
    expect(close(added, after[original.key]), f"{after[original.key]:.4g} for its twin too", f"it scores {added:.4g}")
    expect(_alike(before, after), f"the scores {_told(before)} beside the twin", f"they are {_told(after)}")


@law(Group.SAMENESS, request=requests(least=1), which=index)
def a_dominated_model_changes_nothing(make: Make, request: SelectionRequest, which: int) -> None:
    """Adding a model that is worse in everything changes no score and never the pick."""
    original = request.candidates[which % len(request.candidates)]
    worse = dominated(original, ADDED)
    longer = replace(request, candidates=(*request.candidates, worse))
    before, after = scores(make, request), scores(make, longer)
    was, then = pick(before, request.candidates), pick(after, longer.candidates)
    expect(was == then, f"{was} to lead still", f"with a worse copy of {original.key} in the race, {then} leads")
    after.pop(ADDED)
    expect(_alike(before, after), f"the scores {_told(before)} still", f"they are {_told(after)}")


@law(Group.SAMENESS, request=requests(least=2), which=index)
def a_loser_may_leave(make: Make, request: SelectionRequest, which: int) -> None:
    """Without a candidate that did not lead, the same one leads."""
    before = scores(make, request)
    was = pick(before, request.candidates)
    losers = [c for c in request.candidates if c.key != was]
    leaves = losers[which % len(losers)]
    fewer = replace(request, candidates=tuple(c for c in request.candidates if c is not leaves))
    then = pick(scores(make, fewer), fewer.candidates)
    expect(then == was, f"{was} to lead still", f"without {leaves.key}, {then} leads")


def _alike(one: dict[str, float], other: dict[str, float]) -> bool:
    return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)


def _told(found: dict[str, float]) -> str:
    return ", ".join(f"{key} {found[key]:.4g}" for key in sorted(found))


def _renamed(key: str) -> str:
    """Another key, in reversed alphabetical order."""
    return "".join(chr(219 - ord(c)) if c.islower() else c for c in key)


LAWS = (
    order_is_irrelevant,
    names_are_irrelevant,
    scores_are_absolute,
    twins_score_alike,
    a_dominated_model_changes_nothing,
    a_loser_may_leave,
)
