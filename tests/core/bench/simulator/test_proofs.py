"""What is claimed of strategies, on few and short days; ``mai bench simulate --prove`` has the full figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mai_core.bench.simulator.campaign import Campaign, Cell, Outcome, run_cells
from mai_core.bench.simulator.machines import MACHINES
from mai_core.bench.simulator.proofs import cheapest_that_suffices, keeps_up, nobody_runs_out_of_memory, proofs
from mai_core.bench.simulator.tally import Tally
from mai_core.plugin.registry import PluginRegistry

Campaigns = Callable[..., Campaign]


def test_the_claims_hold(campaign_of: Campaigns, registry: PluginRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mai_core.bench.simulator.proofs.LEARNING_TURNS", 25)
    plain = campaign_of("mai tiered greedy-fit cost-aware", "", turns=25)
    played: list[Campaign] = []

    def run(campaign: Campaign) -> list[Outcome]:
        played.append(campaign)
        return list(run_cells(campaign, registry=registry))

    def made(name: str) -> object:
        return campaign_of(name, "").contestants[0]

    safe, cheap, learns = proofs(plain, list(MACHINES), [4], target=0.5, made=made, run=run)  # type: ignore[arg-type]
    assert safe.holds, safe.figures
    assert "0 in 4,725 turns of mai, tiered, greedy-fit, cost-aware, smallest, largest, restless" in safe.figures
    assert cheap.holds, cheap.figures
    assert learns.name == "exp4"
    assert len(learns.figures) == len(MACHINES) + 1
    assert {cell.machine for campaign in played for cell in campaign.cells} == set(MACHINES)


def outcome(seed: int, **overdrawn: int) -> Outcome:
    return Outcome(Cell("m", "w", seed), {k: Tally(turns=10, overdrawn=n) for k, n in overdrawn.items()})


@pytest.mark.parametrize(("guarded", "unguarded", "holds"), [(0, 3, True), (1, 3, False), (0, 0, False)])
def test_one_event_under_the_guard_is_one_too_many_and_a_world_without_danger_proves_nothing(
    guarded: int, unguarded: int, holds: bool
) -> None:
    claim = nobody_runs_out_of_memory([outcome(1, mai=0, blind=unguarded), outcome(2, mai=guarded, blind=0)])
    assert claim.holds is holds


@pytest.mark.parametrize(
    ("quality", "cost", "other_quality", "other_cost", "holds"),
    [
        (0.6, 1.0, 0.7, 2.0, True),
        (0.6, 1.0, 0.4, 0.5, True),
        (0.6, 1.0, 0.5, 0.5, False),
        (0.4, 1.0, 0.3, 2.0, False),
    ],
)
def test_cost_aware_fails_when_it_misses_its_target_or_another_reaches_it_for_less(
    campaign_of: Campaigns, quality: float, cost: float, other_quality: float, other_cost: float, holds: bool
) -> None:
    campaign = campaign_of("cost-aware tiered", "laptop-8gb/mixed/1 laptop-8gb/mixed/2", turns=10)
    tallies = {
        "cost-aware": Tally(turns=10, quality=10 * quality, cost=cost),
        "tiered": Tally(turns=10, quality=10 * other_quality, cost=other_cost),
    }
    outcomes = [Outcome(cell, tallies) for cell in campaign.cells]
    assert cheapest_that_suffices(campaign, outcomes, 0.5).holds is holds


def test_who_is_not_told_of_others_takes_too_much(campaign_of: Campaigns, registry: PluginRegistry) -> None:
    campaign = campaign_of("blind", "mac-16gb/hungry-programs/1 desktop-gpu-24gb/hungry-programs/1", turns=150)
    assert all(o.tallies["blind"].overdrawn for o in run_cells(campaign, registry=registry))


def test_what_others_take_of_a_gpu_later_is_no_loads_fault(campaign_of: Campaigns, registry: PluginRegistry) -> None:
    """A program that wants more of a GPU than is left is refused, and what is loaded beside it is not to blame."""
    campaign = campaign_of("largest", "desktop-gpu-12gb/several-users/2", turns=200)
    (found,) = run_cells(replace(campaign), registry=registry)
    assert found.tallies["largest"].overdrawn == 0


def rewarded(early: float, changed: float, last: float) -> Tally:
    """A run of 80 turns: what a turn earned in its first half, in the quarter after it, and in the last quarter."""
    parts = [4 * early] * 10 + [4 * changed] * 5 + [4 * last] * 5
    return Tally(turns=80, rewards=parts)


@pytest.mark.parametrize(
    ("learner", "bound", "holds"),
    [
        (rewarded(0.70, 0.3, 0.60), 30.0, True),
        (rewarded(0.30, 0.3, 0.60), 10.0, False),
        (rewarded(0.75, 0.4, 0.35), 30.0, False),
        (rewarded(0.75, 0.6, 0.59), 30.0, True),
    ],
    ids=["recovers", "beyond its bound", "gets worse", "never fell behind"],
)
def test_a_learner_has_to_stay_within_its_bound_and_to_recover(
    campaign_of: Campaigns, learner: Tally, bound: float, holds: bool
) -> None:
    campaign = campaign_of("follower tiered greedy-fit", "server/regime-change/1", turns=80)
    tallies = {"follower": learner, "tiered": rewarded(0.8, 0.2, 0.2), "greedy-fit": rewarded(0.5, 0.6, 0.6)}
    found = [Outcome(cell, tallies) for cell in campaign.cells]
    assert keeps_up(campaign, found, "follower", ["tiered", "greedy-fit"], lambda turns: bound).holds is holds


@pytest.mark.parametrize("learner", ["exp4", "follower"])
def test_learners_keep_up(campaign_of: Campaigns, registry: PluginRegistry, learner: str) -> None:
    experts = ["tiered", "greedy-fit", "cost-aware"]
    cells = "server/regime-change/1 mac-64gb/regime-change/1"
    campaign = campaign_of(f"{learner} {' '.join(experts)}", cells, turns=300)
    found = list(run_cells(campaign, registry=registry))
    behind = [o.tallies["tiered"].utility - o.tallies[learner].utility for o in found]
    assert keeps_up(campaign, found, learner, experts, lambda turns: 0.2 * turns).figures
    assert max(behind) < 0.01 * campaign.turns, behind
