"""A model nobody has rated is thought as good as rated ones of its size are, no better."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import pytest

from mai_core.paths import Paths
from mai_core.policy.models import KnownModel, ModelProfile, Tier
from mai_core.policy.quality import AT_NOTHING, PER_DOUBLING, prior_quality
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
