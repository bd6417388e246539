"""Second opinions in the simulator: as often as doubt tells bad answers from good ones, and both are paid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import NormalDist

import pytest

from mai_core.bench.simulator.campaign import Campaign, run_cells
from mai_core.bench.simulator.doubting import sureness
from mai_core.bench.simulator.tally import Tally
from mai_core.plugin.registry import PluginRegistry

Campaigns = Callable[..., Campaign]
NEVER, ALWAYS = -100.0, 0.0
MACHINES = "laptop-16gb-igpu/mixed/1 mac-16gb/chat-day/2"


@pytest.fixture(scope="module")
def played(campaign_of: Campaigns, registry: PluginRegistry) -> Mapping[str, Tally]:
    """Cascades that doubt never, as they do by default, and always."""
    campaign = campaign_of("cascade", MACHINES, turns=200)
    plain = campaign.contestants[0]
    doubting = {"never": {"sure": NEVER}, "by default": {}, "always": {"sure": ALWAYS}}
    contestants = tuple(
        replace(plain, name=name, strategies=(("cascade", options),)) for name, options in doubting.items()
    )
    outcomes = list(run_cells(replace(campaign, contestants=contestants), registry=registry))
    return {name: outcomes[0].tallies[name].plus(outcomes[1].tallies[name]) for name in doubting}


def test_first_words_tell_as_much_as_was_seen() -> None:
    draws = [NormalDist().inv_cdf((n + 0.5) / 2000) for n in range(2000)]
    good, bad = (sum(sureness(good=well, draw=d) < -0.4 for d in draws) / 2000 for well in (True, False))
    assert (good, bad) == (pytest.approx(2 / 12, abs=0.01), pytest.approx(3 / 8, abs=0.01))


def test_the_less_a_model_has_to_be_sure_the_fewer_second_opinions_are_asked_for(played: Mapping[str, Tally]) -> None:
    never, usually, always = (played[name].doubted for name in ("never", "by default", "always"))
    assert 0 == never < usually < always
    assert all(tally.turns == 400 == sum(tally.served.values()) + tally.lost for tally in played.values())


def test_both_answers_are_paid_and_waited_for(played: Mapping[str, Tally]) -> None:
    never, always = played["never"], played["always"]
    for paid in ("joules", "cost"):
        assert getattr(always, paid) > 1.2 * getattr(never, paid)
    assert always.first.mean > never.first.mean
    assert always.end.mean > never.end.mean


def test_who_is_asked_answers_better(played: Mapping[str, Tally]) -> None:
    assert played["never"].good < played["by default"].good < played["always"].good
    assert played["always"].served != played["never"].served
