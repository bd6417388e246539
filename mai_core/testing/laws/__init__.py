"""Laws of selection strategies, tried on generated worlds.

A law holds for every sane strategy, whatever it prefers; those of the last group bind whoever claims them. They run in
three ways: ``mai bench check NAME``, ``pytest --mai-strategy NAME``, and as a class of tests,

    class TestMine(StrategyLaws):
        strategy = Mine()

Needs Hypothesis, which Mai itself does not install.
"""

from __future__ import annotations

from collections.abc import Mapping

from mai_core.testing.laws import answers, claims, decisions, metamorphic, preferences, steadiness
from mai_core.testing.laws.law import Broken, Group, Law, Make
from mai_core.testing.laws.trial import Outcome, Verdict, try_law

__all__ = ["LAWS", "Broken", "Group", "Law", "Make", "Outcome", "Verdict", "laws_of", "try_law"]

LAWS: Mapping[str, Law] = {
    law.name: law
    for module in (answers, metamorphic, preferences, decisions, steadiness, claims)
    for law in module.LAWS
}


def laws_of(make: Make) -> tuple[Law, ...]:
    """The laws that bind a strategy. Raises ``ValueError`` when it claims one there is not."""
    strategy = make()
    claimed = {name for name, law in LAWS.items() if law.claimed}
    if unknown := sorted(set(getattr(strategy, "claims", ())) - claimed):
        there = ", ".join(sorted(claimed))
        raise ValueError(f"{strategy.name} claims {', '.join(unknown)}; there are to claim: {there}")
    return tuple(law for law in LAWS.values() if law.binds(strategy))
