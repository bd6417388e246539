"""The laws every selection strategy keeps."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random

from hypothesis import strategies as st

from mai_core.plugin.ballots import collect_ballots
from mai_core.plugin.interfaces import SelectionStrategy
from mai_core.plugin.shape import KINDS, misfit
from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import LoadPlan
from mai_core.policy.selection import Candidate, Proposal, SelectionRequest
from mai_core.testing.conformance.laws import holds
from mai_core.testing.worlds import dominated, requests

__all__ = ["StrategyConformance"]

BUDGET_SECONDS = 0.05


def by_key(proposals: Sequence[Proposal]) -> Mapping[str, Proposal]:
    """What was proposed, without its order."""
    return {proposal.key: proposal for proposal in proposals}


def scores(proposals: Sequence[Proposal]) -> dict[str, float]:
    """The score of every candidate that was proposed."""
    return {proposal.key: proposal.score for proposal in proposals}


def _renamed(key: str) -> str:
    """Another key, in reversed alphabetical order."""
    return "".join(chr(219 - ord(c)) if c.islower() else c for c in key)


def _thousand() -> SelectionRequest:
    found = [
        Candidate(
            key=f"model-{i}",
            plan=LoadPlan(context=4096),
            quality=i % 97 / 97,
            wait_seconds=i % 13 + 0.5,
            load_seconds=i % 7 / 2,
            health=1 - i % 5 / 10,
            spare=i % 11 / 11,
            is_loaded=i == 0,
        )
        for i in range(1000)
    ]
    return SelectionRequest(features=TaskFeatures(), candidates=tuple(found))


class StrategyConformance:
    """Subclass it as ``TestMine`` and override ``make``."""

    def make(self) -> SelectionStrategy:
        """A fresh strategy, as settings would construct it."""
        raise NotImplementedError("override make() to return your strategy")

    def test_has_the_members_of_a_strategy(self) -> None:
        """Its class can be registered."""
        assert misfit(type(self.make()), KINDS["strategies"], "under test") == ""

    def test_answers_are_valid_ballots(self) -> None:
        """Mai accepts what it answers: known keys, once each, scores in [0, 1], texts as reasons."""

        def law(request: SelectionRequest) -> None:
            [ballot] = collect_ballots([(self.make(), 1.0)], request, clock=lambda: 0.0, budget_seconds=BUDGET_SECONDS)
            assert not ballot.fault, ballot.fault

        holds(law, request=requests())

    def test_gives_reasons(self) -> None:
        """Every proposal says why, in one line."""

        def law(request: SelectionRequest) -> None:
            for proposal in self.make().propose(request):
                assert proposal.reason.strip(), f"no reason for {proposal.key}"
                assert len(proposal.reason.splitlines()) == 1, f"more than one line: {proposal.reason!r}"

        holds(law, request=requests(least=1))

    def test_is_deterministic(self) -> None:
        """The same request gets the same answer, from the same instance and from a new one."""

        def law(request: SelectionRequest) -> None:
            strategy = self.make()
            first = by_key(strategy.propose(request))
            assert by_key(strategy.propose(request)) == first, "a second call answered differently"
            assert by_key(self.make().propose(request)) == first, "a new instance answered differently"

        holds(law, request=requests())

    def test_remembers_nothing(self) -> None:
        """What it was asked before does not change what it answers."""

        def law(request: SelectionRequest, before: SelectionRequest) -> None:
            strategy = self.make()
            strategy.propose(before)
            assert by_key(strategy.propose(request)) == by_key(self.make().propose(request))

        holds(law, request=requests(), before=requests())

    def test_order_of_candidates_is_irrelevant(self) -> None:
        """Candidates come in no particular order."""

        def law(request: SelectionRequest, order: Random) -> None:
            candidates = list(request.candidates)
            order.shuffle(candidates)
            shuffled = replace(request, candidates=tuple(candidates))
            assert by_key(self.make().propose(shuffled)) == by_key(self.make().propose(request))

        holds(law, request=requests(), order=st.randoms(use_true_random=False))

    def test_names_of_models_are_irrelevant(self) -> None:
        """Another key for the same model does not change its score."""

        def law(request: SelectionRequest) -> None:
            renamed = replace(
                request,
                candidates=tuple(replace(c, key=_renamed(c.key)) for c in request.candidates),
                current=request.current and _renamed(request.current),
            )
            before = {_renamed(key): score for key, score in scores(self.make().propose(request)).items()}
            assert scores(self.make().propose(renamed)) == before

        holds(law, request=requests())

    def test_scores_do_not_depend_on_the_other_candidates(self) -> None:
        """A score is absolute: the same whether the candidate is alone or one of many."""

        def law(request: SelectionRequest) -> None:
            together = scores(self.make().propose(request))
            for candidate in request.candidates:
                alone = scores(self.make().propose(replace(request, candidates=(candidate,))))
                for key in alone.keys() & together.keys():
                    assert math.isclose(alone[key], together[key], abs_tol=1e-9), (
                        f"{key} scores {alone[key]} alone and {together[key]} among {len(request.candidates)}"
                    )

        holds(law, request=requests(least=2))

    def test_a_dominated_candidate_changes_nothing(self) -> None:
        """Adding a candidate that is worse in everything neither changes a score nor wins."""

        def law(request: SelectionRequest, index: int) -> None:
            original = request.candidates[index % len(request.candidates)]
            worse = dominated(original, "dominated")
            before = scores(self.make().propose(request))
            after = scores(self.make().propose(replace(request, candidates=(*request.candidates, worse))))
            added = after.pop("dominated", None)
            assert after == before, "scores of the others changed"
            if added is not None and original.key in after:
                assert added <= after[original.key], (
                    f"the dominated one scores {added}, the one that dominates it {after[original.key]}"
                )
            if added is not None and after:
                assert added <= max(after.values()), "the dominated one wins"

        holds(law, request=requests(least=1), index=st.integers(0, 5))

    def test_changes_nothing_it_is_given(self) -> None:
        """The request is the same afterwards, the dictionaries in it too."""

        def law(request: SelectionRequest) -> None:
            before = copy.deepcopy(request)
            self.make().propose(request)
            assert request == before

        holds(law, request=requests())

    def test_reports_how_long_a_thousand_candidates_take(self, record_property: Callable[[str, object], None]) -> None:
        """Reported, not judged: another machine is another matter. Above the default budget there is a warning."""
        request = _thousand()
        strategy = self.make()
        started = time.perf_counter()
        strategy.propose(request)
        seconds = time.perf_counter() - started
        record_property("seconds_for_1000_candidates", seconds)
        if seconds > BUDGET_SECONDS:
            warnings.warn(
                f"{strategy.name} took {seconds * 1000:.0f} ms for 1000 candidates; a strategy loses its vote "
                f"after {BUDGET_SECONDS * 1000:.0f} ms",
                stacklevel=1,
            )
