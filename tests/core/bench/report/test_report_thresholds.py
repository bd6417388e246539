"""Bounds: which way each goes, what stands beside another one, and what cannot be meant."""

from __future__ import annotations

import pytest

from mai_core.bench.report.metrics import METRICS, Better, Unit, written
from mai_core.bench.report.thresholds import ON_TABLES, PAIRED, judged, threshold

from .made_up import comparison, standing, two

NAMES = ("mine", "yours")


@pytest.mark.parametrize(
    ("bound", "kept"),
    [
        ("quality=0.5", True),
        ("quality=0.51", False),
        ("waiting-p95=10", True),
        ("waiting-p95=9.9", False),
        ("switches=10", True),
        ("switches=9", False),
        ("oom=0", True),
        ("worth=20", True),
        ("worth=20.5", False),
        ("regret=10", True),
        ("regret=9", False),
        ("cost=10", True),
        ("aiq=60", True),
        ("aiq=60.1", False),
        ("over-hull=2", True),
        ("broken-laws=0", False),
    ],
)
def test_a_bound_goes_the_way_that_is_better(bound: str, kept: bool) -> None:
    made = comparison(standing("mine"), standing("yours"), tables=("school",))
    (verdict,) = judged(made, [threshold(bound, NAMES)])
    assert verdict.kept is kept
    assert "mine" in verdict.told
    assert "\n" not in verdict.told


@pytest.mark.parametrize(
    ("bound", "difference", "kept"),
    [
        ("quality=yours", {"quality": (0.2, 0.1)}, False),
        ("quality=yours", {"quality": (0.2, 0.3)}, True),
        ("quality=yours", {"quality": (-0.2, 0.1)}, True),
        ("waiting=yours", {"first": (-2.0, 1.0)}, False),
        ("waiting=yours", {"first": (-2.0, 3.0)}, True),
        ("waiting=yours", {"first": (2.0, 1.0)}, True),
        ("worth=yours", {"utility": (0.002, 0.001)}, False),
        ("regret=yours", {"regret": (-0.002, 0.001)}, False),
        ("quality=yours", {"quality": (-0.2, float("inf"))}, False),
    ],
)
def test_beside_another_one_only_what_is_sure_counts(
    bound: str, difference: dict[str, tuple[float, float]], kept: bool
) -> None:
    (verdict,) = judged(two(**difference), [threshold(bound, NAMES)])
    assert verdict.kept is kept


@pytest.mark.parametrize(
    "bound", ["quality", "quality=", "beauty=1", "quality=nan", "quality=nobody", "quality=mine", "oom=yours", "=1"]
)
def test_what_cannot_be_meant_is_told(bound: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        threshold(bound, NAMES)


def test_what_can_be_held_against_another_one_is_what_results_pair() -> None:
    paired = set(two().parts[0].paired["yours"])
    assert paired == PAIRED
    assert set(METRICS) >= PAIRED | ON_TABLES


def test_every_metric_says_what_it_means() -> None:
    for key, metric in METRICS.items():
        assert metric.key == key
        assert metric.meaning.endswith(".")
        assert metric.better in Better


@pytest.mark.parametrize(
    ("unit", "value", "told"),
    [
        (Unit.SECONDS, 0.0, "0 ms"),
        (Unit.SECONDS, 0.25, "250 ms"),
        (Unit.SECONDS, 9.94, "9.9 s"),
        (Unit.SECONDS, 599.0, "599 s"),
        (Unit.SECONDS, 660.0, "11 min"),
        (Unit.SHARE, 0.5178, "0.518"),
        (Unit.MONEY, -1.0, "−1.00"),
        (Unit.COUNT, 1200.0, "1,200"),
        (Unit.SHARE, float("inf"), "–"),
    ],
)
def test_figures_are_written_for_people(unit: Unit, value: float, told: str) -> None:
    assert written(unit, value) == told
