"""What holds of every run, whoever decides."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_core.bench.simulator import campaign as campaigns
from mai_core.bench.simulator.campaign import Campaign, run_cells
from mai_core.bench.simulator.grid import spare_on_grid
from mai_core.bench.simulator.machines import MACHINES
from mai_core.bench.simulator.programs import PROGRAMS, held_by_others
from mai_core.bench.simulator.tally import Tally
from mai_core.bench.simulator.timeline import Timeline
from mai_core.bench.simulator.workloads import WORKLOADS, turns_of
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.feasibility import Limits

Campaigns = Callable[..., Campaign]
GUARDED = "greedy-fit tiered cost-aware mai smallest largest"
HARD = "hungry-programs"


def all_cells(workload: str, seed: int = 1) -> str:
    return " ".join(f"{machine}/{workload}/{seed}" for machine in MACHINES)


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_remembered_decides_as_what_is_decided_anew(
    campaign_of: Campaigns, registry: PluginRegistry, machine: str
) -> None:
    cells = f"{machine}/{HARD}/3 {machine}/several-users/3 {machine}/long-contexts/3"
    campaign = campaign_of("mai cost-aware cascade exp4", cells, turns=10)
    remembered = list(run_cells(campaign, registry=registry))
    assert remembered == list(run_cells(replace(campaign, remembers=False), registry=registry))


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_turn_is_answered_or_lost_and_nobody_beats_the_clairvoyant(
    campaign_of: Campaigns, registry: PluginRegistry, workload: str
) -> None:
    campaign = campaign_of(
        "cost-aware blind cascade", f"laptop-16gb-igpu/{workload}/2 desktop-gpu-8gb/{workload}/2", turns=150
    )
    for outcome in run_cells(campaign, registry=registry):
        for name, tally in outcome.tallies.items():
            assert tally.turns == 150 == sum(tally.served.values()) + tally.lost
            assert tally.first.count == tally.end.count == tally.turns - tally.lost
            assert tally.joules >= 0.0
            assert 0.0 <= tally.first.total <= tally.end.total
            assert min(tally.regret) >= -1e-9 or (name == "cascade" and tally.doubted)  # whose luck counts
            assert sum(tally.regret) == pytest.approx(tally.ceiling - tally.utility)


def test_time_never_goes_back(
    campaign_of: Campaigns, registry: PluginRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    watch = Timeline.at

    def at(self: Timeline, when: float, then: Callable[[object], None], what: object) -> None:
        assert when >= self.now
        seen.append(self.now)
        watch(self, when, then, what)

    monkeypatch.setattr(Timeline, "at", at)
    list(run_cells(campaign_of("mai", f"mac-16gb/{HARD}/1", turns=300), registry=registry))
    assert len(seen) > 600
    assert seen == sorted(seen)


def test_the_same_seed_is_the_same_run_and_another_is_not(campaign_of: Campaigns, registry: PluginRegistry) -> None:
    one, again, other = (
        next(iter(run_cells(campaign_of("tiered", f"laptop-8gb/mixed/{seed}", turns=100), registry=registry)))
        for seed in (1, 1, 2)
    )
    assert one == again
    assert one.tallies != other.tallies


def test_who_else_competes_changes_nothing(campaign_of: Campaigns, registry: PluginRegistry) -> None:
    alone, among = (
        next(iter(run_cells(campaign_of(names, f"mac-64gb/{HARD}/5", turns=100), registry=registry)))
        for names in ("tiered", "greedy-fit blind tiered")
    )
    assert alone.tallies["tiered"] == among.tallies["tiered"]


def test_more_bandwidth_never_makes_waiting_for_a_fixed_model_longer(
    campaign_of: Campaigns, registry: PluginRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = {name: replace(w, programs="none", crashes=0.0) for name, w in WORKLOADS.items()}
    monkeypatch.setattr(campaigns, "WORKLOADS", quiet)
    campaign = campaign_of(
        "fixed:llama-3.2-3b-instruct", "laptop-8gb/chat-day/1 laptop-8gb/several-users/1", turns=120, preloads=False
    )
    before: list[float] = []
    for factor in (1.0, 1.3, 2.0, 4.0):
        plain = MACHINES["laptop-8gb"]
        faster = replace(plain, bytes_per_second=plain.bytes_per_second * factor, disk=plain.disk * factor)
        monkeypatch.setattr(campaigns, "MACHINES", {"laptop-8gb": faster})
        waited = [o.tallies["fixed:llama-3.2-3b-instruct"].end.total for o in run_cells(campaign, registry=registry)]
        assert not before or all(now < was for now, was in zip(waited, before, strict=True))
        before = waited


@pytest.mark.parametrize("programs", PROGRAMS)
def test_other_programs_come_in_the_order_of_time_and_leave_some(programs: str) -> None:
    for machine in MACHINES.values():
        at = 0.0
        steps = held_by_others(PROGRAMS[programs], machine, random.Random(1))
        for _, held in zip(range(500), steps, strict=False):
            assert held.at >= at
            assert 0 <= held.ram < machine.ram
            assert all(0 <= size < gpu.total for size, gpu in zip(held.gpus, machine.gpus, strict=True))
            at = held.at


@pytest.mark.parametrize("workload", WORKLOADS)
def test_what_is_asked_can_be_answered(workload: str) -> None:
    chosen = WORKLOADS[workload]
    turns = list(turns_of(chosen, 400, random.Random(7)))
    assert len(turns) == 400
    assert {t.user for t in turns} == set(range(chosen.users))
    assert all(0 <= t.asked < len(chosen.asked) and 0 <= t.guess < len(chosen.asked) for t in turns)
    assert all(t.question > 0 < t.reply and t.pause >= 0.0 <= t.at and 0.0 <= t.luck <= 1.0 for t in turns)
    assert turns[0].begins


def test_tallies_survive_their_form_on_disk(campaign_of: Campaigns, registry: PluginRegistry) -> None:
    (outcome,) = run_cells(campaign_of("tiered", f"laptop-8gb/{HARD}/1", turns=60), registry=registry)
    tally = outcome.tallies["tiered"]
    assert Tally.of_json(tally.to_json()) == tally
    twice = tally.plus(tally)
    assert (twice.turns, twice.end.count) == (2 * tally.turns, 2 * tally.end.count)
    assert twice.end.percentile(0.5) == tally.end.percentile(0.5)


@given(st.floats(-2.0, 1.0), st.floats(0.0, 0.9))
def test_what_a_model_leaves_is_never_rounded_up_nor_over_the_line_of_a_switch(spare: float, needed: float) -> None:
    rounded = spare_on_grid(spare, Limits(spare=needed))
    assert rounded <= spare
    assert (rounded >= needed) == (spare >= needed)
    assert (rounded >= 0.0) == (spare >= 0.0)
