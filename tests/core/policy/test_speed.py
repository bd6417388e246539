"""How fast a model is expected to be: from its weights, the memory they lie in, and what ran here before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mai_core.policy.models import Architecture, LoadPlan, ModelProfile, WeightBytes, like_layers
from mai_core.policy.speed import DEFAULT_MACHINE, Machine, MeasuredSpeed, Speed, active_share, expected_speed

SHAPE = Architecture(
    name="llama", groups=like_layers(31, 1024), embedding=4096, feed_forward=14336, vocabulary=32_000
)  # fmt: skip
DENSE = ModelProfile(
    key="m", backend="b", location="m", size_bytes=4_000_000_000, parameters=7e9, architecture=SHAPE
)  # fmt: skip
WEIGHTS = WeightBytes(input=200, layers=(300,) * 31, output=500, experts=8000)
MIXTURE = replace(DENSE, architecture=replace(SHAPE, experts=128, experts_used=8, weights=WEIGHTS))


def test_writing_is_bound_by_bandwidth_and_reading_by_compute() -> None:
    found = expected_speed(DENSE, 4)
    assert found.generation_tps == pytest.approx(10e9 / 4e9)
    assert found.prompt_tps == pytest.approx(4 * 45e9 / 14e9)
    assert expected_speed(DENSE, 8).generation_tps == found.generation_tps


def test_of_experts_only_those_count_that_a_token_is_sent_to() -> None:
    assert active_share(DENSE) == 1.0
    assert active_share(MIXTURE) == pytest.approx((10_000 - 8000 * 120 / 128) / 10_000)
    assert MIXTURE.architecture is not None
    untold = replace(MIXTURE, architecture=replace(MIXTURE.architecture, weights=None))
    assert active_share(untold) == pytest.approx(1 - 0.9 * 120 / 128)
    assert expected_speed(MIXTURE, 4).generation_tps == pytest.approx(10e9 / 4e9 / active_share(MIXTURE))


def test_times_of_layers_here_and_on_a_gpu_add_up() -> None:
    none, half, all_of_it = (
        expected_speed(DENSE, 4, plan=LoadPlan(context=4096, gpu_layers=layers)) for layers in (0, 16, -1)
    )
    assert none == expected_speed(DENSE, 4)
    assert all_of_it.generation_tps == pytest.approx(150e9 / 4e9)
    assert 1 / half.generation_tps == pytest.approx((1 / none.generation_tps + 1 / all_of_it.generation_tps) / 2)
    assert 1 / half.prompt_tps == pytest.approx((1 / none.prompt_tps + 1 / all_of_it.prompt_tps) / 2)


def test_what_was_measured_replaces_its_estimate_alone() -> None:
    found = expected_speed(DENSE, 4, MeasuredSpeed(generation_tps=9.0))
    assert found == Speed(expected_speed(DENSE, 4).prompt_tps, 9.0, expected_speed(DENSE, 4).load_seconds)


def test_a_machine_is_known_by_what_ran_on_it() -> None:
    runs = [(DENSE, MeasuredSpeed(20.0, 5.0)), (DENSE, MeasuredSpeed(30.0, 6.0)), (DENSE, MeasuredSpeed(500.0, 90.0))]
    learned = Machine.learned(runs, 4)
    other = replace(DENSE, key="other", size_bytes=2_000_000_000, parameters=3.5e9)
    assert expected_speed(other, 4, machine=learned).generation_tps == pytest.approx(12.0)
    assert expected_speed(other, 4, machine=learned).prompt_tps == pytest.approx(60.0)
    assert Machine.learned([(replace(DENSE, remote=True), MeasuredSpeed(1.0, 1.0))], 4) == DEFAULT_MACHINE
