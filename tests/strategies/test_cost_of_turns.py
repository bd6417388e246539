"""Cost-aware: of two that reach the target, the dearer one never scores as high, in every unit."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_core.errors import PluginError
from mai_core.plugin.construct import construct
from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import LoadPlan
from mai_core.policy.selection import LOAD_LASTS, Candidate, SelectionRequest
from mai_strategies.cost_aware import CostAware, Unit

FIELD = {"cost": "cost", "waiting": "wait_seconds", "energy": "energy_joules", "money": "money"}
MOST = {"cost": 10.0, "waiting": 3600.0, "energy": 1e6, "money": 10.0}


@pytest.mark.parametrize("unit", get_args(Unit))
@given(
    st.floats(0.0, 1.0),
    st.floats(0.001, 0.5),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.floats(0.5, 1.0),
    st.floats(0.5, 1.0),
)
def test_it_falls_strictly_with_cost_and_with_nothing_else(
    unit: Unit, share: float, more: float, other: float, health: float, quality: float, elsewhere: float
) -> None:
    named, most = FIELD[unit], MOST[unit]
    cheap = Candidate(key="cheap", plan=LoadPlan(context=2048), quality=quality, health=health + 0.01)
    others = {name: other * MOST[u] for u, name in FIELD.items() if u != unit}
    cheap = replace(cheap, **{**dict.fromkeys(FIELD.values(), 0.0), named: share * most})
    dear = replace(cheap, key="dear", quality=elsewhere, **{**others, named: (share + more) * most})
    request = SelectionRequest(features=TaskFeatures(), candidates=(cheap, dear))
    scores = {p.key: p.score for p in CostAware(unit=unit, target=0.5).propose(request)}
    assert scores["cheap"] > scores["dear"] > 0.0


@given(st.floats(0.1, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 0.1), st.floats(0.0, 0.1))
def test_there_is_no_edge_at_the_target_or_anywhere(target: float, quality: float, less: float, cost: float) -> None:
    one = Candidate(key="one", plan=LoadPlan(context=2048), quality=quality, cost=cost)
    other = replace(one, key="other", quality=max(0.0, quality - less))
    request = SelectionRequest(features=TaskFeatures(), candidates=(one, other))
    scores = {p.key: p.score for p in CostAware(target=target).propose(request)}
    assert 0.0 <= scores["one"] - scores["other"] <= less / target + 1e-9, "what is lost is the share of the target"


@given(st.floats(0.0, 100.0), st.floats(0.0, 100.0), st.floats(0.01, 10.0))
def test_a_load_counts_for_a_turn_of_those_it_lasts(loading: float, rest: float, amount: float) -> None:
    loaded = Candidate(key="a", plan=LoadPlan(context=2048), wait_seconds=rest)
    away = replace(loaded, load_seconds=loading, wait_seconds=loading + rest)
    assert loaded.spread(amount) == amount
    assert away.spread(away.wait_seconds) == pytest.approx(rest + loading / LOAD_LASTS)
    assert 0.0 <= away.spread(amount) <= amount
    careless = replace(away, wait_seconds=0.0)  # as others may build it
    assert 0.0 < careless.spread(amount) <= amount


@pytest.mark.parametrize("options", [{"typical": -1.0}, {"target": 1.5}, {"target": -0.1}])
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(PluginError):
        construct(CostAware, options, kind="strategy", name="cost-aware")
