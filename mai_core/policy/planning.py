"""The best way to load a model into the memory there is: the ladder it comes down when that is short, rung by rung."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from mai_core.policy.footprint import predict_footprint
from mai_core.policy.learning import Corrections
from mai_core.policy.models import Footprint, KvType, LoadPlan, ModelProfile
from mai_core.policy.remembering import remembered
from mai_core.policy.resources import Host
from mai_core.policy.room import Room
from mai_core.policy.selection import Rung

__all__ = ["Planned", "Wants", "lowest", "plan_load", "plans"]

MIB = 1024 * 1024
GIB = 1024 * MIB
REMEMBERED = 4096
"""Ladders, and ways to divide a model over devices, that are not worked out anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wants:
    """What a model is wanted for.

    context     tokens wanted; ``minimum`` those below which it is of no use
    parallel    conversations at once
    batch       prompt tokens computed in one go
    kv_types    types of cache, the best first; the next is taken only where no context fits with the one before
    stretch     bytes of a device that have to be free for a predicted one: its correction, and the error bar
    """

    context: int
    minimum: int = 1024
    parallel: int = 1
    batch: int = 512
    kv_types: tuple[KvType, ...] = (KvType.F16, KvType.Q8_0)
    stretch: float = 1.0


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, the rung it stands on, the layers it puts on each device (the output counts as one), what it takes."""

    plan: LoadPlan
    rung: Rung
    layers: Mapping[str, int]
    footprint: Footprint


def plans(model: ModelProfile, wants: Wants, room: Room) -> Iterator[Planned]:
    """Ways to load ``model``, best first: the wanted context, smaller ones by halves, then each with a smaller cache.

    Where its backend can use devices all layers are on them, and what they hold comes last, the rest in main memory;
    the fewest are none. Elsewhere the layers are left to the backend. Whether a plan fits is for ``Room.spare`` to
    say. More memory never makes one that is not as high the first that fits.
    """
    steps, free = _plans(model.max_context, wants), _free(wants, room)
    partly: list[LoadPlan] = []
    for plan, rung in steps:
        if (whole := _whole(model, plan, rung, free)) is not None:
            yield whole
        else:
            partly.append(plan)
    for plan in partly:
        yield _partly(model, plan, free)


def lowest(model: ModelProfile, wants: Wants, room: Room) -> Planned:
    """The way to load ``model`` that takes the least: where it does not fit, none does."""
    *_, (plan, rung) = _plans(model.max_context, wants)
    free = _free(wants, room)
    return _whole(model, plan, rung, free) or _partly(model, plan, free)


def plan_load(
    model: ModelProfile,
    host: Host,
    wants: Wants,
    *,
    room: Room | None = None,
    corrections: Corrections | None = None,
    kept: float = 0.10,
    least: int = 256 * MIB,
    most: int = 2 * GIB,
) -> Planned | None:
    """The best plan that fits the free memory of ``host``; None when none does, or nothing is known of its main memory.

    Of every pool the share ``kept``, between ``least`` and ``most`` bytes, stays free, unless ``room`` says what may be
    taken. With ``corrections`` a plan fits when its upper estimate does. Threads are the free cores, all
    but one where there are several: an engine that shares a core stands still with it.
    """
    if host.ram is None:
        return None
    if room is None:
        room = Room.of(host.ram, host, kept=kept, least=least, most=most, offload=model.offload)

    def taken(planned: Planned) -> Footprint:
        return corrections.estimate(planned.footprint).upper if corrections is not None else planned.footprint

    found = next((planned for planned in plans(model, wants, room) if room.spare(taken(planned)) >= 0.0), None)
    threads = max(1, min(host.cpu.free_cores, host.cpu.cores - 1))
    return found and replace(found, plan=replace(found.plan, threads=threads))


@lru_cache(maxsize=REMEMBERED)
def _plans(most: int, wants: Wants) -> tuple[tuple[LoadPlan, Rung], ...]:
    """The ladder without a device, for a model of which ``most`` tokens of context can be had."""
    wanted = min(wants.context, most)
    contexts, steps = [wanted], []
    while contexts[-1] > wants.minimum:
        contexts.append(max(wants.minimum, contexts[-1] // 2))
    for kv_type in wants.kv_types:
        for context in contexts:
            rung = Rung.QUANTISED_KV if kv_type is not wants.kv_types[0] else Rung.SMALLER_CONTEXT
            plan = LoadPlan(context=context, kv_type=kv_type, batch=wants.batch, parallel=wants.parallel)
            steps.append((plan, Rung.FULL if context == wanted and kv_type is wants.kv_types[0] else rung))
    return tuple(steps)


Free = tuple[tuple[str, int], ...]
"""Devices, and the predicted bytes each holds."""


def _free(wants: Wants, room: Room) -> Free:
    return tuple([(device.name, int(device.free / wants.stretch)) for device in room.devices])


@remembered(REMEMBERED)
def _whole(model: ModelProfile, plan: LoadPlan, rung: Rung, free: Free) -> Planned | None:
    """All layers where they belong: on the devices, if they hold them all, or where the backend puts them."""
    if not free:
        return Planned(plan, rung, {}, predict_footprint(model, plan))
    everything, layers = replace(plan, gpu_layers=-1), model.architecture.layers + 1 if model.architecture else -1
    for name, room in free if len(free) == 1 or layers < 0 else ():
        taken = predict_footprint(model, everything, device=name)
        if taken.devices[name] <= room:
            return Planned(everything, rung, {name: layers}, taken)
    if len(free) == 1 or layers < 0:
        return None
    held = _packed(model, plan, free)
    if sum(held.values()) < layers:
        return None
    return Planned(everything, rung, held, predict_footprint(model, everything, device=_shares(held)))


def _packed(model: ModelProfile, plan: LoadPlan, free: Free) -> dict[str, int]:
    """As many layers on every device as it holds, from the output on backwards over the last device to the first.

    Layers lie in a row and every device takes all it can: no other way holds more, and more room never holds less. A
    model whose layers nobody knows is not divided.
    """
    held: dict[str, int] = {}
    if model.architecture is None:
        return held
    for name, room in reversed(free):
        placed = sum(held.values())
        low, high = 0, model.architecture.layers + 2 - placed
        while low + 1 < high:
            middle = (low + high) // 2
            trial = replace(plan, gpu_layers=placed + middle)
            taken = predict_footprint(model, trial, device={name: float(middle), **held})
            low, high = (middle, high) if taken.devices[name] <= room else (low, middle)
        if low:
            held = {name: low, **held}
    return held


@remembered(REMEMBERED)
def _partly(model: ModelProfile, plan: LoadPlan, free: Free) -> Planned:
    held = _packed(model, plan, free)
    plan = replace(plan, gpu_layers=sum(held.values()))
    footprint = predict_footprint(model, plan, device=_shares(held)) if held else predict_footprint(model, plan)
    return Planned(plan, Rung.PARTIAL_OFFLOAD, held, footprint)


def _shares(held: Mapping[str, int]) -> dict[str, float]:
    return {name: float(layers) for name, layers in held.items()}
