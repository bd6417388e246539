"""What a person's own outcomes may and may not do to the quality of models."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mai_core.policy.features import TaskFeatures
from mai_core.policy.kinds import TaskKind
from mai_core.policy.models import ModelProfile
from mai_core.policy.outcomes import COMMON, MODEL, MOST, OWN, Abilities, Outcome, Sign, refit
from mai_core.policy.quality import expected_quality

MODELS = ("fox", "hare", "wolf")
KINDS = (TaskKind.CODE, TaskKind.MATH, TaskKind.CHAT)
PLACES = [(model, kind) for model in (*MODELS, "nobody") for kind in (*KINDS, TaskKind.SUMMARY)]
NOW, DAY = 1_000_000_000.0, 86_400.0
# Rounding, in logits.
NOTHING = 1e-7

outcomes = st.builds(
    Outcome,
    model=st.sampled_from(MODELS),
    kind=st.sampled_from(KINDS),
    expected=st.floats(0.0, 1.0),
    value=st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0)),
    sign=st.sampled_from(list(Sign)),
    discrimination=st.floats(0.3, 2.0),
    at=st.floats(NOW - 400 * DAY, NOW + DAY),
)
histories = st.lists(outcomes, max_size=40)


def shifts(history: Sequence[Outcome], now: float = NOW) -> list[float]:
    fitted = refit(history, now=now)
    return [fitted.of(model, kind).value for model, kind in PLACES]


@given(histories, outcomes)
@settings(max_examples=150)
def test_a_good_outcome_raises_and_a_bad_one_lowers_its_model_and_its_kind(
    history: list[Outcome], one: Outcome
) -> None:
    before = shifts(history)
    better, worse = shifts([*history, replace(one, value=1.0)]), shifts([*history, replace(one, value=0.0)])
    for place, was, good, bad in zip(PLACES, before, better, worse, strict=True):
        if place[0] == one.model or place[1] is one.kind:
            assert bad - NOTHING <= was <= good + NOTHING
    changes = [good - bad for good, bad in zip(better, worse, strict=True)]
    own = changes[PLACES.index((one.model, one.kind))]
    assert all(abs(change) <= own + NOTHING for change in changes)


@given(histories, outcomes)
@settings(max_examples=150)
def test_one_outcome_moves_an_ability_by_no_more_than_its_bound(history: list[Outcome], one: Outcome) -> None:
    fresh = replace(one, at=NOW)
    most = MOST * fresh.sign.weight * fresh.discrimination
    before = shifts(history)
    assert all(abs(b - a) <= most + NOTHING for a, b in zip(before, shifts([*history, fresh]), strict=True))


@given(histories, outcomes, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
@settings(max_examples=80)
def test_the_better_an_answer_the_better_its_model(history: list[Outcome], one: Outcome, a: float, b: float) -> None:
    less, more = (refit([*history, replace(one, value=value)], now=NOW) for value in sorted((a, b)))
    assert all(more.of(one.model, kind).value >= less.of(one.model, kind).value - NOTHING for kind in KINDS)


@given(histories, outcomes)
@settings(max_examples=60)
def test_models_that_share_no_kind_of_task_with_others_know_nothing_of_them(
    history: list[Outcome], one: Outcome
) -> None:
    elsewhere = [replace(other, model="bear", kind=TaskKind.SUMMARY) for other in history]
    fitted, alone = refit([*elsewhere, one], now=NOW), refit([one], now=NOW)
    assert fitted.of(one.model, one.kind).value == pytest.approx(alone.of(one.model, one.kind).value, abs=NOTHING)


@given(histories, st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_neither_order_nor_where_the_fit_begins_matters(history: list[Outcome], draw: random.Random) -> None:
    fitted = refit(history, now=NOW)
    shuffled = draw.sample(history, len(history))
    strange = refit([replace(o, value=1.0 - o.value) for o in shuffled], now=NOW)
    again = refit(shuffled, now=NOW, start=strange)
    for place in PLACES:
        mine, other = fitted.of(*place), again.of(*place)
        assert other.value == pytest.approx(mine.value, abs=NOTHING)
        assert other.error == pytest.approx(mine.error, abs=NOTHING)
        assert other.outcomes == mine.outcomes


@given(histories)
@settings(max_examples=60)
def test_what_is_old_is_forgotten(history: list[Outcome]) -> None:
    assert refit(history, now=NOW + 400 * 90 * DAY) == Abilities()
    late = shifts(history, NOW + 12 * 90 * DAY)
    assert all(abs(shift) <= MOST * 2.0 * len(history) * 2.0**-11 + NOTHING for shift in late)


@given(histories)
@settings(max_examples=60)
def test_errors_shrink_with_outcomes_and_never_pass_those_of_nothing(history: list[Outcome]) -> None:
    fitted = refit(history, now=NOW)
    for place in PLACES:
        assert 0.0 < fitted.of(*place).error <= math.sqrt(MOST) + NOTHING


@given(histories, outcomes)
@settings(max_examples=60)
def test_models_without_outcomes_keep_their_order(history: list[Outcome], one: Outcome) -> None:
    fitted = refit([*history, one], now=NOW)
    features = TaskFeatures(kind=one.kind)
    unknown = [ModelProfile(key=f"new-{n}", backend="b", location="", parameters=n * 1e9) for n in (1, 3, 9)]
    told = [expected_quality(model, features, fitted.of(model.key, one.kind).value) for model in unknown]
    assert told == sorted(told)


def test_without_outcomes_everything_is_as_it_was() -> None:
    assert refit([], now=NOW) == Abilities()
    assert [Abilities().of(*place).value for place in PLACES] == [0.0] * len(PLACES)
    model = ModelProfile(key="fox", backend="b", location="", quality={"default": 0.6})
    assert expected_quality(model, TaskFeatures(), Abilities().of("fox", KINDS[0]).value) == expected_quality(
        model, TaskFeatures()
    )


def _loss(history: Sequence[Outcome], common: float, model: float, kind: float) -> float:
    """Minus the logarithm of the posterior of one cell, written down as the definition says."""
    total = common**2 / COMMON / 2 + model**2 / MODEL / 2 + kind**2 / OWN / 2
    for one in history:
        odds = math.log(one.expected / (1.0 - one.expected)) + one.discrimination * (common + model + kind)
        p = 1.0 / (1.0 + math.exp(-odds))
        total -= one.sign.weight * (one.value * math.log(p) + (1.0 - one.value) * math.log(1.0 - p))
    return total


@given(
    st.lists(
        st.builds(
            Outcome,
            model=st.just("fox"),
            kind=st.just(TaskKind.CODE),
            expected=st.floats(0.1, 0.9),
            value=st.sampled_from([0.0, 1.0]),
            discrimination=st.floats(0.3, 2.0),
            at=st.just(NOW),
        ),
        min_size=1,
        max_size=20,
    ),
    st.tuples(*[st.floats(-0.2, 0.2)] * 3),
)
@settings(max_examples=80)
def test_the_fit_is_the_most_probable_one(history: list[Outcome], off: tuple[float, float, float]) -> None:
    fitted = refit(history, now=NOW)
    whole, model, common = (
        fitted.of(*place).value for place in (("fox", KINDS[0]), ("fox", KINDS[1]), ("hare", KINDS[0]))
    )
    best = (common, model, whole - model - common)
    moved = [b + o for b, o in zip(best, off, strict=True)]
    assert _loss(history, *best) <= _loss(history, *moved) + 1e-9
