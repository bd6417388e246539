"""The bound on switches that somebody waits for, against an adversary.

The adversary plays the machine, the person and the strategies: memory taken by others, calm, processor, pressure, what
each turn asks for, how much time passes, and what the strategies think of each model, anything at all, every turn anew.
What was paid for is judged here by what happened in memory, not by what the policy says of itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from mai_core.policy.decision import Vote
from mai_core.policy.feasibility import Situation
from mai_core.policy.features import TaskFeatures, TaskKind
from mai_core.policy.models import LoadedModel, ModelProfile
from mai_core.policy.resources import Cpu, Host, MemoryPool, PoolKind, ResourceSnapshot
from mai_core.policy.selection import Ballot, Candidate, Move, Proposal, Ranked, Rung, SelectionRequest
from mai_core.policy.stability import StabilityRules, Switch, settle
from mai_core.testing.laws import course
from mai_core.testing.laws.course import Course, Turn
from mai_core.testing.worlds import architectures, candidates

GIB = 2**30
RULES = StabilityRules()
NAIVE = StabilityRules(margin=0.0, horizon_turns=1, up_after_seconds=0.0, seconds_value=0.0, spare=float("-inf"))
BOUND = course.bound(RULES)


@dataclass(frozen=True, slots=True)
class Said(Turn):
    """A turn, and what the strategies say of each model in it."""

    votes: tuple[float, ...] = ()


def votes(scores: Sequence[float], models: Sequence[ModelProfile]) -> Vote:
    by_key = {m.key: score for m, score in zip(models, scores, strict=False)}

    def vote(request: SelectionRequest) -> tuple[Ballot, ...]:
        found = sorted((Proposal(c.key, by_key[c.key]) for c in request.candidates), key=lambda p: -p.score)
        return (Ballot(strategy="adversary", proposals=tuple(found)),)

    return vote


def follow(models: Sequence[ModelProfile], sequence: Sequence[Said], rules: StabilityRules) -> Course:
    return course.follow(models, sequence, lambda turn: votes(turn.votes, models), rules)  # type: ignore[attr-defined]


@st.composite
def model_sets(draw: DrawFn) -> tuple[ModelProfile, ...]:
    made = []
    for index in range(draw(st.integers(2, 4))):
        size = draw(st.integers(GIB // 4, 12 * GIB))
        made.append(
            ModelProfile(
                key=f"m{index}",
                backend="b",
                location=f"m{index}",
                size_bytes=size,
                parameters=1.6 * size,
                max_context=draw(st.sampled_from([4096, 32768])),
                architecture=draw(st.none() | architectures()),
            )
        )
    return tuple(made)


share = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])
said = course.turns(60, models=3).flatmap(
    lambda found: st.tuples(*(st.tuples(share, share, share, share) for _ in found)).map(
        lambda scores: [Said(*astuple(turn), votes) for turn, votes in zip(found, scores, strict=True)]
    )
)


@settings(max_examples=300, deadline=None)
@given(model_sets(), said)
def test_no_adversary_makes_anybody_wait_more_often_than_the_bound(
    models: tuple[ModelProfile, ...], sequence: list[Said]
) -> None:
    found = follow(models, sequence, RULES)
    assert found.most_in_an_hour <= BOUND
    assert all(later - at >= RULES.up_after_seconds for at, later in zip(found.up, found.up[1:], strict=False))
    assert found.overdrawn == []
    if not any(turn.failing for turn in sequence):
        assert found.forced <= (len(models) - 1) * (len(found.paid) + len(found.reloads) + 1)


def relentless(quiet: float = 30.0, calm: float = float("inf")) -> list[Said]:
    """An hour of turns in which the other model is always thought perfect, and the one in use useless."""
    base = Said(quiet, 0, calm, 0.0, 0.0, TaskKind.CHAT, 0.5, 50)
    return [replace(base, votes=(1.0, 0.0) if index % 2 else (0.0, 1.0)) for index in range(120)]


def apart(first: int = 6 * GIB, second: int = 6 * GIB) -> tuple[ModelProfile, ...]:
    """Two models that answer at once when loaded, and do not fit beside each other."""
    made = ModelProfile(key="m0", backend="b", location="m0", size_bytes=first, parameters=1e8, max_context=8192)
    return made, replace(made, key="m1", location="m1", size_bytes=second)


def test_whoever_knows_no_stability_is_driven_back_and_forth_every_turn() -> None:
    naive = follow(apart(), relentless(), NAIVE)
    assert len(naive.paid) == 119
    steady = follow(apart(), relentless(), RULES)
    assert 1 <= len(steady.paid) <= BOUND
    assert steady.most_in_an_hour <= BOUND


def test_the_bound_holds_hour_by_hour() -> None:
    found = follow(apart(), relentless() * 3, RULES)
    assert found.most_in_an_hour <= BOUND
    assert len(found.paid) > found.most_in_an_hour, "what was long ago is forgotten"


def test_two_models_side_by_side_take_turns_as_they_are_good_for_them() -> None:
    """Chat, code, chat, code: nobody waits, so nothing keeps the better one from its task."""
    found = follow(apart(2 * GIB, 2 * GIB), relentless(), RULES)
    assert found.free >= 110
    assert len(found.paid) <= 1


@pytest.mark.parametrize("smooth", [0.3, 0.5, 0.7])
def test_a_processor_between_busy_and_free_moves_nobody_more_often_than_the_bound(smooth: float) -> None:
    noisy = [replace(t, busy=0.3 if i % 2 else 0.7, votes=(0.5, 0.5 + smooth)) for i, t in enumerate(relentless())]
    assert len(follow(apart(), noisy, RULES).paid) <= 1


def candidate(key: str, **facts: object) -> Candidate:
    from mai_core.policy.models import Footprint, LoadPlan

    made = {"plan": LoadPlan(context=8192), "footprint": Footprint(GIB), "is_loaded": True} | facts
    return Candidate(key=key, **made)  # type: ignore[arg-type]


def settled(mine: Candidate, theirs: Candidate, lead: float, **more: object) -> Move:
    ranking = [Ranked(theirs.key, 0.5 + lead, ""), Ranked(mine.key, 0.5, "")]
    rules = more.pop("rules", RULES)
    calm = more.pop("calm", float("inf"))
    return settle(ranking, [mine, theirs], mine.key, calm, rules, **more)[0]  # type: ignore[arg-type]


def test_reading_the_conversation_again_is_part_of_the_price() -> None:
    """45,000 tokens at 110 a second are 408 s: no lead is worth that. 441 tokens are 4 s."""
    model = ModelProfile(key="other", backend="b", location="o", size_bytes=GIB, parameters=1e9, max_context=65536)
    from mai_core.policy.feasibility import Limits, feasible
    from mai_core.policy.models import Footprint, LoadPlan
    from mai_core.policy.speed import MeasuredSpeed

    pool = MemoryPool("ram", PoolKind.RAM, 64 * GIB, 60 * GIB)
    loaded = LoadedModel(
        instance="o", key="other", backend="b", plan=LoadPlan(context=65536), footprint=Footprint(GIB, GIB)
    )
    world = Situation(
        models=(model,),
        snapshot=ResourceSnapshot((Host(pools=(pool,), cpu=Cpu(8)),)),
        features=TaskFeatures(prompt_tokens=45_000, new_tokens=100),
        limits=Limits(patience=1000.0),
        loaded=(loaded,),
        speeds={"other": MeasuredSpeed(prompt_tps=110.3, generation_tps=20.0, load_seconds=2.0)},
        current="mine",
    )
    [there] = feasible(world).candidates
    assert there.prefill_seconds == pytest.approx(408.0, abs=0.5)
    mine = candidate("mine", prefill_seconds=1.0)
    assert settled(mine, there, 0.33) is Move.STAY
    [brief] = feasible(replace(world, features=TaskFeatures(prompt_tokens=441, new_tokens=100))).candidates
    assert settled(mine, brief, 0.33) is Move.SWITCH
    [restored] = feasible(replace(world, read={"other": 44_600})).candidates
    assert restored.prefill_seconds == pytest.approx(400 / 110.3)
    assert settled(mine, restored, 0.33) is Move.SWITCH


def test_every_switch_paid_for_halves_the_horizon_of_the_next() -> None:
    mine, theirs = candidate("a"), candidate("b", is_loaded=False, load_seconds=10.0)
    # 10 s cost 0.05; a lead of 0.1 earns 0.6 over six turns, and half as much with every switch of the last hour.
    lately = [Switch(1000.0 + i, "x", up=False) for i in range(9)]
    for made, move in ((3, Move.SWITCH), (4, Move.STAY)):
        assert settled(mine, theirs, 0.1, history=lately[:made], now=1100.0) is move
    assert settled(mine, theirs, 0.1, history=lately, now=1009.0 + RULES.remember_seconds) is Move.SWITCH
    assert settled(mine, replace(theirs, is_loaded=True, load_seconds=0.0), 0.1, history=lately, now=1100.0) is (
        Move.SWITCH
    ), "what costs nothing is not held back"


def test_upwards_only_once_in_a_while_however_calm_it_is() -> None:
    from mai_core.policy.models import Footprint

    small, large = candidate("s"), candidate("l", is_loaded=False, load_seconds=1.0, footprint=Footprint(4 * GIB))
    before = [Switch(1000.0, "l", up=True)]
    assert settled(small, large, 0.3, history=before, now=1299.0) is Move.STAY
    assert settled(small, large, 0.3, history=before, now=1300.0) is Move.SWITCH
    smaller = replace(large, footprint=Footprint(GIB // 2))
    assert settled(small, smaller, 0.3, history=before, now=1299.0) is Move.SWITCH, "down at once"


@given(candidates(key="a"), candidates(key="b"), st.floats(0.0, 1.0), st.integers(0, 20))
def test_more_switches_lately_never_make_the_next_one_easier(
    one: Candidate, other: Candidate, lead: float, lately: int
) -> None:
    history = [Switch(float(i), "x", up=False) for i in range(lately)]
    eager = settled(one, other, lead, history=history, now=100.0)
    calmer = settled(one, other, lead, history=[*history, Switch(99.0, "x", up=False)], now=100.0)
    assert not (eager is Move.STAY and calmer is Move.SWITCH)


def test_a_model_on_its_last_legs_is_still_left_at_once() -> None:
    """What cannot serve the turn is left whatever happened lately: somebody has to answer."""
    history = [Switch(float(i), "x", up=True) for i in range(50)]
    large = candidate("b", is_loaded=False, load_seconds=60.0, rung=Rung.FULL)
    assert settle([Ranked("b", 0.4, "")], [large], "a", 0.0, RULES, history=history, now=50.0)[0] is Move.SWITCH
