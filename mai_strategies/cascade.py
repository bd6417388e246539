"""Cascade: a cheap model begins, and a better one answers where the first is not sure of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from mai_core.policy.selection import Candidate, Proposal, Rung, SelectionRequest

__all__ = ["Cascade"]


@dataclass(frozen=True)
class Cascade:
    """Ask the cheap one first; when it doubts itself, the dear one answers, and both are paid.

    A model scores as the first of two: its good answers that are not doubted, and the second model's in place of those
    that are, over what both cost in money and waiting: its own, and the second's as often as it is doubted. What the
    second one is like is an assumption, since no score may depend on which others there are; who it really is, the core
    decides when it comes to that.

    How well doubt tells bad answers from good ones depends on the model. Of twenty short questions one of half a
    billion parameters answered eight badly, and below -0.4 doubted three of those and two of the others, which the
    defaults follow; one of 135 million doubted its bad answers no more than its good ones, and gains nothing by this.

    sure           mean log-probability of a reply's first tokens below which it is doubted
    notices        share of bad answers that are doubted, and ``false_alarms`` that of good ones
    second         probability that the second model answers well what the first one doubts
    second_cost    what that takes, money and waiting together, in the currency of the settings under ``cost``
    value          what a good answer is worth in that currency
    """

    name: ClassVar[str] = "cascade"
    sure: float = -0.4
    notices: float = 0.35
    false_alarms: float = 0.15
    second: float = 0.6
    second_cost: float = 0.012
    value: float = 0.055

    def __post_init__(self) -> None:
        if not (0.0 <= self.false_alarms <= self.notices <= 1.0 and 0.0 <= self.second <= 1.0):
            raise ValueError("doubts are probabilities, and good answers are doubted no more often than bad ones")
        if self.sure > 0.0 or self.second_cost < 0.0 or self.value <= 0.0:
            raise ValueError("a log-probability is 0 or less, a cost 0 or more, and an answer worth something")

    def expected(self, candidate: Candidate) -> tuple[float, float, float]:
        """How often the candidate is doubted, how likely the answer is good in the end, and what it costs in all."""
        quality = candidate.quality
        doubted = (1.0 - quality) * self.notices + quality * self.false_alarms
        good = quality * (1.0 - self.false_alarms) + doubted * self.second
        return doubted, good, candidate.spread(candidate.cost) + doubted * self.second_cost

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        """Good answers expected, discounted by their price, health and the last rung."""
        proposals = []
        for c in request.candidates:
            doubted, good, cost = self.expected(c)
            score = good * self.value / (self.value + cost) * c.health
            if c.rung is Rung.SLOW:
                score *= 0.3
            reason = f"good at {good:.2f} with a second opinion in {doubted:.0%} of turns"
            proposals.append(Proposal(c.key, score, reason, self.sure))
        return proposals
