"""EXP4: which strategy is followed, learnt from nothing but what became of the turns it was followed in.

Each strategy is an expert whose advice is its favourite. One is drawn by the weights and followed for a block of
turns, since a change of model makes somebody wait. Only the outcome of what was followed is ever known, so it is
divided by the probability of having been tried, and goes to all who advised the same: in expectation everyone's loss
is estimated rightly. Weights fall exponentially with these losses (EXP4: Auer, Cesa-Bianchi, Freund and Schapire, "The
nonstochastic multiarmed bandit problem", SIAM J. Comput. 32(1), 2002, section 7), and after every block all share a
little of the whole in equal parts (EXP3.S there, section 8; Herbster and Warmuth, "Tracking the best expert", Machine
Learning 32, 1998). That share is at once the floor of exploration and the forgetting: nobody's probability falls below
``share / experts``, so whoever becomes the best is found again.

Nothing is assumed of how outcomes come about, but that what a favourite would have been worth does not depend on what
was drawn before. How little is then lost against the best sequence of experts says ``regret_bound``.

Pure: chances are passed in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mai_core.policy.selection import Ballot

__all__ = ["Experts", "LearningRules", "regret_bound", "rules_for"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningRules:
    """How fast experts earn and lose.

    The defaults are what ``rules_for`` says of three experts, 2,000 turns and four changes of who is best.

    rate    of the logarithm of a weight, for a loss of one in every turn of a block
    share   of all weight that is dealt out equally after a block
    block   turns for which one expert is followed
    """

    rate: float = 0.26
    share: float = 0.016
    block: int = 8

    def __post_init__(self) -> None:
        if not (self.rate > 0.0 and 0.0 < self.share < 1.0 and self.block >= 1):
            raise ValueError(f"no rules to learn by: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """What was learnt of strategies so far.

    weights   probabilities by name, at the beginning of this block; they sum to 1
    losses    estimated in this block, summed over its turns
    turns     heard of in this block
    chance    in [0, 1), decides who is followed in this block
    rules     how they earn and lose
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    losses: Mapping[str, float] = field(default_factory=dict)
    turns: int = 0
    chance: float = 0.5
    rules: LearningRules = field(default_factory=LearningRules)

    @property
    def left(self) -> int:
        """Turns of this block that are still to come."""
        return max(1, self.rules.block - self.turns)

    def shares(self, names: Sequence[str]) -> dict[str, float]:
        """The probability of being followed, of those who advise now; of a new one that of an average expert."""
        if not names:
            return {}
        known = [self.weights[name] for name in names if name in self.weights]
        average = sum(known) / len(known) if known else 1.0
        found = {name: self.weights.get(name, average) for name in names}
        total = sum(found.values())
        return {name: weight / total for name, weight in found.items()}

    def weighed(self, ballots: Sequence[Ballot]) -> tuple[Ballot, ...]:
        """The ballots with everyone's ``share``, and all the weight on the one that is followed.

        Who abstains or lost its vote has no share this turn: the others divide it, and the same chance decides.
        """
        shares = self.shares([ballot.strategy for ballot in ballots if ballot.proposals])
        followed = _at(self.chance, shares)
        return tuple(
            [replace(b, weight=float(b.strategy == followed), share=shares.get(b.strategy, 0.0)) for b in ballots]
        )

    def after(self, ballots: Sequence[Ballot], loss: float, *, chance: float) -> Experts:
        """What is known once a turn has ended: its ballots as they were ``weighed``, and the loss in [0, 1].

        Where that ends the block, weights change and ``chance`` decides whom to follow next.
        """
        if not 0.0 <= loss <= 1.0:
            raise ValueError(f"a loss of {loss} is outside [0, 1]")
        heard = self.revised(ballots, loss)
        if heard is self:
            return self
        if heard.turns + 1 < self.rules.block:
            return replace(heard, turns=heard.turns + 1)
        return Experts(weights=_reweighed(heard), chance=chance, rules=self.rules)

    def revised(self, ballots: Sequence[Ballot], change: float) -> Experts:
        """A turn heard of before turned out to cost so much more, or less: what a person says of it comes late.

        It counts in the block in which it is heard.
        """
        estimated = _estimates(ballots, change)
        if not estimated:
            return self
        names = dict.fromkeys((*self.weights, *(b.strategy for b in ballots if b.share > 0.0)))
        losses = {name: self.losses.get(name, 0.0) + estimated.get(name, 0.0) for name in names}
        return replace(self, weights=self.shares(tuple(names)), losses=losses)


def _at(chance: float, shares: Mapping[str, float]) -> str | None:
    """Whose part of [0, 1) the chance falls into; parts stand in the order of names, so that no other order matters."""
    reached, last = 0.0, None
    for last in sorted(shares):
        reached += shares[last]
        if chance < reached:
            break
    return last


def _estimates(ballots: Iterable[Ballot], loss: float) -> dict[str, float]:
    """The loss of everybody who advised what was followed, by how probable it was to be followed; of others none."""
    voting = [ballot for ballot in ballots if ballot.proposals and ballot.share > 0.0]
    followed = next((ballot.proposals[0].key for ballot in voting if ballot.weight > 0.0), None)
    if followed is None:
        return {}
    agreeing = {b.strategy: b.share for b in voting if b.proposals[0].key == followed}
    tried = sum(agreeing.values())
    return dict.fromkeys(agreeing, loss / tried)


def _reweighed(heard: Experts) -> dict[str, float]:
    """Weights after a block, in logarithms until they are compared: nothing under- or overflows."""
    rules = heard.rules
    raised = {
        name: math.log(weight) - rules.rate * heard.losses.get(name, 0.0) / rules.block
        for name, weight in heard.weights.items()
    }
    top = max(raised.values())
    scaled = {name: math.exp(value - top) for name, value in raised.items()}
    total, floor = sum(scaled.values()), rules.share / len(scaled)
    return {name: (1.0 - rules.share) * value / total + floor for name, value in scaled.items()}


def regret_bound(
    turns: int, experts: int, models: int, *, switches: int = 0, rules: LearningRules | None = None
) -> float:
    """By how much the expected loss of ``turns`` turns can exceed that of the best sequence of experts with so many
    switches, under these very rules. Each turn loses 0 to 1, so more than ``turns`` says nothing.

    With N experts, R = ceil(turns / B) blocks of B turns, S switches, rate r, share a, and M = min(N, models) different
    favourites at most:

        B (ln N + S ln(N / a) + (R - 1 - S) ln(1 / (1 - a))) / r  +  r M B R / 2  +  B S

    Let Z be the sum of weights after a block before they are shared. As e^-x <= 1 - x + x^2 / 2 for x >= 0, -ln Z is at
    least r times what was lost by the weights less r^2 / 2 times its second moment, whose expectation is at most M:
    the estimates of those who agree are one over what their weights sum to. Along any sequence of experts a weight is
    at least (1 - a) of what it was before sharing, and a / N where the sequence switches, so that the sum of -ln Z is
    at most r times the sequence's loss and the first term. This is the proof of theorem 7.1 (EXP4) and, with switches,
    8.1 (EXP3.S) of Auer et al. 2002, written for losses and without further exploration as in theorem 4.2 of Bubeck and
    Cesa-Bianchi 2012. A block is one round whose loss is the mean of its turns: blocks multiply the regret of the best
    rules by sqrt(B) and divide changes of expert by B. A sequence may switch within a block, which costs B at most.
    """
    rules = rules or LearningRules()
    blocks = math.ceil(turns / rules.block)
    stays = max(0, blocks - 1 - switches)
    code = math.log(experts) + switches * math.log(experts / rules.share) - stays * math.log1p(-rules.share)
    spread = 0.5 * rules.rate * min(experts, models) * blocks
    return rules.block * (code / rules.rate + spread + switches)


def rules_for(turns: int, experts: int, models: int, *, switches: int = 0, block: int = 8) -> LearningRules:
    """The rules under which ``regret_bound`` is about least for so many turns and changes of who is best."""
    blocks = math.ceil(turns / block)
    share = min(0.5, max(1, switches) / blocks)
    stays = max(0, blocks - 1 - switches)
    code = math.log(experts) + switches * math.log(experts / share) - stays * math.log1p(-share)
    return LearningRules(rate=math.sqrt(2.0 * code / (min(experts, models) * blocks)), share=share, block=block)
