"""Laws of the ladder: what is given up first when memory is short, and how a model in memory climbs it again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_core.policy.decision import decide
from mai_core.policy.feasibility import Limits, Situation, feasible
from mai_core.policy.features import TaskFeatures
from mai_core.policy.footprint import predict_footprint
from mai_core.policy.ladder import rung_of, rung_words
from mai_core.policy.models import Architecture, Footprint, KvType, LoadedModel, LoadPlan, ModelProfile, like_layers
from mai_core.policy.planning import Wants, plans
from mai_core.policy.resources import Cpu, Host, MemoryPool, PoolKind, ResourceSnapshot
from mai_core.policy.room import DeviceRoom, Room
from mai_core.policy.selection import Ballot, Candidate, Proposal, Rejection, Rung, SelectionRequest
from mai_core.policy.stability import Switch
from mai_core.testing.worlds import architectures, profiles
from mai_core.testing.worlds import plans as any_plans

GIB = 2**30
MIB = 2**20
RUNGS = list(Rung)
LIMITS = Limits()
SEVEN = Architecture(name="llama", groups=like_layers(32, 2048), embedding=4096, feed_forward=14336, vocabulary=128_000)
SLIM = Architecture(name="llama", groups=like_layers(16, 256), embedding=1024, feed_forward=2048, vocabulary=32_000)
MODEL = ModelProfile(
    key="m",
    backend="b",
    location="m",
    size_bytes=4 * GIB,
    parameters=7e9,
    max_context=32768,
    architecture=SEVEN,
    quality={"default": 0.8},
)


def world(
    *models: ModelProfile,
    ram: int = 64 * GIB,
    device: int | None = None,
    calm: float = float("inf"),
    prompt: int = 200,
    **more: object,
) -> Situation:
    pools = [MemoryPool("ram", PoolKind.RAM, 64 * GIB, ram)]
    if device is not None:
        pools.append(MemoryPool("cuda0", PoolKind.DEVICE, 24 * GIB, device))
    return Situation(
        models=models or (MODEL,),
        snapshot=ResourceSnapshot((Host(pools=tuple(pools), cpu=Cpu(16)),), 10_000.0, calm),
        features=TaskFeatures(prompt_tokens=prompt, new_tokens=prompt),
        **more,  # type: ignore[arg-type]
    )


def only(situation: Situation) -> Candidate | Rejection:
    found = feasible(situation)
    outcomes: list[Candidate | Rejection] = [*found.candidates, *found.rejections]
    [outcome] = outcomes
    return outcome


def fitted(situation: Situation) -> Candidate:
    outcome = only(situation)
    assert isinstance(outcome, Candidate)
    return outcome


def height(outcome: Candidate | Rejection) -> tuple[int, int, int]:
    """How much a model got: the higher the better."""
    if isinstance(outcome, Rejection):
        return (-len(RUNGS), 0, 0)
    layers = outcome.plan.gpu_layers
    return (
        -RUNGS.index(outcome.rung),
        0 if outcome.rung is Rung.PARTIAL_OFFLOAD else outcome.plan.context,
        layers or 0,
    )


@given(profiles(), st.integers(0, 64 * GIB), st.integers(0, 64 * GIB))
def test_less_memory_never_puts_a_model_on_a_higher_rung(model: ModelProfile, one: int, other: int) -> None:
    little, much = sorted((one, other))
    assert height(only(world(model, ram=little))) <= height(only(world(model, ram=much)))


@given(profiles(), st.integers(0, 24 * GIB), st.integers(0, 64 * GIB))
def test_a_device_its_backend_cannot_use_makes_no_difference(model: ModelProfile, device: int, ram: int) -> None:
    model = replace(model, offload=False)
    assert feasible(world(model, ram=ram, device=device)) == feasible(world(model, ram=ram))


@given(profiles(), st.integers(0, 24 * GIB), st.integers(0, 24 * GIB), st.integers(0, 64 * GIB))
def test_less_memory_on_the_device_never_puts_a_model_on_a_higher_rung(
    model: ModelProfile, one: int, other: int, ram: int
) -> None:
    little, much = sorted((one, other))
    poor, rich = (only(world(model, ram=ram, device=size)) for size in (little, much))
    assert height(poor)[0] <= height(rich)[0]


@given(profiles(), st.integers(0, 64 * GIB))
def test_without_a_device_the_layers_are_left_to_the_backend(model: ModelProfile, ram: int) -> None:
    for candidate in feasible(world(model, ram=ram)).candidates:
        assert candidate.plan.gpu_layers is None
        assert not candidate.footprint.devices


@given(profiles(), st.integers(0, 64 * GIB), st.integers(0, 24 * GIB))
def test_what_is_put_on_a_device_fits_it_and_the_rest_fits_main_memory(
    model: ModelProfile, ram: int, device: int
) -> None:
    for candidate in feasible(world(model, ram=ram, device=device)).candidates:
        if candidate.rung is Rung.SLOW:
            continue
        assert candidate.footprint == predict_footprint(model, candidate.plan, device="cuda0")
        assert candidate.footprint.ram <= ram - 2 * GIB
        assert candidate.footprint.devices.get("cuda0", 0) <= max(0, device - 2 * GIB)


@given(st.builds(lambda shape, size: replace(MODEL, architecture=shape, size_bytes=size), architectures(),
                 st.integers(50 * MIB, 40 * GIB)), st.integers(0, 48 * GIB))  # fmt: skip
def test_a_device_gets_as_many_layers_as_it_holds_and_not_one_more(model: ModelProfile, room: int) -> None:
    for planned in plans(model, Wants(context=8192), on_one_device(room)):
        plan = planned.plan

        def taken(layers: int, plan: LoadPlan = plan) -> int:
            return sum(predict_footprint(model, replace(plan, gpu_layers=layers)).devices.values())

        assert plan.gpu_layers is not None
        assert taken(plan.gpu_layers) <= room
        if plan.gpu_layers >= 0:
            assert taken(plan.gpu_layers + 1) > room


def on_one_device(free: int) -> Room:
    return Room(0, GIB, 0, (DeviceRoom("gpu", free, 48 * GIB),))


@given(profiles(), any_plans(), st.integers(1, 97))
def test_what_is_on_the_device_is_not_in_main_memory_too(model: ModelProfile, plan: LoadPlan, layers: int) -> None:
    here = predict_footprint(model, plan)
    split = predict_footprint(model, replace(plan, gpu_layers=layers))
    assert split.ram <= here.ram
    assert split.total >= here.total - 2, "and nothing gets lost"
    if model.architecture is not None:
        least = predict_footprint(model, replace(plan, gpu_layers=1))
        assert abs(split.total - least.total) <= 2, "wherever it is, it is there once"


def test_the_rungs_come_in_their_order_as_a_device_fills_up() -> None:
    seen = [only(world(device=size)) for size in range(8 * GIB, 0, -16 * MIB)]
    rungs = list(dict.fromkeys(c.rung for c in seen if isinstance(c, Candidate)))
    assert rungs == [Rung.FULL, Rung.SMALLER_CONTEXT, Rung.QUANTISED_KV, Rung.PARTIAL_OFFLOAD]
    layers = [c.plan.gpu_layers or 0 for c in seen if isinstance(c, Candidate) and c.rung is Rung.PARTIAL_OFFLOAD]
    assert layers == sorted(layers, reverse=True)
    assert layers[-1] == 0, "at last all of it in main memory"


def test_the_rungs_come_in_their_order_as_main_memory_fills_up_and_slow_is_the_last() -> None:
    seen = [only(world(ram=size)) for size in range(16 * GIB, 0, -16 * MIB)]
    rungs = [c.rung if isinstance(c, Candidate) else None for c in seen]
    assert list(dict.fromkeys(rungs)) == [Rung.FULL, Rung.SMALLER_CONTEXT, Rung.QUANTISED_KV, Rung.SLOW, None]


def by_quality(request: SelectionRequest) -> tuple[Ballot, ...]:
    found = sorted((Proposal(c.key, c.quality) for c in request.candidates), key=lambda p: -p.score)
    return (Ballot(strategy="quality", proposals=tuple(found)),)


def test_a_smaller_model_comes_before_a_slow_one_and_an_honest_error_at_the_end() -> None:
    small = replace(
        MODEL, key="small", size_bytes=GIB // 2, parameters=8e8, quality={"default": 0.3}, architecture=SLIM
    )
    order: list[tuple[str | None, Rung | None]] = []
    for size in range(16 * GIB, -1, -32 * MIB):
        decision = decide(world(MODEL, small, ram=size), by_quality)
        chosen = decision.candidate(decision.choice)
        order.append((decision.choice, chosen.rung if chosen else None))
        if chosen is None:
            assert all(r.message and r.remedy for r in decision.rejections)
    told = list(dict.fromkeys(order))
    assert told[:3] == [("m", Rung.FULL), ("m", Rung.SMALLER_CONTEXT), ("m", Rung.QUANTISED_KV)]
    assert told[3][0] == "small"
    assert told[-2:] == [("small", Rung.SLOW), (None, None)]


def instance(plan: LoadPlan, **facts: object) -> LoadedModel:
    made = {"instance": "i", "key": "m", "backend": "b", "footprint": predict_footprint(MODEL, plan)} | facts
    return LoadedModel(plan=plan, **made)  # type: ignore[arg-type]


PACKED = LoadPlan(context=8192, kv_type=KvType.Q8_0)
SHORT = LoadPlan(context=2048)


@pytest.mark.parametrize(
    ("more", "climbs"),
    [
        ({}, True),
        ({"calm": 299.0}, False),
        ({"calm": 0.0}, False),
        ({"history": (Switch(9_800.0, "m", up=True),)}, False),
        ({"history": (Switch(9_600.0, "m", up=True),)}, True),
        ({"ram": 6 * GIB}, False),
        ({"loaded": (instance(PACKED, owned=False),)}, False),
        ({"loaded": (instance(PACKED, leased=True),)}, False),
        ({"loaded": (instance(PACKED, asked=PACKED),)}, True),
        ({"loaded": (instance(PACKED, asked=LoadPlan(context=8192)),)}, False),
    ],
)
def test_what_was_loaded_lower_down_is_offered_the_top_again_after_calm(more: dict[str, object], climbs: bool) -> None:
    found = fitted(world(**{"loaded": (instance(PACKED),)} | more))  # type: ignore[arg-type]
    assert found.is_loaded, "until then it answers as it is"
    assert found.plan == PACKED
    assert found.better == (LoadPlan(context=8192) if climbs else None)


def test_nobody_else_leaves_for_a_better_cache() -> None:
    other = replace(MODEL, key="other")
    loaded = (instance(PACKED), replace(instance(LoadPlan(context=8192)), instance="j", key="other"))
    found = {c.key: c for c in feasible(world(MODEL, other, ram=7800 * MIB, loaded=loaded)).candidates}
    assert found["m"].better is None
    alone = {c.key: c for c in feasible(world(MODEL, other, ram=20 * GIB, loaded=loaded)).candidates}
    assert alone["m"].better is not None


def test_a_split_model_goes_back_to_the_device_when_that_is_free() -> None:
    split = LoadPlan(context=8192, gpu_layers=12)
    loaded = (instance(split, footprint=predict_footprint(MODEL, split, device="cuda0")),)
    assert fitted(world(device=20 * GIB, loaded=loaded)).better == LoadPlan(context=8192, gpu_layers=-1)
    assert fitted(world(device=4 * GIB, loaded=loaded)).better is None
    assert fitted(world(device=4 * GIB, loaded=loaded)).rung is Rung.PARTIAL_OFFLOAD


@pytest.mark.parametrize(
    ("more", "grows"),
    [
        ({}, True),
        ({"prompt": 500}, False),
        ({"loaded": (instance(SHORT, asked=SHORT),)}, True),
        ({"loaded": (instance(SHORT, asked=LoadPlan(context=8192)),)}, False),
        ({"calm": 299.0}, False),
        ({"history": (Switch(9_800.0, "m", up=True),)}, False),
        ({"ram": 5 * GIB}, False),
    ],
)
def test_a_short_window_grows_when_the_conversation_needs_it_and_memory_is_calm(
    more: dict[str, object], grows: bool
) -> None:
    found = fitted(world(**{"loaded": (instance(SHORT),), "prompt": 4000} | more))  # type: ignore[arg-type]
    assert found.is_loaded is not grows
    assert found.reloads is grows
    assert found.plan.context == (8192 if grows else 2048)


def test_in_trouble_what_no_longer_fits_is_judged_anew_and_what_does_stays() -> None:
    loaded = (instance(LoadPlan(context=8192)),)
    squeezed = fitted(world(ram=5700 * MIB, calm=0.0, loaded=loaded))
    assert (squeezed.is_loaded, squeezed.rung) == (False, Rung.SMALLER_CONTEXT)
    roomy = fitted(world(ram=30 * GIB, calm=0.0, loaded=loaded))
    assert roomy.is_loaded


def test_a_growing_conversation_reloads_its_model_but_a_few_times() -> None:
    quick = replace(MODEL, parameters=1e9, max_context=131_072)
    loaded, loads = None, 0
    for prompt in range(500, 120_000, 700):
        found = fitted(world(quick, prompt=prompt, loaded=(loaded,) if loaded else ()))
        if not found.is_loaded:
            loads += 1
            loaded = instance(found.plan, footprint=found.footprint)
    assert loads <= 5


@given(any_plans(), any_plans(), st.sampled_from([None, -1, 0, 12, 32]), st.sampled_from([None, -1, 0, 12, 32]))
def test_a_plan_serves_itself_and_one_that_serves_gives_no_less(
    one: LoadPlan, other: LoadPlan, layers: int | None, wanted: int | None
) -> None:
    one, other = replace(one, gpu_layers=layers), replace(other, gpu_layers=wanted)
    assert one.serves(one)
    if one.serves(other):
        assert one.context >= other.context
        assert one.kv_type.bytes_per_element >= other.kv_type.bytes_per_element
        if layers is not None and layers >= 0 and wanted is not None:
            assert 0 <= wanted <= layers


@given(profiles(), st.none() | st.integers(0, 24 * GIB))
def test_the_ladder_ends_and_says_itself_where_each_step_stands(model: ModelProfile, device: int | None) -> None:
    room = Room(0, GIB, 0) if device is None else on_one_device(device)
    steps = [(planned.plan, planned.rung) for planned in plans(model, Wants(context=8192), room)]
    assert [RUNGS.index(rung) for _, rung in steps] == sorted(RUNGS.index(rung) for _, rung in steps)
    assert len(set(steps)) == len(steps) <= 16
    wanted = min(8192, model.max_context)
    for plan, rung in steps:
        assert rung_of(plan, wanted) is rung
        assert bool(rung_words(plan, wanted)) == (rung is not Rung.FULL)


@pytest.mark.parametrize(
    ("plan", "rung", "words"),
    [
        (LoadPlan(context=8192), None, ""),
        (SHORT, None, "smaller context: 2,048 of 8,192 tokens, memory is short"),
        (SHORT, Rung.FULL, "smaller context: 2,048 of 8,192 tokens, memory is short"),
        (PACKED, None, "quantised cache (q8_0): 8,192 tokens, memory is short"),
        (
            LoadPlan(context=8192, gpu_layers=12),
            None,
            "partial offload: 12 layers on the GPU, the others in main memory, 8,192 tokens, the GPU's memory is short",
        ),
        (
            LoadPlan(context=4096, gpu_layers=0),
            None,
            "partial offload: all layers in main memory, 4,096 of 8,192 tokens, the GPU's memory is short",
        ),
        (
            LoadPlan(context=1024, kv_type=KvType.Q8_0),
            Rung.SLOW,
            "slow: its weights are read from disk again and again, 1,024 of 8,192 tokens, memory is short",
        ),
    ],
)
def test_a_rung_is_told_in_words(plan: LoadPlan, rung: Rung | None, words: str) -> None:
    assert rung_words(plan, 8192, rung) == words


def test_footprints_of_plans_that_leave_the_layers_to_the_backend_name_no_device() -> None:
    assert predict_footprint(MODEL, LoadPlan(context=8192)).devices == Footprint().devices
