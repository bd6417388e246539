"""Mai's laws for strategies, and what this one is for."""

from __future__ import annotations

from mai_loyal import Loyal

from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import LoadPlan
from mai_core.policy.selection import Candidate, SelectionRequest
from mai_core.testing import StrategyLaws


class TestLoyal(StrategyLaws):
    strategy = Loyal()


def test_what_is_loaded_wins_unless_another_is_much_better() -> None:
    plan = LoadPlan(context=4096)
    loaded = Candidate(key="loaded", plan=plan, quality=0.5, is_loaded=True)
    better = Candidate(key="better", plan=plan, quality=0.6)
    much_better = Candidate(key="much-better", plan=plan, quality=0.8)
    request = SelectionRequest(features=TaskFeatures(), candidates=(loaded, better, much_better))
    ranking = sorted(Loyal().propose(request), key=lambda proposal: -proposal.score)
    assert [proposal.key for proposal in ranking] == ["much-better", "loaded", "better"]
