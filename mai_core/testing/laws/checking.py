"""Trying many laws on many strategies, on all cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, NamedTuple

from mai_core.plugin.finding import find_strategy
from mai_core.plugin.registry import PluginRegistry
from mai_core.testing.laws import LAWS, Law, Make, Verdict, laws_of, try_law
from mai_core.testing.laws.trial import EXAMPLES

__all__ = ["Found", "Plan", "check", "cores"]

ALONE = 8
"""So few trials are done before other processes have started."""


class Found(NamedTuple):
    """What came of one law for one strategy."""

    strategy: str
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be tried: strategies by name with their options, as the settings have them.

    laws      names of laws; none for all that bind the strategy
    blocked   plugins to leave out
    jobs      processes
    """

    strategies: Mapping[str, Mapping[str, Any]]
    laws: Sequence[str] = ()
    examples: int = EXAMPLES
    seed: int = 0
    blocked: tuple[str, ...] = field(default=())
    jobs: int = 1

    def trials(self, registry: PluginRegistry) -> list[tuple[str, Law]]:
        """Every strategy with every law that is to be tried on it, the dearest laws first.

        Raises ``PluginError`` for a strategy that is not there, and ``ValueError`` for a claim to no law.
        """
        found = []
        for name in self.strategies:
            bound = laws_of(self.maker(registry, name))
            chosen = [LAWS[law] for law in self.laws] or bound
            found += [(name, law) for law in chosen]
        return found

    def maker(self, registry: PluginRegistry, name: str) -> Make:
        """How a strategy is constructed anew."""
        return partial(find_strategy, registry, name, self.strategies[name])


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check(plan: Plan, registry: PluginRegistry) -> Iterator[Found]:
    """Every verdict as it comes; in order where one process does it all."""
    trials = plan.trials(registry)
    if plan.jobs <= 1 or len(trials) <= ALONE:
        for name, law in trials:
            verdict = try_law(law, plan.maker(registry, name), examples=plan.examples, seed=plan.seed)
            yield Found(name, verdict)
        return
    # Processes are spawned, not forked: a progress bar's thread holds locks nobody would release in a fork.
    pool = ProcessPoolExecutor(plan.jobs, mp_context=multiprocessing.get_context("spawn"))
    try:
        for done in as_completed([pool.submit(_try, plan, name, law.name) for name, law in trials]):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _try(plan: Plan, name: str, law: str) -> Found:
    make = plan.maker(_registry(plan.blocked), name)
    return Found(name, try_law(LAWS[law], make, examples=plan.examples, seed=plan.seed))


@cache
def _registry(blocked: tuple[str, ...]) -> PluginRegistry:
    return PluginRegistry.discover(blocked=blocked)
