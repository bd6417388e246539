"""Cost-aware: as good as the target, and no dearer than that takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from mai_core.policy.selection import Candidate, Proposal, SelectionRequest

__all__ = ["CostAware"]

Unit = Literal["cost", "waiting", "energy", "money"]

WORTH = 10.0
"""Typical turns that may be spent on reaching a target of a half where nothing was reached before."""

LEAST = 0.01
"""Of targets below it the worth is not told apart."""


@dataclass(frozen=True)
class CostAware:
    """Good enough, then cheap.

    What counts of a model is how much of the ``target`` quality it reaches, and what it costs; to be better than the
    target counts for nothing. So of models that reach it the cheapest is taken, and one that falls short by a tenth
    of it only where that saves more than a tenth of what reaching it is worth: ``WORTH`` turns of typical cost for a
    target of a half, and else in proportion to the odds, so nine times that for who wants nine good answers in ten.

    ``unit`` says what is spent: ``cost`` (money and waiting together, see the settings under ``cost``), ``waiting``
    (seconds to the end of the reply), ``energy`` (joules) or ``money`` (tokens with a price, and electricity).
    ``typical`` is what an ordinary turn takes in that unit, 0 for the built-in figure.
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
        """1 for what reaches the target at no cost, a half where the cost is what that is worth, falling to 0."""
        price_of, typical, told = self._price()
        target = self.target
        price = (1.0 - target) / max(LEAST, target) / (WORTH * typical)
        proposals = []
        for c in request.candidates:
            if c.quality >= target:
                reached, reason = 1.0, f"reaches {target:.2f}, costs {told(c)}"
            else:
                reached = c.quality / target
                reason = f"quality {c.quality:.2f} is below the target {target:.2f}, costs {told(c)}"
            gain = reached * c.health - c.spread(price_of(c)) * price
            proposals.append(Proposal(c.key, 1.0 / (2.0 - gain), reason))
        return proposals


def _amount(money: float) -> str:
    """Four decimals tell apart what anybody would: a turn on this machine costs the electricity of a few seconds."""
    return f"{money:.4f}" if money == 0.0 or money >= 0.00005 else "under 0.0001"
