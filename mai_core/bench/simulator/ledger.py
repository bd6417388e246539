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

    def answered(self, answer: Answer, chance: float, good: bool, now: float) -> float:
        """Enter an answer that ends now, right with that probability; its utility."""
        tally, waited = self.tally, now - answer.asked_at
        tally.turns += 1
        tally.quality += chance
        tally.good += good
        tally.first.add(answer.first - answer.asked_at)
        tally.end.add(waited)
        key = answer.resident.key
        tally.served[key] = tally.served.get(key, 0) + 1
        return self._entered(answer.number, self.prices.answer * chance, waited, answer.joules)

    def reward(self, answer: Answer, good: bool, now: float) -> float:
        """What an answer that ends now was worth to who asked, as a share of what one is worth at no cost."""
        cost = self._cost(now - answer.asked_at, answer.joules)
        return min(1.0, max(0.0, float(good) - cost / self.prices.answer))

    def lost(self, number: int, waited: float) -> None:
        """Enter a turn that nothing could answer, after so many seconds."""
        self.tally.turns += 1
        self.tally.lost += 1
        self._entered(number, 0.0, waited, 0.0)

    def _entered(self, number: int, gained: float, waited: float, joules: float) -> float:
        tally, ceiling = self.tally, self.ceilings[number]
        cost = self._cost(waited, joules)
        utility = gained - cost
        tally.cost += cost
        tally.utility += utility
        tally.ceiling += ceiling
        tally.regret[number * PARTS // len(self.ceilings)] += ceiling - utility
        return utility

    def _cost(self, waited: float, joules: float) -> float:
        return waited / 3600.0 * self.prices.hour + self.prices.of_work(joules)
