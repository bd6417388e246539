"""A fault planted in a built-in strategy is found by the law that is meant for it."""

from __future__ import annotations

import pytest

from mai_core.testing.laws import Outcome
from tests.strategies.mutants import MUTANTS, Mutant, verdict_on


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.strategy} {mutant.fault}")
def test_the_fault_is_found(mutant: Mutant) -> None:
    verdict = verdict_on(mutant)
    assert verdict.outcome is Outcome.BROKEN, f"{mutant.law} holds all the same"


def test_what_is_gone_from_the_source_is_no_mutant() -> None:
    with pytest.raises(ValueError, match="0 times"):
        Mutant("tiered", "none", "nothing like it", "", "never-raises").make()
