"""Value: what an answer is worth, less what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from mai_core.policy.selection import Proposal, SelectionRequest

__all__ = ["Value"]


@dataclass(frozen=True)
class Value:
    """Pay for a better answer as long as it is worth it.

    A good answer is worth ``worth``, in the unit of the settings under ``cost``, which put waiting, electricity and
    prices into one figure. So a model is worth the chance that it answers well, less its cost as a share of that, a
    load being spread over the turns it lasts: a dearer one is taken when what it adds to the chance is worth more than
    what it adds to the cost, also where nobody is likely to succeed. Of all rules that see but quality and cost this
    spends least for the same share of good answers (the linear router of RouterBench, Hu et al. 2024). The default is
    worth three minutes at the usual value of time.
    """

    name: ClassVar[str] = "value"
    claims: ClassVar[frozenset[str]] = frozenset(
        {"cost-is-heeded", "health-is-heeded", "quality-is-heeded", "the-size-of-a-byte-is-irrelevant"}
    )
    sweep: ClassVar[Mapping[str, Sequence[float]]] = {"worth": tuple(10.0 ** (n / 8 - 5) for n in range(49))}
    worth: float = 0.05

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        """1 for a certain answer that costs nothing, a half where what it costs is what it is worth, falling to 0."""
        worth = self.worth
        proposals = []
        for c in request.candidates:
            cost = c.spread(c.cost) / worth
            gain = c.quality * c.health - cost
            reason = f"quality {c.quality:.2f} at {cost:.0%} of what an answer is worth"
            proposals.append(Proposal(c.key, 1.0 / (2.0 - gain), reason))
        return proposals
