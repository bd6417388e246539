"""The laws as a class of tests: each law is one test, reported by its smallest counterexample."""

from __future__ import annotations

import copy
from typing import ClassVar

import pytest

from mai_core.plugin.interfaces import SelectionStrategy
from mai_core.testing.laws import LAWS, Outcome, laws_of, try_law
from mai_core.testing.laws.trial import EXAMPLES

__all__ = ["StrategyLaws"]


class StrategyLaws:
    """Subclass it as ``TestMine`` in a file pytest collects, with the strategy to be tried:

        class TestMine(StrategyLaws):
            strategy = Mine()

    Override ``make`` instead where copies of one instance will not do. ``examples`` is the number of worlds tried for
    each law; ``seed`` names another set of worlds.
    """

    strategy: ClassVar[SelectionStrategy]
    examples: ClassVar[int] = EXAMPLES
    seed: ClassVar[int] = 0

    def make(self) -> SelectionStrategy:
        """A fresh strategy, as settings would construct it."""
        return copy.deepcopy(self.strategy)

    @pytest.mark.parametrize("law", list(LAWS))
    def test_law(self, law: str) -> None:
        """One of the laws in ``mai_core.testing.laws``."""
        if LAWS[law] not in laws_of(self.make):
            pytest.skip("not claimed")
        verdict = try_law(LAWS[law], self.make, examples=self.examples, seed=self.seed)
        if verdict.outcome is Outcome.BROKEN:
            replay = f"seed {verdict.seed} of {self.examples} examples"
            pytest.fail("\n".join(verdict.lines(replay)), pytrace=False)
        if verdict.outcome is Outcome.UNJUDGED:
            pytest.skip(verdict.why)
