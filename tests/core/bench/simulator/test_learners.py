"""Arbiters that learn from what becomes of their choices."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mai_core.bench.simulator.campaign import Campaign, run_cells
from mai_core.bench.simulator.learners import Follower
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.features import TaskFeatures
from mai_core.policy.selection import Ballot, Proposal, SelectionRequest

Campaigns = Callable[..., Campaign]
REQUEST = SelectionRequest(features=TaskFeatures(), candidates=())
BALLOTS = tuple(Ballot(strategy=name, proposals=(Proposal(name, 1.0),)) for name in ("one", "two"))


def rounds(learner: Follower, count: int, good: str) -> int:
    """Turns in which ``good``, which alone is rewarded, is followed."""
    followed = 0
    for _ in range(count):
        weighed = learner.weighed(REQUEST, BALLOTS)
        (leader,) = (b.strategy for b in weighed if b.weight)
        learner.learn(weighed, leader, float(leader == good))
        followed += leader == good
    return followed


def test_who_is_better_is_followed_and_a_change_is_noticed() -> None:
    learner = Follower(7)
    assert rounds(learner, 200, "one") > 150
    rounds(learner, 100, "two")
    assert rounds(learner, 200, "two") > 150


def test_every_turn_is_heard_of_once(
    campaign_of: Campaigns, registry: PluginRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[str, float]] = []
    learn = Follower.learn

    def noted(self: Follower, ballots: tuple[Ballot, ...], served: str, reward: float) -> None:
        heard.append((served, reward))
        learn(self, ballots, served, reward)

    monkeypatch.setattr(Follower, "learn", noted)
    campaign = campaign_of("follower", "laptop-8gb/several-users/1", turns=80)
    (outcome,) = run_cells(campaign, registry=registry)
    tally = outcome.tallies["follower"]
    assert len(heard) == tally.turns
    assert sum(served != "" for served, _ in heard) == sum(tally.served.values())
    assert all(0.0 <= reward <= 1.0 for _, reward in heard)
    assert 0 < sum(reward > 0.0 for _, reward in heard) <= tally.good
