"""Arbiters that learn from outcomes: the seam through which they compete, and a plain one to hold others against.

A learner says how much each ballot counts this turn (equal shares, or everything for one that was drawn), and hears
what became of the turn. Everything else stays as it is: the core makes an order of the weighted ballots, and settles.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

from mai_core.policy.experts import Experts
from mai_core.policy.selection import Ballot, SelectionRequest

__all__ = ["LEARNERS", "Exp4", "Follower", "Learner"]


class Learner(Protocol):
    """One for each run. What it draws comes from a seed of its own, so that the same run comes out the same."""

    def weighed(self, request: SelectionRequest, ballots: Sequence[Ballot]) -> Sequence[Ballot]:
        """The ballots with the weight each has this turn. Asked once more than a turn is, for what is prepared."""

    def learn(self, ballots: Sequence[Ballot], served: str, reward: float) -> None:
        """A turn has ended: the ballots as they were ``weighed``, the model that answered, and 0 to 1 for how well.

        The reward is 1 for a good answer at no cost, 0 for a bad or a missing one; what waiting and electricity cost
        counts against it. Turns of several people may end in another order than they began.
        """


@dataclass(slots=True, eq=False)
class Follower:
    """Follow whoever did best lately; now and then follow somebody else, to see.

    A strategy is credited with every turn that its favourite answered. ``keeps`` is what a turn later is left of what
    was seen, so that a change is noticed within some 1 / (1 - keeps) turns; one turn in ``explores`` is a trial.
    """

    seed: int
    keeps: float = 0.98
    explores: int = 20
    _seen: dict[str, tuple[float, float]] = field(default_factory=dict)
    _draw: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)

    def weighed(self, request: SelectionRequest, ballots: Sequence[Ballot]) -> Sequence[Ballot]:
        """All for one."""
        voting = [ballot.strategy for ballot in ballots if ballot.proposals]
        if len(voting) < 2:
            return ballots
        trial = self._draw.random() * self.explores < 1.0
        leader = self._draw.choice(voting) if trial else max(voting, key=self._mean)
        return tuple([replace(ballot, weight=float(ballot.strategy == leader)) for ballot in ballots])

    def learn(self, ballots: Sequence[Ballot], served: str, reward: float) -> None:
        """Credit those who wanted the model that answered."""
        for name, (total, count) in self._seen.items():
            self._seen[name] = (total * self.keeps, count * self.keeps)
        for ballot in ballots:
            if ballot.proposals and ballot.proposals[0].key == served:
                total, count = self._seen.get(ballot.strategy, (0.0, 0.0))
                self._seen[ballot.strategy] = (total + reward, count + 1.0)

    def _mean(self, name: str) -> float:
        """What it earned a turn; who was never tried is thought well of."""
        total, count = self._seen.get(name, (0.0, 0.0))
        return (total + 1.0) / (count + 1.0)


@dataclass(slots=True, eq=False)
class Exp4:
    """The arbiter of that name, as a person's own turns are decided by it."""

    seed: int
    experts: Experts = field(init=False)
    _draw: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)
        self.experts = Experts(chance=self._draw.random())

    def weighed(self, request: SelectionRequest, ballots: Sequence[Ballot]) -> Sequence[Ballot]:
        """All for the one that is followed in this block."""
        return self.experts.weighed(ballots)

    def learn(self, ballots: Sequence[Ballot], served: str, reward: float) -> None:
        """What the one that was followed came to."""
        self.experts = self.experts.after(ballots, 1.0 - reward, chance=self._draw.random())


LEARNERS: Mapping[str, Callable[[int], Learner]] = MappingProxyType({"exp4": Exp4, "follower": Follower})
"""By the name of the contestant, made from a seed."""
