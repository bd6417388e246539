"""Tiered: the difficulty and kind of the task name a tier; the best model of that tier serves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from mai_core.policy.features import TaskFeatures, TaskKind
from mai_core.policy.models import Tier
from mai_core.policy.selection import Proposal, Rung, SelectionRequest

__all__ = ["Tiered"]

DEMANDING = frozenset({TaskKind.CODE, TaskKind.MATH, TaskKind.REASONING, TaskKind.TOOL_USE})
STEP_UP = 0.15
STEP_DOWN = 0.20


@dataclass(frozen=True)
class Tiered:
    """Neither a cannon for a sparrow nor a sparrow for a cannon.

    Tasks up to difficulty ``small`` go to the tiny tier, up to ``medium`` to the small one, up to ``large`` to the
    medium one, the rest to the large one; code, mathematics, reasoning and tool use count as ``demanding`` harder.
    When the tier is empty its neighbours follow, the larger first.
    """

    name: ClassVar[str] = "tiered"
    claims: ClassVar[frozenset[str]] = frozenset(
        {
            "harder-tasks-get-larger-models",
            "health-is-heeded",
            "quality-is-heeded",
            "the-last-rung-is-heeded",
            "the-currency-is-irrelevant",
            "the-size-of-a-byte-is-irrelevant",
        }
    )
    small: float = 0.20
    medium: float = 0.50
    large: float = 0.75
    demanding: float = 0.10

    def tier_for(self, features: TaskFeatures) -> Tier:
        """The tier this turn asks for."""
        difficulty = features.difficulty + (self.demanding if features.kind in DEMANDING else 0.0)
        if difficulty < self.small:
            return Tier.TINY
        if difficulty < self.medium:
            return Tier.SMALL
        return Tier.MEDIUM if difficulty < self.large else Tier.LARGE

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        """0.8 in the tier, less with every tier away from it, and up to 0.2 for quality within it."""
        wanted = self.tier_for(request.features)
        by_tier = {}
        for tier in Tier:
            away = tier.rank - wanted.rank
            base = 0.8 - (STEP_UP * away if away >= 0 else -STEP_DOWN * away)
            place = "the tier" if away == 0 else f"{abs(away)} {'above' if away > 0 else 'below'}"
            by_tier[tier] = (base, f"{tier.value}, {place} ({wanted.value}) this task asks for")
        proposals = []
        for c in request.candidates:
            base, reason = by_tier[c.tier]
            score = (base + 0.2 * c.quality) * c.health
            proposals.append(Proposal(c.key, score * 0.3 if c.rung is Rung.SLOW else score, reason))
        return proposals
