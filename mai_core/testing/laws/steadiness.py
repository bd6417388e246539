"""Laws under the core, of many decisions: with this strategy nobody is moved back and forth, and nothing overflows."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume
from hypothesis import strategies as st

from mai_core.policy.models import LoadedModel, ModelProfile
from mai_core.policy.resources import PoolKind
from mai_core.policy.selection import Candidate, Rung
from mai_core.policy.situation import Situation
from mai_core.policy.stability import StabilityRules
from mai_core.testing.laws.asking import vote_of
from mai_core.testing.laws.course import GIB, Course, Turn, bound, follow, turns
from mai_core.testing.laws.decisions import choose, with_memory
from mai_core.testing.laws.law import Group, Make, expect, law
from mai_core.testing.situations import inventories, situations

__all__ = ["LAWS"]

RULES = StabilityRules()
MOST_TURNS = 24
DEAR = 0.25
courses = {"models": inventories(least=2, most=3, largest=12 * GIB), "course": turns(MOST_TURNS, models=3)}


def taken(make: Make, models: tuple[ModelProfile, ...], course: list[Turn]) -> Course:
    """The turns with one instance of the strategy, as in a conversation."""
    vote = vote_of(make())
    return follow(models, course, lambda turn: vote, RULES)


@law(Group.CORE, share=DEAR, **courses)
def nobody_waits_for_switches_too_often(make: Make, models: tuple[ModelProfile, ...], course: list[Turn]) -> None:
    """However memory comes and goes, the switches somebody waits for are bounded within any hour."""
    found = taken(make, models, course)
    most = bound(RULES)
    expect(found.most_in_an_hour <= most, f"{most} switches an hour at most", f"there are {found.most_in_an_hour}")
    between = [later - at for at, later in zip(found.up, found.up[1:], strict=False)]
    calm = RULES.up_after_seconds
    expect(
        all(gap >= calm for gap in between),
        f"a larger model once in {calm:.0f} s at most",
        f"{min(between, default=0.0):.0f} s after one came the next",
    )


@law(Group.CORE, share=DEAR, **courses)
def a_course_of_turns_never_overflows(make: Make, models: tuple[ModelProfile, ...], course: list[Turn]) -> None:
    """Turn by turn, while others take memory and models fail, what is loaded fits."""
    found = taken(make, models, course)
    expect(not found.overdrawn, "loads that fit", "; ".join(found.overdrawn[:1]))


@law(Group.CORE, share=DEAR, situation=situations(least=2), noise=st.lists(st.sampled_from([-0.01, 0.01]), max_size=3))
def noise_never_flips(make: Make, situation: Situation, noise: list[float]) -> None:
    """One per cent more or less main memory than when a model was taken up is no reason to leave it."""
    first = choose(make, situation)
    assume(first.choice is not None)
    settled = _resident(situation, first.candidate(first.choice))
    for share in noise:
        then = choose(make, with_memory(settled, share)).choice
        happened = f"with {share:+.0%} memory {then} is chosen"
        expect(then == first.choice, f"{first.choice}, which is in use, to stay", happened)


@law(Group.CORE, share=DEAR, situation=situations(least=2, roomy=True), calm=st.sampled_from([0.0, 10.0, 299.0]))
def nothing_larger_before_calm(make: Make, situation: Situation, calm: float) -> None:
    """Shortly after trouble no model is loaded that is larger than the one in use."""
    first = choose(make, situation)
    assume(len(first.candidates) >= 2)
    smallest = min(first.candidates, key=lambda c: c.footprint.total)
    small = _resident(situation, smallest)
    restless = choose(make, replace(small, snapshot=replace(small.snapshot, calm_seconds=calm)))
    chosen = restless.candidate(restless.choice)
    larger = chosen is not None and chosen.footprint.total > smallest.footprint.total
    mine = restless.candidate(smallest.key)
    assume(mine is not None)
    expect(
        not larger or chosen is None or chosen.key == smallest.key or chosen.is_loaded or chosen.is_remote,
        f"{smallest.key}, which is in use, to stay {calm:.0f} s after trouble",
        f"{restless.choice} is chosen, which is larger",
    )


@law(Group.CORE, share=DEAR, situation=situations(least=2, roomy=True))
def what_is_gone_is_left_at_once(make: Make, situation: Situation) -> None:
    """When the model in use can no longer run, another is chosen at once, calm or not."""
    first = choose(make, situation)
    assume(first.choice is not None and len(first.candidates) >= 2)
    gone = replace(
        situation,
        current=first.choice,
        models=tuple(m for m in situation.models if m.key != first.choice),
        snapshot=replace(situation.snapshot, calm_seconds=0.0),
    )
    then = choose(make, gone)
    expect(then.choice is not None, f"another model, {first.choice} being gone", "nothing is chosen")


def _resident(situation: Situation, candidate: Candidate | None) -> Situation:
    """The world after a model was taken up: it is loaded and its memory is taken."""
    assume(candidate is not None and candidate.rung is not Rung.SLOW)
    assert candidate is not None
    loaded = LoadedModel(
        instance="i", key=candidate.key, backend="engine", plan=candidate.plan, footprint=candidate.footprint
    )
    host = situation.snapshot.hosts[0]
    shared = sum(
        size
        for name, size in candidate.footprint.devices.items()
        if any(p.name == name and p.kind is PoolKind.UNIFIED for p in host.pools)
    )
    pools = []
    for pool in host.pools:
        size = candidate.footprint.devices.get(pool.name, 0)
        if pool.kind is PoolKind.RAM:
            size = candidate.footprint.anonymous + shared
        pools.append(replace(pool, available=max(0, pool.available - size)))
    changed = replace(situation.snapshot, hosts=(replace(host, pools=tuple(pools)),))
    return replace(situation, snapshot=changed, loaded=(loaded,), current=candidate.key)


LAWS = (
    nobody_waits_for_switches_too_often,
    a_course_of_turns_never_overflows,
    noise_never_flips,
    nothing_larger_before_calm,
    what_is_gone_is_left_at_once,
)
