"""Laws under the core, of one decision: what is chosen with this strategy alone having a vote, from a cold start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from hypothesis import assume
from hypothesis import strategies as st

from mai_core.plugin.interfaces import SelectionStrategy
from mai_core.policy.decision import decide
from mai_core.policy.feasibility import feasible
from mai_core.policy.models import ModelProfile
from mai_core.policy.resources import Host, MemoryPool, PoolKind
from mai_core.policy.selection import Candidate, Decision, Move, Proposal, Rung, SelectionRequest
from mai_core.policy.situation import Situation
from mai_core.testing.laws.asking import NEAR, vote_of
from mai_core.testing.laws.law import Group, Make, expect, law
from mai_core.testing.situations import situations

__all__ = ["LAWS", "choose", "with_memory"]

GIB = 2**30
DEAR = 0.5
arbiters = st.sampled_from(["vote", "first"])


def choose(make: Make, situation: Situation, arbiter: str = "vote") -> Decision:
    """The decision when this strategy alone votes."""
    return decide(situation, vote_of(make()), arbiter=arbiter)


def with_memory(situation: Situation, share: float) -> Situation:
    """The same machine with that share more, or less, of every pool free."""

    def pool(old: MemoryPool) -> MemoryPool:
        return replace(old, available=max(0, min(old.total, int(old.available * (1.0 + share)))))

    def host(old: Host) -> Host:
        return replace(old, pools=tuple(pool(p) for p in old.pools))

    hosts = tuple(host(h) for h in situation.snapshot.hosts)
    return replace(situation, snapshot=replace(situation.snapshot, hosts=hosts))


@law(Group.CORE, share=DEAR, situation=situations(faulty=True), arbiter=arbiters)
def only_what_can_answer_is_chosen(make: Make, situation: Situation, arbiter: str) -> None:
    """No model is chosen that is broken, not on the disk, kept out after failures, or lacks what the turn needs."""
    decision = choose(make, situation, arbiter)
    chosen = next((m for m in situation.models if m.key == decision.choice), None)
    expect(decision.choice is None or chosen is not None, "a model that is offered", f"{decision.choice} was chosen")
    if chosen is not None:
        expect(not _unable(chosen, situation), "one that can answer", f"{chosen.key}: {_unable(chosen, situation)}")


@law(Group.CORE, share=DEAR, situation=situations(), arbiter=arbiters)
def nothing_is_chosen_that_does_not_fit(make: Make, situation: Situation, arbiter: str) -> None:
    """What the chosen plan takes is free in every pool it takes it from: no decision runs out of memory."""
    decision = choose(make, situation, arbiter)
    chosen = decision.candidate(decision.choice)
    if chosen is None:
        return
    shared = 0
    for pool in situation.snapshot.hosts[0].pools:
        if pool.kind is PoolKind.RAM:
            continue
        taken = chosen.footprint.devices.get(pool.name, 0)
        shared += taken if pool.kind is PoolKind.UNIFIED else 0
        _fits(chosen, taken, pool)
    # On the last rung the weights stay on disk and are read from there again and again.
    slow = chosen.rung is Rung.SLOW
    _fits(
        chosen,
        shared + (chosen.footprint.anonymous if slow else chosen.footprint.ram),
        situation.snapshot.hosts[0].pools[0],
    )
    others = [c.key for c in decision.candidates if c is not chosen]
    expect(not (slow and others), "the last rung when nothing else fits", f"{', '.join(others)} would fit")


def _fits(chosen: Candidate, taken: int, pool: MemoryPool) -> None:
    room = f"at most {pool.available / GIB:.2f} GiB of {pool.name}"
    expect(taken <= pool.available, room, f"{chosen.key} takes {taken / GIB:.2f} GiB of it")


@law(Group.CORE, share=DEAR, situation=situations(least=1), arbiter=arbiters)
def somebody_answers(make: Make, situation: Situation, arbiter: str) -> None:
    """Whenever a model can run, one is chosen, whatever the strategy leaves out."""
    can = [c.key for c in feasible(situation).candidates]
    assume(can)
    decision = choose(make, situation, arbiter)
    expect(decision.choice in can, f"one of {', '.join(can)}", f"the choice is {decision.choice}")


@law(Group.CORE, share=DEAR, situation=situations(least=1, roomy=True), arbiter=arbiters, which=st.integers(0, 2))
def a_pin_is_obeyed(make: Make, situation: Situation, arbiter: str, which: int) -> None:
    """The model a person pinned is chosen whenever it can run, whatever the strategy thinks of it."""
    pinned = situation.models[which % len(situation.models)].key
    decision = choose(make, replace(situation, pinned=pinned), arbiter)
    if decision.candidate(pinned) is not None:
        expect(decision.choice == pinned, f"{pinned}, which is pinned", f"the choice is {decision.choice}")
        expect(decision.move is Move.PIN, "the reason to be the pin", f"it is: {decision.reason}")


@law(Group.CORE, share=DEAR, situation=situations(least=1), arbiter=arbiters)
def decisions_explain_themselves(make: Make, situation: Situation, arbiter: str) -> None:
    """There is one line of reason; the ranking begins with the choice, falls from there, and names each once."""
    decision = choose(make, situation, arbiter)
    expect(len(decision.reason.strip().splitlines()) == 1, "one line of reason", f"it is {decision.reason!r}")
    keys = [ranked.key for ranked in decision.ranking]
    told = ", ".join(keys)
    expect(len(set(keys)) == len(keys), "every candidate once", f"the ranking is {told}")
    expect(next(iter(keys), None) == decision.choice, f"a ranking led by {decision.choice}", f"it is {told}")
    utilities = [ranked.utility for ranked in decision.ranking]
    expect(utilities == sorted(utilities, reverse=True), "a ranking that falls", f"its utilities are {utilities}")


@law(Group.CORE, share=DEAR, situation=situations(least=2), arbiter=arbiters)
def decisions_do_not_hang_on_the_order(make: Make, situation: Situation, arbiter: str) -> None:
    """The same situation is decided the same, in whatever order backends list their models."""
    backwards = replace(situation, models=situation.models[::-1])
    one, other = choose(make, situation, arbiter), choose(make, backwards, arbiter)
    expect(one.choice == other.choice, f"{one.choice} in any order", f"listed backwards, {other.choice} is chosen")


@law(Group.CORE, share=DEAR, situation=situations(least=1, roomy=True), arbiter=arbiters, which=st.integers(0, 2))
def a_worse_model_on_the_disk_changes_nothing(make: Make, situation: Situation, arbiter: str, which: int) -> None:
    """Another model of the same make that answers worse and takes more of everything is no reason to choose anew."""
    better = situation.models[which % len(situation.models)]
    worse = replace(
        better,
        key="worse",
        size_bytes=int(better.size_bytes * 1.01) + 1,
        parameters=better.parameters * 1.01,
        quality={kind: 0.9 * share for kind, share in better.quality.items()},
    )
    before = choose(make, situation, arbiter)
    mine = before.candidate(better.key)
    assume(mine is not None and mine.rung is not Rung.SLOW)
    after = choose(make, replace(situation, models=(*situation.models, worse)), arbiter)
    happened = f"with a worse {better.key} on the disk, {after.choice} is chosen"
    expect(after.choice == before.choice, f"{before.choice} still", happened)


@law(Group.CORE, share=DEAR, situation=situations(least=1), more=st.sampled_from([0.01, 0.1, 0.5, 1.0, 4.0]))
def more_memory_is_never_worse(make: Make, situation: Situation, more: float) -> None:
    """With more memory free, a cold start gets no worse a model by the strategy's own measure.

    Only where those that could run before would run the same way now: a plan that may grow is another candidate.
    """
    richer = with_memory(situation, more)
    before, after = choose(make, situation), choose(make, richer)
    assume(before.choice is not None)
    expect(after.choice is not None, f"a choice, as with less memory ({before.choice})", "nothing is chosen")
    plans = {c.key: (c.plan, c.rung) for c in after.candidates}
    assume(all(plans.get(c.key) == (c.plan, c.rung) for c in before.candidates))
    was, now = before.ranking[0], after.ranking[0]
    expect(
        now.utility >= was.utility - NEAR,
        f"{was.utility:.4g} or more with {more:.0%} more memory free, where {was.key} scored that without it",
        f"{now.key} is chosen at {now.utility:.4g}",
    )


@dataclass(frozen=True)
class _Failing:
    """Another strategy, at fault in one of the ways there are."""

    how: str
    name: ClassVar[str] = "failing"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        if self.how == "raises":
            raise RuntimeError("out of order")
        score = float("nan") if self.how == "scores NaN" else 1.0
        key = "nobody" if self.how == "proposes nobody" else request.candidates[-1].key
        return [Proposal(key, score + (self.how == "scores 2"), "no reason")]


faults: st.SearchStrategy[SelectionStrategy] = st.builds(
    _Failing, st.sampled_from(["raises", "scores NaN", "scores 2", "proposes nobody"])
)


@law(Group.CORE, share=DEAR, situation=situations(least=2, roomy=True), arbiter=arbiters, other=faults)
def the_fault_of_another_changes_nothing(
    make: Make, situation: Situation, arbiter: str, other: SelectionStrategy
) -> None:
    """Beside another strategy that fails, the decision is what it is alone."""
    alone = choose(make, situation, arbiter)
    beside = decide(situation, vote_of(make(), other), arbiter=arbiter)
    expect(beside.choice == alone.choice, f"{alone.choice}, as alone", f"beside one that fails it is {beside.choice}")
    expect(beside.ranking == alone.ranking, "the same ranking", "beside one that fails it is another")


def _unable(model: ModelProfile, situation: Situation) -> str:
    if model.fault or not model.installed:
        return model.fault or "not on this disk"
    if situation.health.get(model.key, 1.0) <= 0.0:
        return "kept out after failures"
    missing = situation.features.capabilities - model.capabilities
    return f"cannot do {', '.join(sorted(missing))}" if missing else ""


LAWS = (
    only_what_can_answer_is_chosen,
    nothing_is_chosen_that_does_not_fit,
    somebody_answers,
    a_pin_is_obeyed,
    decisions_explain_themselves,
    decisions_do_not_hang_on_the_order,
    a_worse_model_on_the_disk_changes_nothing,
    more_memory_is_never_worse,
    the_fault_of_another_changes_nothing,
)
