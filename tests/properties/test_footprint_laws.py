"""Laws of memory: what is predicted of a model, and the plans that are made of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_core.policy.footprint import footprint_parts, predict_footprint
from mai_core.policy.models import Architecture, KvType, LayerGroup, LoadPlan, ModelProfile, WeightBytes
from mai_core.policy.planning import Planned, Wants, plan_load
from mai_core.policy.resources import Cpu, Host, MemoryPool, PoolKind

MIB = 2**20
GIB = 2**30
RANKS = {KvType.F16: 2, KvType.Q8_0: 1, KvType.Q4_0: 0}


@st.composite
def tables(draw: st.DrawFn) -> Architecture:
    """Headers with a table of tensors: layers of several kinds in any order, some with windows, states or neither."""
    kinds = draw(
        st.lists(
            st.builds(
                LayerGroup,
                st.just(0),
                key=st.sampled_from([0, 128, 512, 1024]),
                value=st.sampled_from([0, 128, 512]),
                window=st.sampled_from([0, 0, 512, 4096]),
                state=st.sampled_from([0, 0, 100_000]),
            ),
            min_size=1,
            max_size=3,
        )
    )
    order = tuple(draw(st.lists(st.integers(0, len(kinds) - 1), min_size=1, max_size=40)))
    groups = tuple(replace(kind, count=order.count(index)) for index, kind in enumerate(kinds))
    size = st.integers(1, 200 * MIB)
    experts = draw(st.sampled_from([0, 0, 8]))
    return Architecture(
        name="llama",
        groups=groups,
        order=order,
        embedding=64 * draw(st.integers(4, 64)),
        feed_forward=256 * draw(st.integers(1, 32)),
        vocabulary=draw(st.integers(1000, 150_000)),
        heads=16,
        attention=1024,
        experts=experts,
        experts_used=experts // 4,
        weights=WeightBytes(
            input=draw(size), layers=tuple(draw(size) for _ in order), output=draw(size), tied=draw(st.booleans())
        ),
        repack_bytes=draw(st.integers(0, 500 * MIB)),
        known=draw(st.booleans()),
    )


@st.composite
def models(draw: st.DrawFn) -> ModelProfile:
    shape = draw(tables())
    assert shape.weights is not None
    return ModelProfile(
        key="m", backend="b", location="m", size_bytes=shape.weights.total, max_context=131072, architecture=shape
    )


def plans(**fixed: Any) -> st.SearchStrategy[LoadPlan]:
    free: dict[str, Any] = {
        "context": st.integers(256, 65536),
        "kv_type": st.sampled_from(KvType),
        "batch": st.sampled_from([32, 128, 512]),
        "parallel": st.integers(1, 4),
        "flash_attention": st.sampled_from([None, False]),
    }
    return st.builds(LoadPlan, **{**free, **{name: st.just(value) for name, value in fixed.items()}})


devices = st.sampled_from(["gpu0", {"gpu0": 1.0, "gpu1": 3.0}])


@given(models(), plans(), st.integers(-1, 42), devices, st.none() | st.integers(0, 70_000))
def test_parts_add_up_to_the_whole_and_none_is_negative(
    model: ModelProfile, plan: LoadPlan, layers: int, device: Any, filled: int | None
) -> None:
    plan = replace(plan, gpu_layers=layers)
    whole, parts = (f(model, plan, device=device, filled=filled) for f in (predict_footprint, footprint_parts))
    assert isinstance(parts, tuple)
    assert sum(p.anonymous + p.file_backed + sum(p.devices.values()) for p in parts) == whole.total  # type: ignore[union-attr]
    assert len({part.name for part in parts}) == len(parts)
    for part in parts:
        assert min(part.anonymous, part.file_backed, *part.devices.values()) >= 0


@given(models(), plans(), st.integers(-1, 42), st.integers(256, 65536), st.integers(1, 4))
def test_more_context_or_conversations_never_take_less(
    model: ModelProfile, plan: LoadPlan, layers: int, context: int, parallel: int
) -> None:
    plan = replace(plan, gpu_layers=layers)
    little = predict_footprint(model, plan)
    more = replace(plan, context=max(context, plan.context), parallel=max(parallel, plan.parallel))
    much = predict_footprint(model, more)
    assert little.anonymous <= much.anonymous
    assert all(size <= much.devices[name] for name, size in little.devices.items())


@given(models(), plans(), st.integers(0, 70_000), st.integers(0, 70_000))
def test_a_longer_prompt_never_takes_less_and_a_full_context_is_the_most(
    model: ModelProfile, plan: LoadPlan, one: int, other: int
) -> None:
    short, long = sorted((one, other))
    sizes = [predict_footprint(model, plan, filled=filled).total for filled in (short, long, None)]
    assert sizes == sorted(sizes)


@given(models(), plans(), st.integers(1, 41), st.integers(1, 41))
def test_more_layers_on_the_device_never_take_less_there_or_more_here(
    model: ModelProfile, plan: LoadPlan, one: int, other: int
) -> None:
    few, many = (predict_footprint(model, replace(plan, gpu_layers=layers)) for layers in sorted((one, other)))
    assert few.devices["gpu"] <= many.devices["gpu"]
    assert few.ram >= many.ram


@given(models(), plans(gpu_layers=-1), devices)
def test_with_all_layers_on_devices_main_memory_keeps_no_cache_and_of_the_weights_the_input(
    model: ModelProfile, plan: LoadPlan, device: Any
) -> None:
    shape = model.architecture
    assert shape is not None
    assert shape.weights is not None
    for part in footprint_parts(model, plan, device=device):
        if part.name in ("cache", "state"):
            assert (part.anonymous, part.file_backed) == (0, 0)
        if part.name == "weights":
            assert (part.anonymous, part.file_backed) == (0, shape.weights.input)
            twice = shape.weights.input if shape.weights.tied else 0
            assert sum(part.devices.values()) == sum(shape.weights.layers) + shape.weights.output + twice
        assert part.name != "repacked weights"


@given(models(), plans(gpu_layers=-1), st.floats(0.1, 10.0))
def test_two_devices_hold_what_one_does(model: ModelProfile, plan: LoadPlan, share: float) -> None:
    one = {p.name: p for p in footprint_parts(model, plan)}
    for part in footprint_parts(model, plan, device={"gpu0": 1.0, "gpu1": share}):
        if part.name != "compute":
            assert sum(part.devices.values()) == pytest.approx(sum(one[part.name].devices.values()), abs=2)


@given(models(), plans())
def test_a_kind_of_model_nobody_knows_is_never_thought_smaller(model: ModelProfile, plan: LoadPlan) -> None:
    assert model.architecture is not None
    known, unknown = (
        predict_footprint(replace(model, architecture=replace(model.architecture, known=known)), plan)
        for known in (True, False)
    )
    assert known.total <= unknown.total


def host(ram: int, *devices: int, kind: PoolKind = PoolKind.DEVICE) -> Host:
    pools = [MemoryPool("ram", PoolKind.RAM, 64 * GIB, ram)]
    pools += [MemoryPool(f"gpu{i}", kind, 24 * GIB, size) for i, size in enumerate(devices)]
    return Host(pools=tuple(pools), cpu=Cpu(8))


WANTS = st.builds(
    Wants, context=st.integers(1024, 65536), parallel=st.integers(1, 2), stretch=st.sampled_from([1.0, 1.05])
)
ROOM = st.integers(0, 16 * GIB)
KINDS = st.sampled_from([PoolKind.DEVICE, PoolKind.UNIFIED])


def height(planned: Planned | None) -> tuple[int, ...]:
    """How much a plan gives: the higher the better."""
    if planned is None:
        return (-1,)
    layers = planned.plan.gpu_layers
    whole = layers is None or layers < 0
    return (int(whole), RANKS[planned.plan.kv_type], planned.plan.context, 0 if layers is None or whole else layers)


@given(models(), WANTS, ROOM, st.lists(ROOM, max_size=2), KINDS)
def test_a_plan_fits_every_pool_with_its_headroom(
    model: ModelProfile, wants: Wants, ram: int, sizes: list[int], kind: PoolKind
) -> None:
    machine = host(ram, *sizes, kind=kind)
    planned = plan_load(model, machine, wants)
    if planned is None:
        return
    assert planned.footprint.ram <= ram - 2 * GIB
    if kind is PoolKind.UNIFIED:
        assert planned.footprint.total <= ram - 2 * GIB, "what a GPU takes of shared memory is gone from main memory"
    for index, size in enumerate(sizes):
        assert planned.footprint.devices.get(f"gpu{index}", 0) <= max(0, size - 2 * GIB)
    assert planned.plan.context <= wants.context
    assert planned.plan.parallel == wants.parallel
    assert planned.footprint == predict_footprint(
        model, planned.plan, device={name: float(held) for name, held in planned.layers.items()} or "none"
    )


@given(models(), WANTS, st.tuples(ROOM, ROOM), st.lists(st.tuples(ROOM, ROOM), max_size=2))
def test_more_memory_never_gives_a_lower_plan(
    model: ModelProfile, wants: Wants, ram: tuple[int, int], sizes: list[tuple[int, int]]
) -> None:
    poor = plan_load(model, host(min(ram), *(min(size) for size in sizes)), wants)
    rich = plan_load(model, host(max(ram), *(max(size) for size in sizes)), wants)
    assert height(poor) <= height(rich)


def test_a_machine_whose_memory_nobody_knows_gets_no_plan() -> None:
    model = ModelProfile(key="m", backend="b", location="m", size_bytes=GIB)
    assert plan_load(model, Host(), Wants(context=4096)) is None


def test_a_limit_on_private_memory_is_kept_apart_from_mapped_weights() -> None:
    model = ModelProfile(key="m", backend="b", location="m", size_bytes=4 * GIB, max_context=8192)
    pool = MemoryPool("ram", PoolKind.RAM, 64 * GIB, 32 * GIB)
    wants = Wants(context=4096)
    assert plan_load(model, Host(pools=(pool,)), wants, kept=0.0, least=0) is not None
    assert plan_load(model, Host(pools=(replace(pool, anonymous=GIB),)), wants, kept=0.0, least=0) is None


def test_what_a_gpu_takes_of_shared_memory_is_gone_from_main_memory() -> None:
    shape = Architecture(
        name="llama",
        groups=(LayerGroup(30, 512, 512),),
        order=(0,) * 30,
        embedding=2048,
        feed_forward=8192,
        vocabulary=32_000,
        weights=WeightBytes(input=64 * MIB, layers=(100 * MIB,) * 30, output=64 * MIB),
    )
    model = ModelProfile(
        key="m", backend="b", location="m", size_bytes=3 * GIB, max_context=4096, architecture=shape
    )  # fmt: skip
    wants = Wants(context=4096, minimum=4096, kv_types=(KvType.F16,))
    own, shared = (host(4 * GIB, 24 * GIB, kind=kind) for kind in (PoolKind.DEVICE, PoolKind.UNIFIED))
    assert plan_load(model, own, wants) is not None
    assert plan_load(model, shared, wants) is None
    assert plan_load(model, host(8 * GIB, 24 * GIB, kind=PoolKind.UNIFIED), wants) is not None
