"""Greedy-fit: the best quality that fits with room to spare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from mai_core.policy.selection import Proposal, Rung, SelectionRequest

__all__ = ["GreedyFit"]

RUNG_FACTOR = {
    Rung.FULL: 1.0,
    Rung.SMALLER_CONTEXT: 0.97,
    Rung.QUANTISED_KV: 0.95,
    Rung.PARTIAL_OFFLOAD: 0.9,
    Rung.SLOW: 0.3,
}


@dataclass(frozen=True)
class GreedyFit:
    """Use the machine: of all models that fit, the one that answers best.

    Quality counts less for a model that had to come down to fit, that failed lately, or that writes more slowly
    than ``reading_speed`` tokens a second, about the pace at which people read.
    """

    name: ClassVar[str] = "greedy-fit"
    claims: ClassVar[frozenset[str]] = frozenset(
        {
            "health-is-heeded",
            "quality-is-heeded",
            "slowness-is-heeded",
            "the-last-rung-is-heeded",
            "the-currency-is-irrelevant",
            "the-size-of-a-byte-is-irrelevant",
        }
    )
    reading_speed: float = 5.0

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        """Quality, discounted for rung, health and unreadable slowness."""
        pace = self.reading_speed
        proposals = []
        for c in request.candidates:
            score = c.quality * RUNG_FACTOR[c.rung] * c.health
            reason = f"quality {c.quality:.2f}, {c.rung.value}"
            if c.tokens_per_second < pace:
                score *= (c.tokens_per_second / pace) ** 0.5
                reason += f", {c.tokens_per_second:.1f} tokens a second"
            proposals.append(Proposal(c.key, score, reason))
        return proposals
