"""Laws of the policy, over generated machines, models and turns."""

from __future__ import annotations

import time
from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from mai_core.plugin.ballots import collect_ballots
from mai_core.policy.decision import decide
from mai_core.policy.feasibility import Limits, Situation, feasible, spendable
from mai_core.policy.features import TaskFeatures, TaskKind, classify
from mai_core.policy.footprint import predict_footprint
from mai_core.policy.models import LoadedModel, LoadPlan, ModelProfile, Tier
from mai_core.policy.resources import Cpu, Host, MemoryPool, PoolKind, ResourceSnapshot
from mai_core.policy.selection import Ballot, Decision, Move, Rung, SelectionRequest
from mai_core.policy.stability import StabilityRules
from mai_core.testing.worlds import architectures
from mai_strategies.cost_aware import CostAware
from mai_strategies.greedy_fit import GreedyFit
from mai_strategies.tiered import Tiered

GIB = 2**30
STRATEGIES = ((Tiered(), 1.0), (GreedyFit(), 1.0), (CostAware(), 1.0))


def vote(request: SelectionRequest) -> tuple[Ballot, ...]:
    return collect_ballots(STRATEGIES, request, clock=time.perf_counter, budget_seconds=60.0)


def choose(situation: Situation, arbiter: str = "vote") -> Decision:
    return decide(situation, vote, arbiter=arbiter)


def snapshot(total: int, available: int, calm: float = float("inf")) -> ResourceSnapshot:
    pool = MemoryPool("ram", PoolKind.RAM, total, min(available, total))
    return ResourceSnapshot((Host(pools=(pool,), cpu=Cpu(8, 0.25)),), calm_seconds=calm)


@st.composite
def models(draw: DrawFn, key: str, largest: int) -> ModelProfile:
    """A model that takes at most about ``largest`` bytes, half of the time with a header to predict from."""
    size = draw(st.integers(50 * 2**20, largest))
    return ModelProfile(
        key=key,
        backend="embedded",
        location=key,
        size_bytes=size,
        parameters=1.6 * size,
        max_context=draw(st.sampled_from([2048, 8192, 131072])),
        architecture=draw(st.none() | architectures()),
        tier=draw(st.sampled_from(Tier)),
        quality={"default": draw(st.floats(0.05, 0.95))},
    )


@st.composite
def situations(draw: DrawFn, *, least: int = 0, roomy: bool = False) -> Situation:
    """Models of all sizes, a machine of 2 to 128 GiB, and a turn that needs nothing special.

    On a ``roomy`` machine most models fit.
    """
    total = draw(st.integers(4 * GIB, 128 * GIB))
    largest = total // 3 if roomy else total
    found = [draw(models(f"m{i}", largest)) for i in range(draw(st.integers(least, 4)))]
    return Situation(
        models=tuple(found),
        snapshot=snapshot(total, draw(st.integers(total // 2 if roomy else 0, total))),
        features=TaskFeatures(
            kind=draw(st.sampled_from(TaskKind)),
            difficulty=draw(st.floats(0.0, 1.0)),
            prompt_tokens=draw(st.integers(1, 32768)),
        ),
    )


arbiters = st.sampled_from(["first", "vote"])


@given(situations(), arbiters)
def test_only_what_fits_is_chosen(situation: Situation, arbiter: str) -> None:
    decision = choose(situation, arbiter)
    if decision.choice is None:
        return
    candidate = decision.candidate(decision.choice)
    assert candidate is not None
    host = situation.snapshot.hosts[0]
    budget = spendable(host, situation.loaded, situation.limits)
    model = next(m for m in situation.models if m.key == decision.choice)
    assert candidate.footprint == predict_footprint(model, candidate.plan)
    if candidate.rung is Rung.SLOW:
        assert len(decision.candidates) == 1, "the last rung is for when nothing else fits"
        assert candidate.footprint.anonymous <= host.pools[0].available
    else:
        assert candidate.footprint.ram <= budget
        assert candidate.plan.context <= model.max_context


@given(situations())
def test_every_model_is_a_candidate_or_rejected_with_a_reason(situation: Situation) -> None:
    found = feasible(situation)
    keys = [c.key for c in found.candidates] + [r.key for r in found.rejections]
    assert sorted(keys) == sorted(m.key for m in situation.models)
    assert all(r.message for r in found.rejections)
    assert all(r.needed > r.available for r in found.rejections if r.reason == "memory")


@given(situations(), arbiters)
def test_deterministic(situation: Situation, arbiter: str) -> None:
    one, other = choose(situation, arbiter), choose(situation, arbiter)
    assert replace(one, ballots=()) == replace(other, ballots=())


@given(situations(), arbiters, st.randoms(use_true_random=False))
def test_the_order_of_models_is_irrelevant(situation: Situation, arbiter: str, random) -> None:  # type: ignore[no-untyped-def]
    models = list(situation.models)
    random.shuffle(models)
    shuffled = choose(replace(situation, models=tuple(models)), arbiter)
    assert shuffled.choice == choose(situation, arbiter).choice
    assert shuffled.ranking == choose(situation, arbiter).ranking


@given(situations(least=1, roomy=True), arbiters, st.data())
def test_a_dominated_model_changes_nothing(situation: Situation, arbiter: str, data: st.DataObject) -> None:
    """A model of the same shape that answers worse and takes more of everything."""
    before = choose(situation, arbiter)
    assume(before.choice is not None)
    assume(before.candidate(before.choice).rung is not Rung.SLOW)  # type: ignore[union-attr]
    better = data.draw(st.sampled_from([m for m in situation.models if before.candidate(m.key)]))
    worse = replace(
        better,
        key="~" + better.key,
        size_bytes=int(better.size_bytes * 1.01) + 1,
        parameters=better.parameters * 1.01,
        quality={kind: 0.9 * q for kind, q in better.quality.items()},
    )
    assert choose(replace(situation, models=(*situation.models, worse)), arbiter).choice == before.choice


@given(situations(least=1), arbiters, st.floats(0.01, 100.0), st.booleans())
def test_of_two_placements_the_dearer_is_never_chosen_without_need(
    situation: Situation, arbiter: str, price: float, dearer_comes_first: bool
) -> None:
    model = replace(situation.models[0], host="box", remote=True, model="m", size_bytes=0, max_context=8192)
    cheap, dear = ("z", "a") if dearer_comes_first else ("a", "z")
    placements = (replace(model, key=cheap), replace(model, key=dear, price_out=price))
    assert choose(replace(situation, models=placements), arbiter).choice == cheap


@given(situations(), st.integers(0, 64 * GIB))
def test_more_memory_never_turns_a_pick_into_none(situation: Situation, more: int) -> None:
    host = situation.snapshot.hosts[0]
    pool = host.pools[0]
    richer = replace(situation, snapshot=snapshot(pool.total, pool.available + more))
    if choose(situation).choice is not None:
        assert choose(richer).choice is not None
    candidates = {c.key for c in feasible(situation).candidates if c.rung is not Rung.SLOW}
    assert candidates <= {c.key for c in feasible(richer).candidates}


@given(situations(roomy=True), st.integers(0, 64 * GIB))
def test_more_memory_never_gives_greedy_fit_a_worse_model(situation: Situation, more: int) -> None:
    """True of a cold single choice by quality alone; residents and hysteresis may break it, so there are none."""
    pool = situation.snapshot.hosts[0].pools[0]
    richer = replace(situation, snapshot=snapshot(pool.total, pool.available + more))

    def best(s: Situation) -> float:
        greedy = ((GreedyFit(), 1.0),)
        decision = decide(s, lambda r: collect_ballots(greedy, r, clock=time.perf_counter, budget_seconds=60.0))
        return decision.ranking[0].utility if decision.ranking else 0.0

    assert best(richer) >= best(situation)


def resident(situation: Situation, decision: Decision) -> Situation:
    """The world after a decision was carried out: its model is loaded and its memory taken."""
    candidate = decision.candidate(decision.choice)
    assert candidate is not None
    loaded = LoadedModel(
        instance="i", key=candidate.key, backend="embedded", plan=candidate.plan, footprint=candidate.footprint
    )
    pool = situation.snapshot.hosts[0].pools[0]
    taken = snapshot(pool.total, max(0, pool.available - candidate.footprint.anonymous))
    return replace(situation, snapshot=taken, loaded=(loaded,), current=candidate.key)


def on_the_edge(situation: Situation, data: st.DataObject) -> Situation:
    """The same world with memory such that one of the models just does not fit, where there is one."""
    misses = [r.missing for r in feasible(situation).rejections if r.reason == "memory"]
    if not misses:
        return situation
    pool = situation.snapshot.hosts[0].pools[0]
    return replace(situation, snapshot=snapshot(pool.total, pool.available + data.draw(st.sampled_from(misses)) - 1))


@settings(max_examples=300)
@given(situations(least=2), st.lists(st.floats(-0.01, 0.01), min_size=1, max_size=5), arbiters, st.data())
def test_one_per_cent_of_memory_noise_never_flips(
    situation: Situation, noise: list[float], arbiter: str, data: st.DataObject
) -> None:
    situation = on_the_edge(situation, data)
    first = choose(situation, arbiter)
    if first.choice is None:
        return
    settled = resident(situation, first)
    pool = settled.snapshot.hosts[0].pools[0]
    for share in noise:
        wavering = replace(settled, snapshot=snapshot(pool.total, int(pool.available * (1.0 + share))))
        assert choose(wavering, arbiter).choice == first.choice


@given(situations(least=1, roomy=True))
def test_a_pin_is_obeyed_whenever_it_can_be(situation: Situation) -> None:
    for model in situation.models:
        decision = choose(replace(situation, pinned=model.key))
        if decision.candidate(model.key) is not None:
            assert (decision.move, decision.choice) == (Move.PIN, model.key)
            assert decision.ranking[0].key == model.key
        elif decision.choice is not None:
            assert "cannot run now" in decision.reason


@given(situations(least=2, roomy=True))
def test_up_only_after_calm_and_down_at_once(situation: Situation) -> None:
    decision = choose(situation)
    assume(len(decision.candidates) >= 2)
    smallest = min(decision.candidates, key=lambda c: c.footprint.ram)
    small = LoadedModel(
        instance="i", key=smallest.key, backend="embedded", plan=smallest.plan, footprint=smallest.footprint
    )
    pool = situation.snapshot.hosts[0].pools[0]
    beside = max(0, pool.available - smallest.footprint.anonymous)
    world = replace(situation, loaded=(small,), current=smallest.key)
    restless = choose(replace(world, snapshot=snapshot(pool.total, beside, calm=10.0)))
    chosen = restless.candidate(restless.choice)
    assert chosen is not None
    bigger = chosen.footprint.total > smallest.footprint.total
    assert chosen.key == smallest.key or not bigger, "no bigger model is taken up before calm"
    gone = choose(replace(situation, current="gone", snapshot=snapshot(pool.total, pool.available, calm=10.0)))
    assert gone.choice is not None, "without the model in use the next one is taken at once"


@given(situations(), st.integers(1, 65536), st.integers(1, 65536))
def test_a_longer_window_never_takes_less_memory(situation: Situation, one: int, other: int) -> None:
    for model in situation.models:
        short, long = (predict_footprint(model, LoadPlan(context=n)) for n in sorted((one, other)))
        assert short.anonymous <= long.anonymous
        assert short.file_backed == long.file_backed


@given(st.text(max_size=3000), st.integers(0, 100_000))
def test_any_text_can_be_classified(text: str, history: int) -> None:
    found = classify(text, history_tokens=history)
    assert 0.0 <= found.difficulty <= 1.0
    assert found.prompt_tokens >= history
    assert 0 <= found.new_tokens <= max(found.prompt_tokens, 1)


def test_switching_back_and_forth_is_bounded_by_the_margin() -> None:
    """Two models a hair apart: whichever is in use stays in use."""
    quality = {"default": 0.60}
    one = ModelProfile(key="one", backend="embedded", location="1", size_bytes=GIB, parameters=1.6e9, quality=quality)
    two = replace(one, key="two", location="2", quality={"default": 0.61})
    world = Situation(models=(one, two), snapshot=snapshot(16 * GIB, 12 * GIB), features=TaskFeatures())
    for current in ("one", "two"):
        assert choose(replace(world, current=current)).move is Move.STAY


def test_the_rules_of_the_settings_are_those_of_the_policy() -> None:
    from mai_core.runtime.assembly import limits_of, rules_of
    from mai_core.settings.model import Settings

    assert rules_of(Settings()) == StabilityRules()
    assert limits_of(Settings()) == Limits()
