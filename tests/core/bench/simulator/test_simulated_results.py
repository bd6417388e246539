"""Results as plain values, and campaigns that are killed and go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mai_core.bench.simulator.campaign import Campaign, run_cells
from mai_core.bench.simulator.results import METRICS, Results, results
from mai_core.plugin.registry import PluginRegistry

Campaigns = Callable[..., Campaign]
CELLS = "laptop-8gb/mixed/1 laptop-8gb/mixed/2 server/chat-day/1"


@pytest.fixture(scope="module")
def found(campaign_of: Campaigns, registry: PluginRegistry) -> Results:
    campaign = campaign_of("cost-aware smallest", CELLS, turns=40)
    return results(campaign, list(run_cells(campaign, registry=registry)))


def test_results_survive_json(found: Results) -> None:
    text = json.dumps(found.to_json(), allow_nan=False)
    assert Results.of_json(json.loads(text)) == found


def test_groups_are_of_their_worlds(found: Results) -> None:
    assert found.first == "cost-aware"
    assert found.overall.worlds == 3
    assert {name: group.worlds for name, group in found.by_machine.items()} == {"laptop-8gb": 2, "server": 1}
    assert {name: group.worlds for name, group in found.by_workload.items()} == {"mixed": 2, "chat-day": 1}
    assert found.overall.of("smallest").turns == 120
    with pytest.raises(KeyError):
        found.overall.of("nobody")


def test_a_standing_adds_up(found: Results) -> None:
    for one in found.overall.standings:
        assert one.turns == sum(one.served.values()) + one.lost
        assert one.regret == pytest.approx(sum(one.regret_by_part) / len(one.regret_by_part))
        assert one.regret_over_time[-1] == pytest.approx(sum(one.regret_by_part))
        assert list(one.regret_over_time) == sorted(one.regret_over_time)
        assert one.first.p50 <= one.first.p95 <= one.first.p99
    beside = found.overall.of("smallest").beside
    assert set(beside) == set(METRICS)
    halves = [found.overall.of(name).quality for name in ("smallest", "cost-aware")]
    assert beside["quality"].mean == pytest.approx(halves[0] - halves[1])
    assert found.overall.of("cost-aware").beside == {}


def test_the_order_in_which_worlds_were_done_does_not_show(campaign_of: Campaigns, registry: PluginRegistry) -> None:
    campaign = campaign_of("cost-aware smallest", CELLS, turns=15)
    outcomes = list(run_cells(campaign, registry=registry))
    assert results(campaign, outcomes) == results(campaign, outcomes[::-1])


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_campaign_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    def command(file: Path) -> list[str]:
        chosen = ["--machine", "laptop-8gb,server", "--turns", "150", "--seeds", "4", "--jobs", "1", "--json"]
        return [sys.executable, "-m", "mai_core", "bench", "simulate", "tiered", *chosen, "--resume", str(file)]

    environments = [{**os.environ, "MAI_HOME": str(tmp_path / "home"), "PYTHONHASHSEED": seed} for seed in "123"]
    kept = tmp_path / "kept.jsonl"
    killed = subprocess.Popen(command(kept), env=environments[0], stdout=subprocess.DEVNULL)
    end = time.monotonic() + 60.0
    while not (kept.exists() and kept.read_text().count("\n") >= 2):
        assert killed.poll() is None
        assert time.monotonic() < end
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = kept.read_text().splitlines()
    assert 2 <= len(before) < 8
    again = subprocess.run(command(kept), env=environments[1], capture_output=True, check=True)
    fresh = subprocess.run(command(tmp_path / "other.jsonl"), env=environments[2], capture_output=True, check=True)
    assert again.stdout == fresh.stdout
    after = kept.read_text().splitlines()
    assert after[: len(before) - 1] == before[:-1], "what was done is not done again"
