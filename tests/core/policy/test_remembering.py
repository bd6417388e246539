"""What pure functions said is remembered by which object it was said of."""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass, replace

from mai_core.policy.footprint import footprint_parts, predict_footprint
from mai_core.policy.models import LoadPlan, ModelProfile
from mai_core.policy.remembering import remembered


@dataclass(frozen=True)
class Thing:
    size: int


def test_the_same_object_is_asked_once_and_an_equal_one_by_itself() -> None:
    asked: list[tuple[Thing, int]] = []

    @remembered(8)
    def grown(thing: Thing, by: int) -> int:
        asked.append((thing, by))
        return thing.size + by

    one, equal = Thing(1), Thing(1)
    assert [grown(one, 2), grown(one, 2), grown(one, 3), grown(equal, 2)] == [3, 3, 4, 3]
    assert len(asked) == 3
    assert asked[0][0] is one
    assert asked[2][0] is equal


def test_who_is_gone_is_never_taken_for_another() -> None:
    """Addresses are used again: as long as an answer is remembered, so is whom it is about."""

    @remembered(4)
    def size_of(thing: Thing) -> int:
        return thing.size

    assert [size_of(Thing(size)) for size in range(200)] == list(range(200))


def test_no_more_is_kept_than_was_said() -> None:
    @remembered(2)
    def size_of(thing: Thing) -> int:
        return thing.size

    things = [Thing(size) for size in range(5)]
    watched = [weakref.ref(thing) for thing in things]
    for thing in things:
        size_of(thing)
    del things, thing
    gc.collect()
    assert [ref() is not None for ref in watched] == [False, False, False, True, True]


def test_a_footprint_is_that_of_the_model_as_it_is() -> None:
    """What was said of a model is not said of one that differs in nothing but its weights, or of another plan."""
    model = ModelProfile(key="m", backend="b", location="m", size_bytes=4_000_000_000)
    for asked in (model, replace(model, size_bytes=2_000_000_000), model):
        for plan in (LoadPlan(context=2048), LoadPlan(context=4096), LoadPlan(context=4096, gpu_layers=-1)):
            for device in ("gpu0", {"gpu0": 1.0, "gpu1": 3.0}):
                parts = footprint_parts(asked, plan, device=device)
                told = predict_footprint(asked, plan, device=device)
                assert told.ram == sum(part.anonymous + part.file_backed for part in parts)
                assert told.total - told.ram == sum(size for part in parts for size in part.devices.values())
