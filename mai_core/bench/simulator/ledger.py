"""What a run costs and what its answers are worth, entered into its tally as it happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mai_core.bench.simulator.oracle import Prices
from mai_core.bench.simulator.people import Answer
from mai_core.bench.simulator.tally import PARTS, Tally

__all__ = ["Ledger"]


@dataclass(slots=True, eq=False)
class Ledger:
    """The accounts of a run. ``power`` is watts drawn while a model works, ``ceilings`` the clairvoyant's turns."""

    prices: Prices
    power: float
    ceilings: Sequence[float]
    tally: Tally = field(default_factory=Tally)

    def worked(self, seconds: float) -> float:
        """Pay for so many seconds' work: joules."""
        joules = self.power * seconds
        self.tally.joules += joules
        self.tally.money += self.prices.of_work(joules)
        return joules

    def answered(self, answer: Answer, chance: float, good: bool, now: float) -> tuple[float, float]:
        """Enter an answer that ends now, good with that probability: its utility, and its reward.

        The reward is what it was worth to who asked, as a share from 0 to 1 of what a good one is worth at no cost.
        """
        tally, waited, number = self.tally, now - answer.asked_at, answer.number
        tally.turns += 1
        tally.quality += chance
        tally.good += good
        tally.first.add(answer.first - answer.asked_at)
        tally.end.add(waited)
        key = answer.resident.key
        tally.served[key] = tally.served.get(key, 0) + 1
        cost = self._cost(waited, answer.joules)
        reward = min(1.0, max(0.0, float(good) - cost / self.prices.answer))
        tally.rewards[self._part(number)] += reward
        return self._entered(number, self.prices.answer * chance, cost), reward

    def lost(self, number: int, waited: float) -> None:
        """Enter a turn that nothing could answer, after so many seconds."""
        self.tally.turns += 1
        self.tally.lost += 1
        self._entered(number, 0.0, self._cost(waited, 0.0))

    def _entered(self, number: int, gained: float, cost: float) -> float:
        tally, ceiling, utility = self.tally, self.ceilings[number], gained - cost
        tally.cost += cost
        tally.utility += utility
        tally.ceiling += ceiling
        tally.regret[self._part(number)] += ceiling - utility
        return utility

    def _cost(self, waited: float, joules: float) -> float:
        return waited / 3600.0 * self.prices.hour + self.prices.of_work(joules)

    def _part(self, number: int) -> int:
        return number * PARTS // len(self.ceilings)
