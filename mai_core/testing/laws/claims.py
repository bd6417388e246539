"""Laws a strategy may claim: what it says of itself, held against it.

Not every strategy has to heed health or be indifferent to the currency; one whose ``claims`` name these laws has to.
Without them a strategy that forgets half of what it promises would still be lawful.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from mai_core.policy.features import TaskFeatures
from mai_core.policy.kinds import TaskKind
from mai_core.policy.models import Footprint, Tier
from mai_core.policy.selection import Candidate, Rung, SelectionRequest
from mai_core.testing.laws.asking import NEAR, close, pick, scores
from mai_core.testing.laws.law import Group, Make, expect, law
from mai_core.testing.worlds import candidates, cheaper, features, quicker, requests

__all__ = ["LAWS"]

times = st.sampled_from([0.01, 0.5, 2.0, 1000.0])


def prefers(make: Make, turn: TaskFeatures, better: Candidate, worse: Candidate, how: str) -> None:
    """The law itself: of two models that differ in one thing, the better one scores higher."""
    pair = (replace(better, key="a"), replace(worse, key="b"))
    found = scores(make, SelectionRequest(features=turn, candidates=pair))
    happened = f"they score {found['a']:.4g} and {found['b']:.4g}"
    expect(found["a"] > found["b"] + NEAR, f"a to score higher than b, {how}", happened)


def sound(c: Candidate) -> Candidate:
    """The same model, able and reliable, fitting as it should: then only what a law changes can count."""
    return replace(c, health=1.0, rung=Rung.FULL, quality=1.0)


@law(Group.CLAIMS, turn=features(), c=candidates(key="a"))
def health_is_heeded(make: Make, turn: TaskFeatures, c: Candidate) -> None:
    """Of two equal models the one that keeps failing scores less."""
    prefers(make, turn, sound(c), replace(sound(c), health=0.2), "which has a health of 0.2 and is its equal else")


@law(Group.CLAIMS, turn=features(), c=candidates(key="a"))
def quality_is_heeded(make: Make, turn: TaskFeatures, c: Candidate) -> None:
    """Of two equal models the one that answers well nine times in ten scores more than one that does so once."""
    able, poor = replace(sound(c), quality=0.9), replace(sound(c), quality=0.1)
    prefers(make, turn, able, poor, "which answers well once in ten and is its equal else")


@law(Group.CLAIMS, turn=features(), c=candidates(key="a"))
def cost_is_heeded(make: Make, turn: TaskFeatures, c: Candidate) -> None:
    """Of two equally able models the one that costs a hundredth scores more."""
    dear = replace(sound(c), energy_joules=1000.0, money=0.01, cost=0.01, wait_seconds=60.0)
    prefers(make, turn, quicker(cheaper(dear, 0.01), 0.01), dear, "which costs a hundred times as much")


@law(Group.CLAIMS, turn=features(), c=candidates(key="a"))
def slowness_is_heeded(make: Make, turn: TaskFeatures, c: Candidate) -> None:
    """Of two equal models the one that writes half a token a second scores less."""
    slow = replace(sound(c), tokens_per_second=0.5, wait_seconds=600.0, cost=1.0)
    prefers(make, turn, quicker(slow, 0.01), slow, "which is its equal, but takes a hundred times as long")


@law(Group.CLAIMS, turn=features(), c=candidates(key="a"))
def the_last_rung_is_heeded(make: Make, turn: TaskFeatures, c: Candidate) -> None:
    """Of two equal models the one whose weights are read from disk again and again scores less."""
    prefers(make, turn, sound(c), replace(sound(c), rung=Rung.SLOW), "which is its equal, but on the rung slow")


@law(Group.CLAIMS, kind=st.sampled_from(TaskKind), c=candidates(key="a"), easier=st.integers(0, 10))
def harder_tasks_get_larger_models(make: Make, kind: TaskKind, c: Candidate, easier: int) -> None:
    """Of equally able models of all tiers, an easy task gets a smaller one, and a harder one never a smaller."""
    every = tuple(replace(sound(c), key=tier.value, tier=tier) for tier in Tier)

    def chosen(difficulty: float) -> Tier:
        request = SelectionRequest(features=TaskFeatures(kind=kind, difficulty=difficulty), candidates=every)
        return Tier(pick(scores(make, request), every) or Tier.TINY)

    low, middle, high = chosen(0.0), chosen(easier / 10), chosen(1.0)
    happened = f"difficulty 0, {easier / 10:.1f} and 1 get {low.value}, {middle.value} and {high.value}"
    expect(low.rank <= middle.rank <= high.rank and low.rank < high.rank, "larger models for harder tasks", happened)


@law(Group.CLAIMS, request=requests(least=1), factor=times)
def the_currency_is_irrelevant(make: Make, request: SelectionRequest, factor: float) -> None:
    """All prices in another currency change no score."""
    priced = [replace(c, money=c.money * factor, cost=c.cost * factor) for c in request.candidates]
    _unmoved(make, request, replace(request, candidates=tuple(priced)), f"with all prices times {factor:g}")


@law(Group.CLAIMS, request=requests(least=1), factor=st.sampled_from([2, 1000]))
def the_size_of_a_byte_is_irrelevant(make: Make, request: SelectionRequest, factor: int) -> None:
    """All footprints in another unit change no score: what is tight is told by what is left."""
    scaled = [replace(c, footprint=_times(c.footprint, factor)) for c in request.candidates]
    _unmoved(make, request, replace(request, candidates=tuple(scaled)), f"with all footprints times {factor}")


def _unmoved(make: Make, request: SelectionRequest, other: SelectionRequest, how: str) -> None:
    after = scores(make, other)
    for key, score in scores(make, request).items():
        expect(close(score, after[key]), f"{key} at {score:.4g} {how}", f"it scores {after[key]:.4g}")


def _times(footprint: Footprint, factor: int) -> Footprint:
    devices = {name: size * factor for name, size in footprint.devices.items()}
    return Footprint(footprint.anonymous * factor, footprint.file_backed * factor, devices)


LAWS = (
    health_is_heeded,
    quality_is_heeded,
    cost_is_heeded,
    slowness_is_heeded,
    the_last_rung_is_heeded,
    harder_tasks_get_larger_models,
    the_currency_is_irrelevant,
    the_size_of_a_byte_is_irrelevant,
)
