"""Microseconds a decision: every registered strategy and the arbiter, beside a plain filter and max.

python -m mai_core.bench.decisions
"""

from __future__ import annotations

import random
import time

from mai_core.bench.timing import medians
from mai_core.plugin.ballots import collect_ballots
from mai_core.plugin.isolation import StrategyRunner
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.decision import conclude
from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import Footprint, LoadPlan, Tier
from mai_core.policy.selection import Candidate, SelectionRequest
from mai_core.settings.model import Settings

__all__ = ["main", "request_of"]

SIZES = (10, 100, 1000)
AIMS_MICROSECONDS = {10: 100, 100: 800, 1000: 8000}


def request_of(candidates: int, seed: int = 1) -> SelectionRequest:
    """A turn with this many different candidates, one of them in use."""
    draw = random.Random(seed)
    return SelectionRequest(
        features=TaskFeatures(),
        candidates=tuple(
            Candidate(
                key=f"model-{i}",
                tier=draw.choice(list(Tier)),
                plan=LoadPlan(context=8192),
                footprint=Footprint(draw.randrange(10**9), draw.randrange(10**10)),
                quality=draw.random(),
                load_seconds=draw.uniform(0.5, 20.0),
                prefill_seconds=draw.uniform(0.1, 5.0),
                tokens_per_second=draw.uniform(2.0, 100.0),
                wait_seconds=draw.uniform(2.0, 60.0),
                energy_joules=draw.uniform(10.0, 1000.0),
            )
            for i in range(candidates)
        ),
        current="model-3",
    )


def main() -> None:
    """Print one line for each number of candidates."""
    registry = PluginRegistry.discover()
    chosen = Settings().selection
    strategies = [(registry.strategy(name), 1.0) for name in chosen.strategies]
    runner = StrategyRunner(strategies, 1.0)
    print(f"strategies: {', '.join(chosen.strategies)}; arbiter: {chosen.arbiter}; medians in microseconds")
    print(f"{'candidates':>10} {'floor':>8} {'decision':>9} {'aim':>6} {'x floor':>8} {'with deadline':>14}")
    for size in SIZES:
        request = request_of(size)

        def floor(request: SelectionRequest = request) -> object:
            return max((c for c in request.candidates if c.spare > 0.0), key=lambda c: c.quality * c.health)

        def decision(request: SelectionRequest = request) -> object:
            ballots = collect_ballots(strategies, request, clock=time.perf_counter, budget_seconds=1.0)
            return conclude(request, ballots)

        def guarded(request: SelectionRequest = request) -> object:
            return conclude(request, runner.ballots(request))

        plain, bare, fenced = (1e6 * s for s in medians([floor, decision, guarded], max(100, 20_000 // size)))
        print(
            f"{size:>10} {plain:>8.1f} {bare:>9.1f} {AIMS_MICROSECONDS[size]:>6} {bare / plain:>8.1f} {fenced:>14.1f}"
        )
    runner.close()


if __name__ == "__main__":
    main()
