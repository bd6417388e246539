"""Cost-aware: the cheapest model whose predicted quality reaches the target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from mai_core.policy.selection import Candidate, Proposal, SelectionRequest

__all__ = ["CostAware"]

Unit = Literal["cost", "waiting", "energy", "money"]


@dataclass(frozen=True)
class CostAware:
    """Good enough, then cheap.

    A model that reaches the ``target`` quality scores between 0.5 and 1, the cheaper the higher; one that does not
    stays below 0.5, the better the higher. ``unit`` says what counts: ``cost`` (money and waiting together, see the
    settings under ``cost``), ``waiting`` (seconds to the end of the reply), ``energy`` (joules) or ``money`` (tokens
    with a price, and electricity). ``typical`` is what an ordinary turn takes in that unit, 0 for the built-in
    figure; there the score is three quarters.
    """

    name: ClassVar[str] = "cost-aware"
    claims: ClassVar[frozenset[str]] = frozenset(
        {"cost-is-heeded", "health-is-heeded", "quality-is-heeded", "the-size-of-a-byte-is-irrelevant"}
    )
    unit: Unit = "cost"
    target: float = 0.5
    typical: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.target <= 1.0:
            raise ValueError(f"the target {self.target} is no probability")
        if self.typical < 0.0:
            raise ValueError(f"a turn cannot typically take {self.typical}")

    def _price(self) -> tuple[Callable[[Candidate], float], float, Callable[[Candidate], str]]:
        """How this unit is read off a candidate, what a turn usually takes, and how it is written."""
        if self.unit == "waiting":
            return (lambda c: c.wait_seconds), self.typical or 20.0, (lambda c: f"{c.wait_seconds:.1f} s")
        if self.unit == "energy":
            return (lambda c: c.energy_joules), self.typical or 500.0, (lambda c: f"{c.energy_joules:.0f} J")
        if self.unit == "money":
            return (lambda c: c.money), self.typical or 0.001, (lambda c: _amount(c.money))
        return (lambda c: c.cost), self.typical or 0.006, (lambda c: f"{_amount(c.money)} and {c.wait_seconds:.1f} s")

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        """Above 0.5 by cheapness when the target is reached, below by nearness to it."""
        price_of, typical, told = self._price()
        proposals = []
        for c in request.candidates:
            cost = price_of(c)
            if c.quality >= self.target:
                score = (0.5 + 0.5 / (1.0 + cost / typical)) * c.health
                reason = f"reaches {self.target:.2f}, costs {told(c)}"
            else:
                score = 0.5 * c.quality / self.target * c.health
                reason = f"quality {c.quality:.2f} is below the target {self.target:.2f}"
            proposals.append(Proposal(c.key, score, reason))
        return proposals


def _amount(money: float) -> str:
    """Four decimals tell apart what anybody would: a turn on this machine costs the electricity of a few seconds."""
    return f"{money:.4f}" if money == 0.0 or money >= 0.00005 else "under 0.0001"
