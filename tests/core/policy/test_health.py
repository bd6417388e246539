"""The circuit breaker: one failure is bad luck, more keep a model out for a while."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_core.policy.health import FORGET_SECONDS, LONGEST_PAUSE_SECONDS, TRIAL_HEALTH, health_after

NOW = 1_000_000.0


def test_no_failure_is_full_health_and_one_a_trial() -> None:
    assert health_after([], NOW) == 1.0
    assert health_after([NOW], NOW) == TRIAL_HEALTH


@pytest.mark.parametrize(("failures", "pause"), [(2, 60), (3, 120), (4, 240), (8, 3600), (100, 3600)])
def test_the_pause_doubles_up_to_an_hour_and_ends_in_a_trial(failures: int, pause: float) -> None:
    times = [NOW - i for i in range(failures)]
    assert health_after(times, NOW + pause - 1) == 0.0
    assert health_after(times, NOW + pause) == TRIAL_HEALTH


def test_failures_are_forgotten() -> None:
    assert health_after([NOW, NOW - 1], NOW + FORGET_SECONDS) == 1.0
    assert health_after([NOW - FORGET_SECONDS, NOW], NOW) == TRIAL_HEALTH


@given(st.lists(st.floats(0.0, NOW), max_size=40), st.randoms(use_true_random=False))
def test_order_is_irrelevant_and_no_pause_outlasts_the_longest(times: list[float], random) -> None:  # type: ignore[no-untyped-def]
    health = health_after(times, NOW)
    random.shuffle(times)
    assert health_after(times, NOW) == health
    assert health_after(times, NOW + LONGEST_PAUSE_SECONDS) > 0.0
