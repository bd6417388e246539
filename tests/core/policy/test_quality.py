"""A model nobody has rated is thought as good as rated ones of its size are, no better."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from mai_core.paths import Paths
from mai_core.policy.families import family_quality
from mai_core.policy.features import TaskFeatures
from mai_core.policy.kinds import TaskKind
from mai_core.policy.models import KnownModel, ModelProfile, Tier
from mai_core.policy.quality import AT_NOTHING, PER_DOUBLING, expected_quality, prior_quality
from mai_core.settings import load_catalogue


@pytest.fixture
def rated(tmp_path: Path) -> list[KnownModel]:
    known = load_catalogue(Paths.of({"MAI_HOME": str(tmp_path)}))
    return [k for k in known if k.parameters and "default" in k.quality]


def test_the_prior_is_the_line_through_the_catalogue(rated: list[KnownModel]) -> None:
    assert len(rated) > 50
    sizes = [math.log2(1.0 + 4.0 * k.parameters / 1e9) for k in rated]
    slope, at_nothing = statistics.linear_regression(sizes, [k.quality["default"] for k in rated])
    assert pytest.approx(slope, abs=0.005) == PER_DOUBLING
    assert pytest.approx(at_nothing, abs=0.02) == AT_NOTHING


def test_the_unknown_is_no_better_than_the_best_known_of_its_tier(rated: list[KnownModel]) -> None:
    nothing_told = ModelProfile(key="house-model", backend="b", location="x")
    tier = Tier.of_parameters(0.0)
    assert prior_quality(nothing_told) < max(k.quality["default"] for k in rated if k.tier is tier)


def test_a_relative_of_rated_models_is_rated_between_them() -> None:
    known = [
        KnownModel(key="fox-2b-instruct", parameters=2e9, quality={"default": 0.4, "math": 0.2}),
        KnownModel(key="fox-8b-instruct", parameters=8e9, quality={"default": 0.6, "math": 0.5}),
        KnownModel(key="fox-coder-4b", parameters=4e9, quality={"default": 0.1}),
        KnownModel(key="fox-4b", parameters=4e9, quality={"default": 0.9}, chat=False),
    ]
    told = family_quality(known, "fox-4b-instruct-q4_k_m", 4e9)
    assert told == {"default": pytest.approx(0.5, abs=0.005), "math": pytest.approx(1 / 3, abs=0.005)}
    assert family_quality(known, "publisher_Fox-4B-Instruct.gguf", 4e9) == told
    larger, smaller = family_quality(known, "fox-70b", 7e10), family_quality(known, "fox-0.5b", 5e8)
    assert larger["default"] > 0.6
    assert smaller["math"] < 0.2
    assert family_quality(known, "fox-coder-9b", 9e9)["default"] > 0.1
    assert family_quality(known, "wolf-4b", 4e9) == {}
    assert family_quality(known, "fox-latest", 0.0) == {}


def test_every_family_of_the_catalogue_grows_with_size_and_ends_nowhere(rated: list[KnownModel]) -> None:
    for entry in rated:
        for factor in (0.1, 0.7, 1.0, 1.5, 20.0):
            told = family_quality(rated, entry.key, entry.parameters * factor)
            assert all(0.0 < figure < 1.0 for figure in told.values())


def test_coarse_weights_lose_and_four_bits_are_what_figures_are_for() -> None:
    model = ModelProfile(key="m", backend="b", location="x", quality={"default": 0.6})
    at = {
        q: expected_quality(replace(model, quantisation=q), TaskFeatures())
        for q in ("Q8_0", "Q4_K_M", "Q3_K_S", "Q2_K")
    }
    assert at["Q8_0"] == at["Q4_K_M"] > at["Q3_K_S"] > at["Q2_K"]


def test_a_figure_for_the_field_outweighs_the_kind() -> None:
    model = ModelProfile(key="m", backend="b", location="x", quality={"knowledge": 0.3, "law": 0.8})
    law, health = (
        expected_quality(model, TaskFeatures(kind=TaskKind.KNOWLEDGE, field=field, difficulty=0.5))
        for field in ("law", "health")
    )
    assert (law, health) == (pytest.approx(0.8), pytest.approx(0.3))


def test_able_models_are_no_better_where_nothing_tells_them_apart() -> None:
    able, weak = (
        ModelProfile(key=k, backend="b", location="x", quality={"chat": q}) for k, q in (("a", 0.9), ("w", 0.2))
    )

    def lead(discrimination: float) -> float:
        features = TaskFeatures(difficulty=0.5, discrimination=discrimination)
        return expected_quality(able, features) - expected_quality(weak, features)

    assert lead(0.0) == 0.0
    assert lead(0.5) < lead(1.0) < lead(1.5)
