"""What each built-in strategy likes, and why."""

from __future__ import annotations

from typing import Any

import pytest

from mai_core.policy.features import TaskFeatures, TaskKind
from mai_core.policy.models import LoadPlan, Tier
from mai_core.policy.selection import Candidate, Rung, SelectionRequest
from mai_strategies.cascade import Cascade
from mai_strategies.cost_aware import CostAware
from mai_strategies.greedy_fit import GreedyFit
from mai_strategies.tiered import Tiered
from mai_strategies.value import Value


def candidate(key: str, **facts: Any) -> Candidate:
    return Candidate(key=key, plan=LoadPlan(context=4096), **{"tokens_per_second": 20.0, **facts})


def scores(strategy: Any, *candidates: Candidate, **features: Any) -> dict[str, float]:
    request = SelectionRequest(features=TaskFeatures(**features), candidates=candidates)
    return {p.key: p.score for p in strategy.propose(request)}


def test_greedy_fit_takes_the_best_that_fits_whole() -> None:
    found = scores(
        GreedyFit(),
        candidate("best", quality=0.8),
        candidate("squeezed", quality=0.81, rung=Rung.SMALLER_CONTEXT),
        candidate("packed", quality=0.81, rung=Rung.QUANTISED_KV),
        candidate("swapping", quality=0.99, rung=Rung.SLOW),
        candidate("ill", quality=0.99, health=0.5),
        candidate("crawling", quality=0.99, tokens_per_second=1.25),
    )
    assert max(found, key=lambda k: found[k]) == "best"
    assert found["best"] == 0.8
    assert found["squeezed"] > found["packed"] > found["swapping"]
    assert found["crawling"] == pytest.approx(0.99 / 2), "a quarter of the reading speed halves it"


def test_greedy_fit_does_not_pay_for_speed_nobody_can_read() -> None:
    found = scores(GreedyFit(), candidate("brisk", quality=0.5, tokens_per_second=5.0), candidate("flash", quality=0.5))
    assert found["brisk"] == found["flash"] == 0.5


@pytest.mark.parametrize(
    ("difficulty", "kind", "tier"),
    [
        (0.19, TaskKind.CHAT, Tier.TINY),
        (0.20, TaskKind.CHAT, Tier.SMALL),
        (0.49, TaskKind.WRITING, Tier.SMALL),
        (0.50, TaskKind.WRITING, Tier.MEDIUM),
        (0.75, TaskKind.KNOWLEDGE, Tier.LARGE),
        (0.45, TaskKind.CODE, Tier.MEDIUM),
        (0.66, TaskKind.MATH, Tier.LARGE),
    ],
)
def test_tiered_names_a_tier_for_the_task(difficulty: float, kind: TaskKind, tier: Tier) -> None:
    assert Tiered().tier_for(TaskFeatures(difficulty=difficulty, kind=kind)) is tier


def test_tiered_prefers_the_tier_then_the_next_larger_then_the_next_smaller() -> None:
    found = scores(Tiered(), *(candidate(t.value, tier=t) for t in Tier), difficulty=0.3)
    assert sorted(found, key=lambda k: -found[k]) == ["small", "medium", "tiny", "large"]


def test_tiered_takes_the_best_within_a_tier_unless_it_swaps_or_is_ill() -> None:
    found = scores(
        Tiered(),
        candidate("good", quality=0.6),
        candidate("poor", quality=0.3),
        candidate("swapping", quality=0.9, rung=Rung.SLOW),
        candidate("ill", quality=0.9, health=0.5),
        difficulty=0.3,
    )
    assert sorted(found, key=lambda k: -found[k]) == ["good", "poor", "ill", "swapping"]


@pytest.mark.parametrize(
    ("unit", "fact", "typical"),
    [
        ("cost", "cost", 0.006),
        ("waiting", "wait_seconds", 20.0),
        ("energy", "energy_joules", 500.0),
        ("money", "money", 0.001),
    ],
)
def test_cost_aware_takes_the_cheapest_that_is_good_enough(unit: Any, fact: str, typical: float) -> None:
    found = scores(
        CostAware(unit=unit),
        candidate("dear", quality=0.95, **{fact: 3 * typical}),
        candidate("usual", quality=0.5, **{fact: typical}),
        candidate("nearly", quality=0.49, **{fact: 0.9 * typical}),
        candidate("bad", quality=0.3, **{fact: 0.0}),
        candidate("worse", quality=0.2, **{fact: 0.0}),
    )
    assert sorted(found, key=lambda k: -found[k]) == ["usual", "nearly", "dear", "bad", "worse"]
    assert found["usual"] == pytest.approx(1 / 1.1), "ten usual turns are what reaching the target is worth"


def test_cost_aware_lets_a_little_go_where_that_saves_more() -> None:
    enough, nearly = candidate("enough", quality=0.5, cost=0.006), candidate("nearly", quality=0.49, cost=0.0003)
    found = scores(CostAware(), enough, nearly)
    assert found["nearly"] > found["enough"], "a fiftieth of the target for a tenth of what that is worth"


@pytest.mark.parametrize("strategy", [CostAware(), Value(), Cascade()])
def test_a_load_is_spread_over_the_turns_that_follow(strategy: Any) -> None:
    here = candidate("here", quality=0.6, cost=0.0012, wait_seconds=4.0, is_loaded=True)
    away = candidate("away", quality=0.6, cost=0.003, wait_seconds=10.0, load_seconds=6.0)
    same = candidate("same", quality=0.6, cost=0.0015, wait_seconds=5.0)
    found = scores(strategy, here, away, same)
    assert found["here"] > found["away"] == pytest.approx(found["same"])


def test_cost_aware_listens_to_its_options() -> None:
    cheap, good = candidate("cheap", quality=0.4, cost=0.0003), candidate("good", quality=0.8, cost=0.009)
    strict, lax = (scores(CostAware(target=t), cheap, good) for t in (0.7, 0.3))
    assert strict["good"] > strict["cheap"]
    assert lax["cheap"] > lax["good"]
    assert scores(CostAware(typical=0.009), good)["good"] == pytest.approx(1 / 1.1)


@pytest.mark.parametrize("strategy", [GreedyFit(), Tiered(), CostAware()])
def test_every_candidate_gets_a_reason(strategy: Any) -> None:
    request = SelectionRequest(features=TaskFeatures(), candidates=(candidate("a"), candidate("b", quality=0.9)))
    assert [(p.key, bool(p.reason)) for p in strategy.propose(request)] == [("a", True), ("b", True)]


def test_value_pays_for_quality_what_it_is_worth_and_no_more() -> None:
    pair = (candidate("cheap", quality=0.5, cost=0.01), candidate("dear", quality=0.7, cost=0.03))
    frugal, generous = scores(Value(worth=0.09), *pair), scores(Value(worth=0.11), *pair)
    assert frugal["cheap"] > frugal["dear"], "a fifth more good answers is not worth 0.02"
    assert generous["dear"] > generous["cheap"]


def test_value_spends_nothing_more_on_what_nobody_can_do() -> None:
    pair = (candidate("cheap", quality=0.02, cost=0.01), candidate("dear", quality=0.03, cost=0.03))
    found = scores(Value(), *pair)
    assert found["cheap"] > found["dear"]
