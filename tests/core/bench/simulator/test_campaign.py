"""Many runs: on several processors, from where they were left, and beside each other."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mai_core.bench.simulator import campaign as campaigns
from mai_core.bench.simulator.campaign import Campaign, Cell, Outcome, run_cells
from mai_core.bench.simulator.comparing import paired, summed
from mai_core.bench.simulator.contestants import contestant
from mai_core.bench.simulator.tally import Histogram, Tally
from mai_core.errors import PluginError
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.stability import StabilityRules

Campaigns = Callable[..., Campaign]
CELLS = "laptop-8gb/mixed/1 laptop-8gb/mixed/2 server/chat-day/1"


def test_two_processes_find_what_one_does(campaign_of: Campaigns, registry: PluginRegistry) -> None:
    campaign = campaign_of("cost-aware", CELLS, turns=20)
    alone = {o.cell: o for o in run_cells(campaign, jobs=1, registry=registry)}
    together = {o.cell: o for o in run_cells(campaign, jobs=2)}
    assert alone == together


def test_what_is_done_is_not_done_again(
    campaign_of: Campaigns, registry: PluginRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "folder" / "kept.jsonl"
    campaign = campaign_of("cost-aware", CELLS, turns=20)
    begun = run_cells(campaign, resume=file, registry=registry)
    first = next(begun)
    del begun
    with file.open("a") as out:
        out.write('{"campaign": "cut of')
    ran: list[Cell] = []
    run = campaigns.run_cell

    def noted(campaign: Campaign, cell: Cell, registry: PluginRegistry) -> Outcome:
        ran.append(cell)
        return run(campaign, cell, registry)

    monkeypatch.setattr(campaigns, "run_cell", noted)
    found = list(run_cells(campaign, resume=file, registry=registry))
    assert found[0] == first
    assert ran == list(campaign.cells[1:])
    assert len(list(run_cells(campaign, resume=file, registry=registry))) == 3
    assert ran == list(campaign.cells[1:]), "what follows a line that was cut off is kept, too"
    ran.clear()
    assert list(run_cells(replace(campaign, turns=21), resume=file, registry=registry))
    assert len(ran) == 3, "another campaign takes nothing of this one's"


def test_a_strategy_nobody_knows_is_named(registry: PluginRegistry) -> None:
    with pytest.raises(PluginError, match="no strategy 'wishful'"):
        contestant(
            "wishful", together=(), arbiter="vote", rules=StabilityRules(), options={}, registered=["greedy-fit"]
        )


def outcome(seed: int, **worths: float) -> Outcome:
    return Outcome(Cell("m", "w", seed), {name: Tally(turns=1, utility=worth) for name, worth in worths.items()})


def test_what_worlds_share_does_not_widen_the_interval() -> None:
    draw = random.Random(1)
    worlds = [draw.gauss(0.0, 100.0) for _ in range(10)]
    found = [outcome(i, a=w + 1.0 + draw.gauss(0.0, 0.1), b=w) for i, w in enumerate(worlds)]
    difference = paired(found, "a", "b", lambda t: t.utility)
    assert difference.sure
    assert difference.mean == pytest.approx(1.0, abs=0.2)
    assert difference.half < 0.3
    assert paired(found[:1], "a", "b", lambda t: t.utility).half == math.inf


def test_intervals_hold_what_they_promise() -> None:
    draw, held = random.Random(3), 0
    for _ in range(400):
        found = [outcome(i, a=draw.gauss(0.5, 1.0), b=0.0) for i in range(8)]
        difference = paired(found, "a", "b", lambda t: t.utility)
        held += abs(difference.mean - 0.5) <= difference.half
    assert 0.92 <= held / 400 <= 0.98


def test_sums_are_of_all_worlds() -> None:
    assert summed([outcome(1, a=1.0), outcome(2, a=2.5)])["a"].utility == 3.5


def test_percentiles_are_exact_to_the_width_of_a_bin() -> None:
    draw, histogram = random.Random(5), Histogram()
    values = sorted(draw.lognormvariate(1.0, 1.5) for _ in range(5000))
    for value in values:
        histogram.add(value)
    for share in (0.5, 0.95, 0.99):
        exact = values[math.ceil(share * len(values)) - 1]
        assert exact <= histogram.percentile(share) <= 1.0201 * exact
    assert histogram.mean == pytest.approx(sum(values) / len(values))
