"""The circuit breakers: one failure is bad luck, more keep a model out for a while, several models their backend."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_core.policy.health import (
    FORGET_SECONDS,
    LONGEST_PAUSE_SECONDS,
    TOGETHER_SECONDS,
    TRIAL_HEALTH,
    Breaker,
    backend_breaker,
    breaker,
    health_after,
    kept_out_words,
    longer_of,
)

NOW = 1_000_000.0
CLOCK = st.floats(-10 * FORGET_SECONDS, 10 * FORGET_SECONDS).map(lambda shift: NOW + shift)


def test_no_failure_is_full_health_and_one_a_trial() -> None:
    assert health_after([], NOW) == 1.0
    assert health_after([NOW], NOW) == TRIAL_HEALTH


@pytest.mark.parametrize(("failures", "pause"), [(2, 60), (3, 120), (4, 240), (8, 3600), (100, 3600)])
def test_the_pause_doubles_up_to_an_hour_and_ends_in_a_trial(failures: int, pause: float) -> None:
    times = [NOW - i for i in range(failures)]
    assert health_after(times, NOW + pause - 1) == 0.0
    assert health_after(times, NOW + pause) == TRIAL_HEALTH
    assert breaker(times, NOW + pause - 1) == Breaker(failures, 1.0)
    assert breaker(times, NOW + pause) == Breaker(failures)


def test_failures_are_forgotten() -> None:
    assert health_after([NOW, NOW - 1], NOW + FORGET_SECONDS) == 1.0
    assert health_after([NOW - FORGET_SECONDS, NOW], NOW) == TRIAL_HEALTH


@given(st.lists(st.floats(0.0, NOW), max_size=40), st.randoms(use_true_random=False))
def test_order_is_irrelevant_and_no_pause_outlasts_the_longest(times: list[float], random) -> None:  # type: ignore[no-untyped-def]
    health = health_after(times, NOW)
    random.shuffle(times)
    assert health_after(times, NOW) == health
    assert health_after(times, NOW + LONGEST_PAUSE_SECONDS) > 0.0


def open_at(failures: dict[str, list[float]], now: float) -> bool:
    every = [breaker([at for times in failures.values() for at in times], now), backend_breaker(failures, now)]
    return any(b.open for b in every if b is not None)


@given(st.dictionaries(st.sampled_from("abcd"), st.lists(CLOCK, max_size=6)), CLOCK)
def test_a_clock_that_jumps_keeps_nobody_out_for_longer_than_the_longest_pause(
    failures: dict[str, list[float]], now: float
) -> None:
    """Whatever clock the failures were written down by, and wherever it went since."""
    for found in (breaker([at for times in failures.values() for at in times], now), backend_breaker(failures, now)):
        if found is not None:
            assert found.remaining <= LONGEST_PAUSE_SECONDS
    assert not open_at(failures, now + LONGEST_PAUSE_SECONDS) or any(
        now < at <= now + LONGEST_PAUSE_SECONDS for times in failures.values() for at in times
    )


def test_a_clock_set_back_by_hours_opens_the_door_and_the_next_failure_closes_it() -> None:
    before = [NOW + 5 * 3600, NOW + 5 * 3600 + 1]
    assert health_after(before, NOW) == TRIAL_HEALTH
    assert health_after([*before, NOW], NOW + 1) == 0.0


def test_two_models_are_a_coincidence_and_three_are_their_backend() -> None:
    two = {"a": [NOW], "b": [NOW + 1], "c": [NOW + 1 + 2 * TOGETHER_SECONDS]}
    assert backend_breaker(two, NOW + 2) is None
    assert backend_breaker(two, NOW + 2 + 2 * TOGETHER_SECONDS) is None
    three = {"a": [NOW], "b": [NOW + 1], "c": [NOW + 2]}
    assert backend_breaker(three, NOW + 3) == Breaker(3, 59.0, backend=True)
    assert backend_breaker(three, NOW + 62) == Breaker(3, backend=True)


def test_one_model_failing_again_and_again_says_nothing_of_its_backend() -> None:
    assert backend_breaker({"a": [NOW + i for i in range(20)]}, NOW + 20) is None


def test_a_backend_whose_trial_fails_is_out_for_twice_as_long_with_whichever_model() -> None:
    failures = {"a": [NOW], "b": [NOW], "c": [NOW], "d": [NOW + 200]}
    found = backend_breaker(failures, NOW + 201)
    assert found is not None
    assert found.remaining == 119.0


def test_what_fails_while_the_breaker_is_open_lengthens_nothing() -> None:
    failures = {"a": [NOW], "b": [NOW], "c": [NOW], "d": [NOW + 10]}
    found = backend_breaker(failures, NOW + 20)
    assert found is not None
    assert found.remaining == 40.0


def test_it_is_told_until_when_and_what_gets_it_back() -> None:
    sooner = "mai switch m tries it again now; mai logs has the errors"
    assert kept_out_words("m", "b", Breaker(3, 119.6)) == (
        "it failed 3 times; kept out for another 2 min",
        f"one trial follows by itself; {sooner}",
    )
    assert kept_out_words("m", "b", Breaker(3, 0.2, backend=True))[0] == (
        "several models of b failed; kept out for another 1 s"
    )
    why, remedy = kept_out_words("m", "b", Breaker(2, trial=True))
    assert why == "it failed 2 times, and a trial is under way"
    assert remedy == f"it is back when that succeeds; {sooner}"


def test_of_two_breakers_the_longer_one_is_told() -> None:
    own, engine = Breaker(2, 10.0), Breaker(5, 40.0, backend=True)
    assert longer_of(own, engine) is engine
    assert longer_of(engine, own) is engine
    assert longer_of(own, None) is own
    assert longer_of(Breaker(5), Breaker(2, trial=True)) == Breaker(2, trial=True)
