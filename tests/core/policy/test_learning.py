"""What is learnt of footprints: near the truth after a few runs, unmoved by a strange one, never too sure."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_core.policy.architecture import Architecture, like_layers
from mai_core.policy.learning import (
    CAUTION,
    FURTHEST,
    HEADER_ERROR,
    LEAST,
    LEAST_ERROR,
    Basis,
    Learned,
    Observation,
    learn,
)
from mai_core.policy.models import Footprint, ModelProfile

MIB = 2**20
LLAMA = Architecture(name="llama", groups=like_layers(8, 512), embedding=512, feed_forward=1024, vocabulary=32000)
MODEL = ModelProfile(key="m", backend="embedded", location="m", size_bytes=100 * MIB, architecture=LLAMA)
PREDICTED = Footprint(400 * MIB, 100 * MIB)


def seen(ratio: float, *, key: str = "m", devices: float = 0.0, architecture: str = "llama") -> Observation:
    on_device = {"gpu0": 1000 * MIB} if devices else {}
    return Observation(
        "local",
        "embedded",
        architecture,
        "embedded",
        key,
        Footprint(400 * MIB, 100 * MIB, on_device),
        Footprint(int(400 * MIB * ratio), 100 * MIB, {name: int(n * devices) for name, n in on_device.items()}),
    )


def estimate(learned: Learned, model: ModelProfile = MODEL):  # type: ignore[no-untyped-def]
    return learned.of(model, "embedded").estimate(PREDICTED)


def test_before_anything_was_seen_a_prediction_stands_with_the_error_of_its_basis() -> None:
    plain = estimate(Learned())
    assert (plain.footprint, plain.basis) == (PREDICTED, Basis.HEADER)
    assert plain.upper.anonymous == int(400 * MIB * (1 + CAUTION * HEADER_ERROR))
    guessed = estimate(Learned(), ModelProfile(key="x", backend="embedded", location="x", size_bytes=MIB))
    assert guessed.basis is Basis.GUESSED
    assert guessed.error > 3 * plain.error
    assert guessed.upper == guessed.footprint, "a guess is an upper estimate"


@pytest.mark.parametrize("ratio", [0.85, 1.0, 1.12])
def test_a_few_runs_lead_to_the_truth_and_narrow_the_error(ratio: float) -> None:
    draw = random.Random(7)
    runs = [seen(ratio * draw.gauss(1.0, 0.005)) for _ in range(8)]
    found = estimate(learn(runs))
    assert found.footprint.anonymous == pytest.approx(400 * MIB * ratio, rel=0.01)
    assert found.footprint.file_backed == PREDICTED.file_backed
    assert found.basis is Basis.LEARNED
    assert found.error < estimate(Learned()).error / 2


def test_a_model_never_loaded_profits_from_others_of_its_architecture_and_from_no_other_kind() -> None:
    learned = learn([seen(1.1, key=key) for key in "abcd" for _ in range(3)])
    assert estimate(learned).footprint.anonymous == pytest.approx(440 * MIB, rel=0.02)
    other = ModelProfile(
        key="g", backend="embedded", location="g", size_bytes=MIB,
        architecture=Architecture(name="gemma3", groups=LLAMA.groups, embedding=1, feed_forward=1, vocabulary=1),
    )  # fmt: skip
    assert estimate(learned, other).footprint == PREDICTED


def test_what_a_model_does_itself_counts_more_than_its_kind() -> None:
    learned = learn([*(seen(1.2) for _ in range(6)), *(seen(1.0, key=key) for key in "abcdefgh")])
    assert estimate(learned).footprint.anonymous == pytest.approx(480 * MIB, rel=0.03)


def test_a_device_is_learnt_apart() -> None:
    learned = learn([seen(1.0, devices=1.1) for _ in range(6)])
    corrections = learned.of(MODEL, "embedded")
    found = corrections.estimate(Footprint(0, 0, {"gpu0": 1000 * MIB}))
    assert found.footprint.devices["gpu0"] == pytest.approx(1100 * MIB, rel=0.01)
    assert corrections.private.factor == pytest.approx(1.0, abs=0.01)
    assert found.upper.devices["gpu0"] > found.footprint.devices["gpu0"]


ratios = st.lists(st.floats(0.8, 1.25), min_size=1, max_size=40)


@given(ratios, st.floats(0.01, 100.0), st.integers(0, 40))
def test_one_strange_observation_among_many_changes_little(many: list[float], strange: float, place: int) -> None:
    many = [many[0] * (1.0 + 0.002 * (n % 3)) for n in range(12)]
    before = estimate(learn([seen(r) for r in many])).footprint.anonymous
    spoilt = [seen(r) for r in many]
    spoilt.insert(place % 12, seen(strange))
    after = estimate(learn(spoilt)).footprint.anonymous
    assert after == pytest.approx(before, rel=0.02)


@given(ratios)
def test_a_correction_is_bounded_and_never_certain(many: list[float]) -> None:
    found = learn([seen(ratio) for ratio in many]).of(MODEL, "embedded").private
    assert LEAST <= found.factor <= FURTHEST
    assert found.error >= LEAST_ERROR
    assert min(1.0, *many) * 0.999 <= found.factor <= max(1.0, *many) * 1.001


def test_runs_that_scatter_widen_the_error() -> None:
    wild = estimate(learn([seen(ratio) for ratio in (0.8, 1.2, 0.85, 1.15, 0.9, 1.1)]))
    assert wild.error > 2 * estimate(Learned()).error


@given(ratios)
def test_what_may_be_taken_is_never_less_than_what_is_expected(many: list[float]) -> None:
    found = estimate(learn([seen(ratio) for ratio in many]))
    assert found.upper.anonymous >= found.footprint.anonymous
    assert found.upper.total >= found.footprint.total
