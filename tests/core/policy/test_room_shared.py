"""Main memory that a model holds through a GPU that shares it comes back with the model."""

from __future__ import annotations

from dataclasses import replace

from mai_core.policy.feasibility import Limits, spendable
from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import Footprint, LoadedModel, LoadPlan, ModelProfile, Promise
from mai_core.policy.resources import Host, MemoryPool, PoolKind, ResourceSnapshot
from mai_core.policy.room import Room, room_for
from mai_core.policy.situation import Situation

GIB = 2**30
LIMITS = Limits(headroom=0.0, headroom_min=0, headroom_max=0)
MODEL = ModelProfile(key="wanted", backend="embedded", location="wanted", size_bytes=GIB)
PLAN = LoadPlan(context=1024, gpu_layers=-1)
HELD = Footprint(GIB // 4, 0, {"gpu0": 4 * GIB})


def machine(available: int) -> Host:
    shared = MemoryPool("gpu0", PoolKind.UNIFIED, 12 * GIB, 8 * GIB)
    return Host(pools=(MemoryPool("ram", PoolKind.RAM, 16 * GIB, available), shared))


def room(*, loaded: tuple[LoadedModel, ...] = (), promised: tuple[Promise, ...] = ()) -> Room:
    host = machine(8 * GIB)
    situation = Situation(
        models=(MODEL,),
        snapshot=ResourceSnapshot((host,)),
        features=TaskFeatures(),
        limits=LIMITS,
        loaded=loaded,
        promised=promised,
    )
    return room_for(MODEL, situation)


def instance(*, leased: bool = False) -> LoadedModel:
    return LoadedModel(instance="x", key="other", backend="embedded", plan=PLAN, footprint=HELD, leased=leased)


def test_what_idles_returns_all_it_holds() -> None:
    found = room(loaded=(instance(),))
    assert found.ram == found.anonymous == 8 * GIB + GIB // 4 + 4 * GIB
    assert found.devices[0].free == 12 * GIB
    assert spendable(machine(8 * GIB), (instance(),), LIMITS) == found.ram


def test_what_answers_returns_nothing() -> None:
    found = room(loaded=(instance(leased=True),))
    assert (found.ram, found.devices[0].free) == (8 * GIB, 8 * GIB)


def test_what_is_promised_is_taken_of_both() -> None:
    found = room(promised=(Promise("other", "local", HELD, PLAN),))
    assert found.ram == found.anonymous == 8 * GIB - GIB // 4 - 4 * GIB
    assert found.devices[0].free == 4 * GIB


def test_a_model_on_its_way_does_not_stand_in_its_own_way() -> None:
    """The models of a host share its room, but for the one that a promise is to."""
    coming = replace(MODEL, key="other")
    situation = Situation(
        models=(MODEL, coming),
        snapshot=ResourceSnapshot((machine(8 * GIB),)),
        features=TaskFeatures(),
        limits=LIMITS,
        promised=(Promise("other", "local", HELD, PLAN),),
    )
    beside, own, again = (room_for(model, situation) for model in (MODEL, coming, MODEL))
    assert own.devices[0].free == 8 * GIB
    assert beside == again
    assert beside.devices[0].free == 4 * GIB
