"""The best way to load a model into the memory there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from mai_core.policy.footprint import predict_footprint
from mai_core.policy.models import Footprint, KvType, LoadPlan, ModelProfile
from mai_core.policy.resources import Host, MemoryPool, PoolKind

__all__ = ["Planned", "Wants", "fits", "plan_load"]

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Wants:
    """What a model is wanted for.

    context     tokens wanted; ``minimum`` those below which it is of no use
    parallel    conversations at once
    batch       prompt tokens computed in one go
    kv_types    types of cache, the best first; the next is taken only where no context fits with the one before
    headroom    share of every pool that stays free, between ``headroom_min`` and ``headroom_max`` bytes
    margin      share by which predictions are taken to be under: the error bar
    offload     whether the engine can use a GPU
    """

    context: int
    minimum: int = 1024
    parallel: int = 1
    batch: int = 512
    kv_types: tuple[KvType, ...] = (KvType.F16, KvType.Q8_0)
    headroom: float = 0.10
    headroom_min: int = 256 * MIB
    headroom_max: int = 2 * GIB
    margin: float = 0.0
    offload: bool = True


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, the layers it puts on each device (the output counts as one), and what it takes."""

    plan: LoadPlan
    layers: Mapping[str, int]
    footprint: Footprint


def plan_load(model: ModelProfile, host: Host, wants: Wants) -> Planned | None:
    """The best plan that fits the pools of ``host``; None when none does, or nothing is known of its main memory.

    First comes the cache of full precision with the longest context, all layers on GPUs where there are any; then
    shorter contexts by halves; then the same with the next type of cache; then as many layers as GPUs hold, the rest in
    main memory. More memory never gives a lower one of these, nor a shorter context or fewer layers on the same one.
    Threads are the free cores, all but one where there are several: an engine that shares a core stands still with it.
    """
    ram = host.ram
    if ram is None:
        return None
    devices = [pool for pool in host.pools if pool.kind is not PoolKind.RAM and pool is not ram and wants.offload]
    room = {pool.name: int(_free(pool, wants) / (1.0 + wants.margin)) for pool in devices}
    threads = max(1, min(host.cpu.free_cores, host.cpu.cores - 1))
    everything = -1 if room else None
    partly: list[Planned] = []
    for plan in _plans(model, wants):
        layers = _packed(model, plan, room)
        planned = _planned(model, replace(plan, threads=threads, gpu_layers=0 if room else None), layers)
        if planned.plan.gpu_layers != everything:
            partly.append(planned)
        elif fits(planned.footprint, host, wants):
            return planned
    return next((planned for planned in partly if fits(planned.footprint, host, wants)), None)


def fits(footprint: Footprint, host: Host, wants: Wants) -> bool:
    """Whether every pool holds what a plan takes of it, beside the headroom and with the margin.

    What is taken of memory that main processor and GPU share counts against both (``PoolKind.UNIFIED``).
    """
    ram = host.ram
    if ram is None:
        return False
    factor = 1.0 + wants.margin
    pools = {pool.name: pool for pool in host.pools}
    shared = 0
    for name, size in footprint.devices.items():
        pool = pools.get(name)
        if pool is None or size * factor > _free(pool, wants):
            return False
        shared += size if pool.kind is PoolKind.UNIFIED else 0
    if (footprint.anonymous + shared) * factor > ram.anonymous_available - _headroom(ram, wants):
        return False
    return (footprint.ram + shared) * factor <= _free(ram, wants)


def _plans(model: ModelProfile, wants: Wants) -> Iterator[LoadPlan]:
    contexts = [min(wants.context, model.max_context)]
    while contexts[-1] > wants.minimum:
        contexts.append(max(wants.minimum, contexts[-1] // 2))
    for kv_type in wants.kv_types:
        for context in contexts:
            yield LoadPlan(context=context, kv_type=kv_type, batch=wants.batch, parallel=wants.parallel)


def _packed(model: ModelProfile, plan: LoadPlan, room: Mapping[str, int]) -> dict[str, int]:
    """As many layers on every device as it holds, from the output on backwards over the last device to the first.

    Layers lie in a row and every device takes all it can: no other way holds more, and more room never holds less. A
    model whose layers nobody knows goes to one device or none.
    """
    shape = model.architecture
    if shape is None:
        size = sum(predict_footprint(model, replace(plan, gpu_layers=-1)).devices.values())
        return next(({name: -1} for name, free in room.items() if size <= free), {})
    held: dict[str, int] = {}
    for name, free in list(room.items())[::-1]:
        placed = sum(held.values())
        low, high = 0, shape.layers + 2 - placed
        while low + 1 < high:
            middle = (low + high) // 2
            trial = predict_footprint(
                model, replace(plan, gpu_layers=placed + middle), device={name: float(middle), **held}
            )
            low, high = (middle, high) if trial.devices[name] <= free else (low, middle)
        if low:
            held = {name: low, **held}
    return held


def _planned(model: ModelProfile, plan: LoadPlan, layers: Mapping[str, int]) -> Planned:
    if not layers:
        return Planned(plan, {}, predict_footprint(model, plan))
    count = sum(layers.values())
    whole = model.architecture is None or count == model.architecture.layers + 1
    plan = replace(plan, gpu_layers=-1 if whole else count)
    shares = {name: float(abs(held)) for name, held in layers.items()}
    return Planned(plan, layers, predict_footprint(model, plan, device=shares))


def _free(pool: MemoryPool, wants: Wants) -> int:
    return pool.available - _headroom(pool, wants)


def _headroom(pool: MemoryPool, wants: Wants) -> int:
    wanted = min(wants.headroom_max, max(wants.headroom_min, int(wants.headroom * pool.total)))
    return min(wanted, pool.total // 4)
