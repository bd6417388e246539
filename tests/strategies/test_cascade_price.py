"""What a cascade expects and costs: both answers, as often as there are two."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mai_core.policy.doubt import JUDGED_TOKENS, FirstWords, successors
from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import LoadPlan
from mai_core.policy.selection import Candidate, SelectionRequest
from mai_strategies.cascade import Cascade

shares = st.floats(0.0, 1.0)


def test_expectations_are_what_playing_it_comes_to() -> None:
    cascade = Cascade(notices=0.7, false_alarms=0.1, second=0.6, second_cost=2.0)
    draw, turns = random.Random(3), 40_000
    good = doubts = cost = 0.0
    for _ in range(turns):
        well = draw.random() < 0.55
        doubted = draw.random() < (0.1 if well else 0.7)
        doubts += doubted
        good += draw.random() < 0.6 if doubted else well
        cost += 0.5 + (2.0 if doubted else 0.0)
    asked = Candidate(key="c", plan=LoadPlan(context=2048), quality=0.55, cost=0.5)
    expected = cascade.expected(asked)
    assert expected == pytest.approx((doubts / turns, good / turns, cost / turns), rel=0.02)


@given(shares, st.floats(0.0, 10.0), st.floats(0.001, 10.0), st.floats(0.001, 1.0))
def test_it_falls_with_what_either_answer_costs(quality: float, cost: float, more: float, second: float) -> None:
    one = Candidate(key="one", plan=LoadPlan(context=2048), quality=quality, cost=cost)
    request = SelectionRequest(features=TaskFeatures(), candidates=(one, replace(one, key="two", cost=cost + more)))
    cheap, dear = (p.score for p in Cascade().propose(request))
    assert 0.0 <= dear < cheap <= 1.0 or cheap == 0.0
    dearer_second = Cascade(second_cost=0.012 + second).propose(request)[0].score
    assert dearer_second < cheap


@given(st.lists(st.none() | st.floats(-2.0, 0.0) | st.just(-30.0), max_size=60), st.floats(-3.0, 0.0))
@example([-1.0, -1.0, -1.0], -2.0)
@example([-30.0] * 3, -12.5)
def test_first_words_are_doubted_by_their_mean_alone(told: list[float | None], below: float) -> None:
    words = FirstWords(below)
    for number, logprob in enumerate(told, 1):
        assert words.feed(logprob) is (number >= JUDGED_TOKENS)
    known = [max(-12.0, logprob) for logprob in told if logprob is not None]
    if len(known) < 3:
        assert not words.doubted
    elif abs(sum(known) / len(known) - below) > 1e-6:
        assert words.doubted is (sum(known) / len(known) < below)


@given(shares, shares, st.floats(0.0, 200.0), st.floats(0.0, 200.0), st.floats(0.0, 200.0))
def test_a_second_opinion_is_worth_the_wait(
    quality: float, other: float, wait: float, writing: float, loading: float
) -> None:
    mine = Candidate(
        key="mine", plan=LoadPlan(context=2048), quality=quality, load_seconds=loading, wait_seconds=loading + writing
    )
    asked = replace(mine, key="other", quality=other, load_seconds=0.0, wait_seconds=wait)
    gives = successors((asked,), mine) == ("other",)
    if gives:
        assert other > quality
        assert other - 0.005 * wait > -0.005 * writing, "a sure answer that took longer would be as good as that"
        assert successors((replace(asked, wait_seconds=wait / 2),), mine) == ("other",)
        assert successors((asked,), replace(mine, wait_seconds=loading + 2 * writing)) == ("other",)
    elif other > quality:
        assert wait > 0.0, "nobody who is better and takes no time is left out"


def test_nobody_waits_two_minutes_for_a_little_more() -> None:
    mine = Candidate(key="mine", plan=LoadPlan(context=2048), quality=0.7, wait_seconds=4.0)
    large = replace(mine, key="large", quality=0.8, wait_seconds=120.0)
    assert successors((large,), mine) == ()
    assert successors((replace(large, wait_seconds=40.0),), mine) == ("large",)


def test_the_best_who_does_not_take_too_long_gives_the_second_opinion() -> None:
    mine = Candidate(key="mine", plan=LoadPlan(context=2048), quality=0.5)
    slow, quick = (replace(mine, key=k, quality=q, wait_seconds=s) for k, q, s in (("s", 0.8, 90.0), ("q", 0.7, 10.0)))
    assert successors((replace(mine, key="worse", quality=0.4), slow, quick), mine) == ("q", "s")


@pytest.mark.parametrize(
    "options", [{"notices": 0.1, "false_alarms": 0.2}, {"second": 1.1}, {"sure": 0.1}, {"value": 0}]
)
def test_nonsense_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"probabilit"):
        Cascade(**options)
