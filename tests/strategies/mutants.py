"""Faults planted in the built-in strategies, and the law that finds each: what the laws are worth.

python -m tests.strategies.mutants
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import cast

from mai_core.plugin.interfaces import SelectionStrategy
from mai_core.testing.laws import LAWS, Outcome, Verdict, try_law

__all__ = ["MUTANTS", "Mutant", "verdict_on"]

HOMES = {"cost-aware": "CostAware", "greedy-fit": "GreedyFit", "tiered": "Tiered", "value": "Value"}


@dataclass(frozen=True)
class Mutant:
    """A strategy with one place of its source changed; ``law`` is the one that is meant to find it."""

    strategy: str
    fault: str
    written: str
    instead: str
    law: str

    def make(self) -> SelectionStrategy:
        """The strategy with its fault. Raises ``ValueError`` where its source does not have that place once."""
        name = f"mai_strategies.{self.strategy.replace('-', '_')}"
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin).read_text(encoding="utf-8")
        if source.count(self.written) != 1:
            raise ValueError(f"{self.written!r} stands {source.count(self.written)} times in {name}")
        mutated = ModuleType(f"{name}_mutated")
        sys.modules[mutated.__name__] = mutated  # where dataclasses look for the names in annotations
        exec(compile(source.replace(self.written, self.instead), spec.origin, "exec"), vars(mutated))
        return cast("SelectionStrategy", getattr(mutated, HOMES[self.strategy])())


MUTANTS = (
    Mutant("greedy-fit", "forgets health", "[c.rung] * c.health", "[c.rung]", "health-is-heeded"),
    Mutant("greedy-fit", "likes what fails", "[c.rung] * c.health", "[c.rung] * (1 - c.health)", "health-is-heeded"),
    Mutant("greedy-fit", "forgets quality", "c.quality * RUNG", "0.5 * RUNG", "quality-is-heeded"),
    Mutant("greedy-fit", "forgets the rung", "RUNG_FACTOR[c.rung] * ", "", "the-last-rung-is-heeded"),
    Mutant("greedy-fit", "prefers a quantised cache", "KV: 0.95", "KV: 0.99", "a-higher-rung-never-lowers-a-score"),
    Mutant("greedy-fit", "forgets slowness", "** 0.5", "** 0.0", "slowness-is-heeded"),
    Mutant(
        "greedy-fit", "likes slowness", "tokens_per_second < pace", "tokens_per_second > pace", "scores-are-utilities"
    ),
    Mutant(
        "greedy-fit", "divides by the wait", "c.quality * RUNG", "c.quality / c.load_seconds * RUNG", "never-raises"
    ),
    Mutant(
        "greedy-fit",
        "leaves the last out",
        "in request.candidates:",
        "in request.candidates[:-1]:",
        "order-is-irrelevant",
    ),
    Mutant(
        "greedy-fit",
        "holds quality against the best",
        "c.quality * RUNG",
        "c.quality / (max(o.quality for o in request.candidates) or 1.0) * RUNG",
        "scores-are-absolute",
    ),
    Mutant(
        "greedy-fit",
        "counts bytes",
        "c.quality * RUNG",
        "c.quality / (1 + c.footprint.ram / 1e12) * RUNG",
        "the-size-of-a-byte-is-irrelevant",
    ),
    Mutant(
        "tiered",
        "forgets what the task asks for",
        "tier.rank - wanted.rank",
        "tier.rank",
        "harder-tasks-get-larger-models",
    ),
    Mutant("tiered", "forgets the difficulty", "features.difficulty + (", "0.5 + (", "harder-tasks-get-larger-models"),
    Mutant(
        "tiered",
        "swaps two limits",
        "difficulty < self.medium",
        "difficulty > self.medium",
        "harder-tasks-get-larger-models",
    ),
    Mutant(
        "tiered",
        "prefers the worse within a tier",
        "0.2 * c.quality",
        "0.2 * (1 - c.quality)",
        "better-answers-never-lower-a-score",
    ),
    Mutant("tiered", "scores too high", "0.2 * c.quality", "0.3 * c.quality", "scores-are-utilities"),
    Mutant("tiered", "falls below nothing", "STEP_DOWN = 0.20", "STEP_DOWN = 0.50", "scores-are-utilities"),
    Mutant("tiered", "rewards the last rung", "score * 0.3 if", "1.0 if", "the-last-rung-is-heeded"),
    Mutant(
        "tiered", "forgets health", "(base + 0.2 * c.quality) * c.health", "base + 0.2 * c.quality", "health-is-heeded"
    ),
    Mutant("tiered", "gives no reason", "score, reason))", 'score, ""))', "gives-reasons"),
    Mutant(
        "tiered",
        "answers with scores",
        "proposals.append(Proposal(c.key, ",
        "proposals.append((c.key, ",
        "answers-with-proposals",
    ),
    Mutant(
        "tiered",
        "speaks of the model in use",
        "        return proposals",
        '        return [*proposals, Proposal(request.current or "a", 0.5, "in use")]',
        "proposes-only-candidates",
    ),
    Mutant("cost-aware", "takes costs for gains", "health - c.spread", "health + c.spread", "scores-are-utilities"),
    Mutant("cost-aware", "forgets the cost", "2.0 - gain", "2.0 - reached * c.health", "cost-is-heeded"),
    Mutant("cost-aware", "forgets the target", "c.quality >= target", "True", "quality-is-heeded"),
    Mutant(
        "cost-aware",
        "turns the target round",
        "c.quality >= target",
        "c.quality <= target",
        "scores-are-utilities",
    ),
    Mutant("cost-aware", "forgets health", "reached * c.health", "reached", "health-is-heeded"),
    Mutant(
        "cost-aware",
        "takes costs as shares of the dearest",
        "price_of(c)) * price",
        "price_of(c)) / (max(price_of(o) for o in request.candidates) or 1.0)",
        "scores-are-absolute",
    ),
    Mutant("value", "takes costs for gains", "c.health - cost", "c.health + cost", "scores-are-utilities"),
    Mutant("value", "forgets the cost", "2.0 - gain", "2.0 - c.quality * c.health", "cost-is-heeded"),
    Mutant("value", "forgets health", "c.quality * c.health - cost", "c.quality - cost", "health-is-heeded"),
)


def verdict_on(mutant: Mutant) -> Verdict:
    """What the law meant for it says of a mutant."""
    return try_law(LAWS[mutant.law], mutant.make)


def main() -> None:
    """Print the table, all cores used."""
    print(f"{len(MUTANTS)} faults planted; the laws that find them, and what they say")
    with ProcessPoolExecutor() as pool:
        for mutant, verdict in zip(MUTANTS, pool.map(verdict_on, MUTANTS), strict=True):
            found = verdict.happened if verdict.outcome is Outcome.BROKEN else "NOT FOUND"
            print(f"{mutant.strategy:<10}  {mutant.fault:<40}  {mutant.law:<33}  {found}", flush=True)


if __name__ == "__main__":
    main()
