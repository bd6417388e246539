"""From ballots to one order."""

from __future__ import annotations

import pytest

from mai_core.policy.arbitration import ARBITERS, Arbiter, first, vote, without_votes
from mai_core.policy.decision import conclude
from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import LoadPlan
from mai_core.policy.selection import Ballot, Candidate, Move, Proposal, SelectionRequest


def ballot(strategy: str, weight: float = 1.0, **scores: float) -> Ballot:
    proposals = sorted((Proposal(k, s, "so") for k, s in scores.items()), key=lambda p: -p.score)
    return Ballot(strategy=strategy, proposals=tuple(proposals), weight=weight)


FAULTY = Ballot(strategy="broken", fault="raised", weight=9.0)


def test_first_takes_the_first_answer_whatever_the_others_say() -> None:
    ranking = first([FAULTY, ballot("mine", b=0.6, a=0.5), ballot("theirs", a=1.0, c=0.9)])
    assert [(r.key, r.utility) for r in ranking] == [("b", 0.6), ("a", 0.5), ("c", 0.0)]
    assert ranking[0].reason == "mine: so"
    assert ranking[2].reason == "theirs: so"


def test_under_first_the_others_cannot_hold_back_a_switch() -> None:
    request = SelectionRequest(
        features=TaskFeatures(),
        candidates=tuple(Candidate(key=k, plan=LoadPlan(context=1024)) for k in ("new", "old")),
        current="old",
    )
    ballots = [ballot("mine", new=0.9, old=0.3), ballot("theirs", old=1.0, new=0.0)]
    assert conclude(request, ballots, arbiter="first").move is Move.SWITCH
    assert conclude(request, ballots, arbiter="vote").move is Move.STAY


def test_vote_is_the_weighted_mean_over_all_that_answered() -> None:
    ranking = vote([ballot("one", 3.0, a=0.4, b=0.8), ballot("two", 1.0, a=0.8), FAULTY])
    assert [(r.key, pytest.approx(r.utility)) for r in ranking] == [("b", 0.6), ("a", 0.5)]
    assert [r.reason for r in ranking] == ["first choice of one", "first choice of two"]


def test_equal_votes_lead_by_key() -> None:
    assert [r.key for r in vote([ballot("one", b=0.5, a=0.5, c=0.5)])] == ["a", "b", "c"]


@pytest.mark.parametrize("arbiter", ARBITERS.values())
def test_nobody_answered(arbiter: Arbiter) -> None:
    assert arbiter([]) == arbiter([FAULTY, Ballot(strategy="abstains")]) == ()


def test_without_votes_quality_and_health_decide() -> None:
    plan = LoadPlan(context=1024)
    sick = Candidate(key="sick", plan=plan, quality=0.9, health=0.5)
    well = Candidate(key="well", plan=plan, quality=0.6)
    ranking = without_votes([sick, well])
    assert [(r.key, r.utility) for r in ranking] == [("well", 0.6), ("sick", 0.45)]
