"""Readings that cannot be true, and what is left of them. The laws over any lie run in the suite for probes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from mai_core.policy.resources import Cpu, Holder, HostReading, MemoryPool, MemoryUse, PoolKind
from mai_core.policy.trust import DOUBTED_LOOKS, STILL_BYTES, STILL_LOOKS, Known, judged
from mai_core.testing.worlds import readings

GIB = 2**30
RAM = MemoryPool("ram", PoolKind.RAM, 16 * GIB, 8 * GIB)
GPU = MemoryPool("gpu0", PoolKind.DEVICE, 24 * GIB, 20 * GIB, held_by=(Holder(7, 3 * GIB),))


def faults(*pools: MemoryPool, known: Known | None = None) -> tuple[str, ...]:
    return judged(known or Known(), HostReading(pools=pools))[1].faults


@given(readings())
def test_what_can_be_true_comes_back_as_it_is(reading: HostReading) -> None:
    known, kept = judged(Known(), reading)
    assert kept == reading
    assert judged(known, reading)[1] == reading, "and again"


def test_what_the_probe_says_of_its_sensors_is_passed_on() -> None:
    assert judged(Known(), HostReading(faults=("battery: gone",)))[1].faults == ("battery: gone",)


@pytest.mark.parametrize(
    ("pool", "fault"),
    [
        (replace(RAM, available=17 * GIB), f"ram: {17 * GIB} of {16 * GIB} bytes available"),
        (replace(RAM, available=-1), f"ram: -1 of {16 * GIB} bytes available"),
        (replace(RAM, total=float("nan")), f"ram: {8 * GIB} of nan bytes are no whole numbers"),  # type: ignore[arg-type]
        (replace(RAM, busy=1.01), "ram: busy 1.01 is no share from 0 to 1"),
        (replace(RAM, anonymous=-5), "ram: -5 bytes for anonymous memory"),
        (replace(GPU, held_by=(Holder(1, 25 * GIB),)), "gpu0: a process holds more than there is"),
        ("ram", "a pool: is str, not a MemoryPool"),
    ],
)
def test_a_lie_is_told_in_words(pool: MemoryPool, fault: str) -> None:
    assert faults(pool) == (fault,)


def test_a_wrong_detail_costs_the_detail_alone() -> None:
    _, kept = judged(Known(), HostReading(pools=(replace(RAM, busy=7.0, use=MemoryUse(free=-1)),), cpu=Cpu(4)))
    assert kept.pools == (RAM,)
    assert len(kept.faults) == 2
    assert kept.cpu == Cpu(4)


def test_a_pool_told_twice_counts_once() -> None:
    assert faults(RAM, replace(RAM, available=0)) == ("ram: is told twice",)


def looks(*pools: MemoryPool) -> list[bool]:
    """Whether each of these looks at one pool after the other is believed."""
    known, believed = Known(), []
    for pool in pools:
        known, kept = judged(known, HostReading(pools=(pool,)))
        believed.append(bool(kept.pools))
        assert bool(kept.faults) is not bool(kept.pools)
    return believed


@pytest.mark.parametrize("factor", [1000, 1024, 1024**2, 1024**3])
def test_sizes_in_another_unit_are_not_believed_until_they_are_back(factor: int) -> None:
    other = replace(RAM, total=RAM.total // factor, available=RAM.available // factor)
    assert looks(RAM, other, other, RAM, RAM) == [True, False, False, True, True]


def test_free_memory_alone_in_another_unit_is_not_believed() -> None:
    assert looks(RAM, replace(RAM, available=RAM.available // 1024), RAM) == [True, False, True]


def test_memory_that_runs_out_is_believed() -> None:
    left = [replace(RAM, available=size) for size in (8 * GIB, 100 * 2**20, 3 * 2**20, 0, 8 * GIB)]
    assert all(looks(*left))


def test_hardware_that_is_another_from_now_on_is_believed_in_the_end() -> None:
    other = replace(RAM, total=RAM.total * 1024, available=RAM.available)
    assert looks(RAM, *[other] * (DOUBTED_LOOKS + 3)) == [True, *[False] * DOUBTED_LOOKS, True, True, True]


def test_a_limit_that_changes_is_believed() -> None:
    assert all(looks(RAM, replace(RAM, total=4 * GIB, available=GIB), RAM))


def test_a_pool_that_stands_still_while_its_processes_move_is_left_out() -> None:
    moved = replace(GPU, held_by=(Holder(7, 3 * GIB), Holder(8, STILL_BYTES + 1)))
    told = looks(*[GPU] * STILL_LOOKS, *[moved] * 2, replace(moved, available=GPU.available - STILL_BYTES))
    assert told == [True] * STILL_LOOKS + [False] * 2 + [True]


def test_an_idle_pool_may_look_the_same_for_ever() -> None:
    assert all(looks(*[GPU] * 50))
    assert all(looks(*[replace(GPU, held_by=())] * 50))
    stirring = [replace(GPU, held_by=(Holder(7, 3 * GIB + step % 2 * 2**20),)) for step in range(50)]
    assert all(looks(*stirring)), "processes that hardly move prove nothing"
