"""Cost-aware: the cheapest model whose predicted quality reaches the target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from mai_core.policy.selection import Candidate, Proposal, SelectionRequest

__all__ = ["CostAware"]

Unit = Literal["waiting", "energy", "money"]


@dataclass(frozen=True)
class CostAware:
    """Good enough, then cheap.

    A model that reaches the ``target`` quality scores between 0.5 and 1, the cheaper the higher; one that does not
    stays below 0.5, the better the higher. ``cost`` names the unit: ``waiting`` (seconds to the end of the reply),
    ``energy`` (joules) or ``money`` (tokens of remote models and electricity). ``typical`` is what an
    ordinary turn costs in that unit, 0 for the built-in figure; there the score is three quarters.
    """

    name: ClassVar[str] = "cost-aware"
    cost: Unit = "waiting"
    target: float = 0.5
    typical: float = 0.0

    def _price(self) -> tuple[Callable[[Candidate], float], float, str]:
        """How this unit is read off a candidate, what a turn usually costs, and how it is written."""
        if self.cost == "energy":
            return (lambda c: c.energy_joules), self.typical or 500.0, "{:.0f} J"
        if self.cost == "money":
            return (lambda c: c.money), self.typical or 0.001, "{:.5f}"
        return (lambda c: c.wait_seconds), self.typical or 20.0, "{:.1f} s"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        """Above 0.5 by cheapness when the target is reached, below by nearness to it."""
        price_of, typical, form = self._price()
        proposals = []
        for c in request.candidates:
            cost = price_of(c)
            if c.quality >= self.target:
                score = (0.5 + 0.5 / (1.0 + cost / typical)) * c.health
                reason = f"reaches {self.target:.2f}, costs {form.format(cost)}"
            else:
                score = 0.5 * c.quality / self.target * c.health
                reason = f"quality {c.quality:.2f} is below the target {self.target:.2f}"
            proposals.append(Proposal(c.key, score, reason))
        return proposals
