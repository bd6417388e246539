"""A strategy that answers nonsense loses its vote, and is told why."""

from __future__ import annotations

import math
from collections import UserList, deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_core.plugin.ballots import collect_ballots
from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import LoadPlan
from mai_core.policy.selection import Ballot, Candidate, Proposal, SelectionRequest
from mai_core.testing import FakeClock

REQUEST = SelectionRequest(
    features=TaskFeatures(), candidates=tuple(Candidate(key=k, plan=LoadPlan(context=1024)) for k in "abc")
)


class Answering:
    name = "under-test"

    def __init__(self, answer: Callable[[], Any]) -> None:
        self.answer = answer

    def propose(self, request: SelectionRequest) -> Any:
        return self.answer()


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def ballot(answer: Any) -> Ballot:
    [only] = collect_ballots([(Answering(lambda: answer), 0.5)], REQUEST, clock=lambda: 0.0, budget_seconds=0.05)
    return only


def test_sorted_by_score_then_key() -> None:
    good = [Proposal("b", 0.5, "x"), Proposal("c", 1, "y"), Proposal("a", 0.5, "z")]
    assert [p.key for p in ballot(good).proposals] == ["c", "a", "b"]
    assert ballot(good).weight == 0.5
    assert ballot(good).strategy == "under-test"
    assert ballot(good).fault == ""


@pytest.mark.parametrize("answer", [[], (), deque(), UserList()])
def test_no_proposals_are_an_abstention(answer: Any) -> None:
    assert ballot(answer) == Ballot(strategy="under-test", weight=0.5)


def test_any_sequence_will_do() -> None:
    assert ballot(deque([Proposal("a", 0.5)])).proposals == (Proposal("a", 0.5),)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (None, "answered NoneType, not a sequence of proposals"),
        ("abc", "answered str, not a sequence of proposals"),
        ({Proposal("a", 0.5)}, "answered set, not a sequence of proposals"),
        ((p for p in [Proposal("a", 0.5)]), "answered generator, not a sequence of proposals"),
        ([("a", 0.5, "x")], "answered with ('a', 0.5, 'x'), not a Proposal"),
        ([Proposal("a", 0.5), None], "answered with None, not a Proposal"),
        ([Unprintable()], "answered with <Unprintable>, not a Proposal"),
        ([Proposal("z", 0.5)], "proposed 'z', which is not a candidate"),
        ([Proposal(7, 0.5)], "proposed 7, which is no key"),  # type: ignore[arg-type]
        ([Proposal([], 0.5)], "proposed [], which is no key"),  # type: ignore[arg-type]
        ([Proposal("a", 0.5), Proposal("a", 0.6)], "proposed 'a' twice"),
        ([Proposal("a", 0.5), Proposal("b", math.nan)], "gave b the score nan, which is outside [0, 1]"),
        ([Proposal("a", math.inf)], "gave a the score inf, which is outside [0, 1]"),
        ([Proposal("a", 1.2)], "gave a the score 1.2, which is outside [0, 1]"),
        ([Proposal("a", -0.1)], "gave a the score -0.1, which is outside [0, 1]"),
        ([Proposal("a", "1")], "gave a the score '1', which is no number"),  # type: ignore[arg-type]
        ([Proposal("a", True)], "gave a the score True, which is no number"),
        ([Proposal("a", 0.5, None)], "gave a the reason None, which is no text"),  # type: ignore[arg-type]
    ],
)
def test_nonsense_is_named(answer: Any, fault: str) -> None:
    assert ballot(answer) == Ballot(strategy="under-test", weight=0.5, fault=fault)


def test_a_rounding_error_is_no_nonsense() -> None:
    proposals = ballot([Proposal("a", 1.0000000000000002), Proposal("b", -1e-17)]).proposals
    assert proposals == (Proposal("a", 1.0), Proposal("b", 0.0))


def test_a_subclass_of_float_is_a_number() -> None:
    class Score(float):
        pass

    assert ballot([Proposal("a", Score(0.5))]).proposals == (Proposal("a", 0.5),)


@pytest.mark.parametrize("error", [ValueError("bad\nworse"), SystemExit(1), RecursionError()])
def test_one_that_raises_loses_its_vote_and_the_others_go_on(error: BaseException) -> None:
    def fail() -> Any:
        raise error

    bad, good = collect_ballots(
        [(Answering(fail), 1.0), (Answering(lambda: [Proposal("a", 0.5)]), 1.0)],
        REQUEST,
        clock=lambda: 0.0,
        budget_seconds=0.05,
    )
    assert bad.fault.startswith(f"raised {type(error).__name__}")
    assert "\n" not in bad.fault
    assert good.proposals


def test_a_slow_one_loses_its_vote() -> None:
    clock = FakeClock()
    slow = Answering(lambda: clock.advance(0.08) or [Proposal("a", 0.5)])
    quick = Answering(lambda: clock.advance(0.02) or [Proposal("a", 0.5)])
    late, prompt = collect_ballots([(slow, 1.0), (quick, 1.0)], REQUEST, clock=clock, budget_seconds=0.05)
    assert late.fault == "took 80 ms of 50 ms"
    assert late.proposals == ()
    assert late.seconds == pytest.approx(0.08)
    assert (prompt.fault, prompt.seconds) == ("", pytest.approx(0.02))


def test_ctrl_c_goes_through() -> None:
    def interrupted() -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect_ballots([(Answering(interrupted), 1.0)], REQUEST, clock=lambda: 0.0, budget_seconds=1.0)


ANYTHING = st.one_of(
    st.sampled_from("abcz"),
    st.floats(),
    st.integers(-1, 2),
    st.booleans(),
    st.none(),
)


@given(st.lists(st.builds(Proposal, ANYTHING, ANYTHING, ANYTHING) | ANYTHING, max_size=4))
def test_whatever_is_answered_a_ballot_is_either_sound_or_at_fault(answer: Any) -> None:
    result = ballot(answer)
    if result.fault:
        assert result.proposals == ()
        assert len(result.fault.splitlines()) == 1
    else:
        assert len(result.proposals) == len(answer)
        assert len({p.key for p in result.proposals}) == len(answer)
        for proposal in result.proposals:
            assert proposal.key in "abc"
            assert 0.0 <= proposal.score <= 1.0
            assert isinstance(proposal.reason, str)


@given(st.permutations([Proposal("a", 0.5, "x"), Proposal("b", 0.5, "x"), Proposal("c", 0.7, "x")]))
def test_the_order_of_proposals_is_irrelevant(answer: list[Proposal]) -> None:
    assert [p.key for p in ballot(answer).proposals] == ["c", "a", "b"]
