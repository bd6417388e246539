"""What a broken sensor may tell: readings that cannot be true."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from mai_core.policy.resources import (
    Battery,
    Cpu,
    Holder,
    HostReading,
    MemoryPool,
    MemoryUse,
    PoolKind,
    Pressure,
)

__all__ = ["lies", "other_units"]

NAN, INFINITE = float("nan"), float("inf")
NO_SHARES = (NAN, INFINITE, -INFINITE, -0.5, 1.5, 37.0)
NO_SIZES = (NAN, INFINITE, -1, -(2**40), 0.5)
GIB = 2**30


@st.composite
def _pools(draw: DrawFn) -> tuple[MemoryPool, bool]:
    """A pool that lies, and whether it lies about its size: then nothing of it counts."""
    total = draw(st.integers(1, 256 * GIB))
    sound = MemoryPool("lying", draw(st.sampled_from(PoolKind)), total, draw(st.integers(0, total)))
    no_size = draw(st.sampled_from(NO_SIZES))
    size: list[dict[str, Any]] = [
        {"available": no_size},
        {"available": total + draw(st.integers(1, GIB))},
        {"total": no_size},
        {"total": 0, "available": 0},
        {"total": -total, "available": -total},
    ]
    detail: list[dict[str, Any]] = [
        {"busy": draw(st.sampled_from(NO_SHARES))},
        {"anonymous": no_size},
        {"use": MemoryUse(free=no_size)},  # type: ignore[arg-type]
        {"held_by": (Holder(1, total + 1),)},
        {"held_by": (Holder(1, no_size),)},  # type: ignore[arg-type]
    ]
    about_size = draw(st.booleans())
    return replace(sound, **draw(st.sampled_from(size if about_size else detail))), about_size


def _parts() -> st.SearchStrategy[dict[str, object]]:
    no_share = st.sampled_from(NO_SHARES)
    return st.one_of(
        st.builds(lambda busy: {"cpu": Cpu(4, busy)}, no_share),
        st.builds(lambda cores: {"cpu": Cpu(cores)}, st.sampled_from((0, -4, NAN))),
        st.builds(lambda value: {"pressure": Pressure(memory_full=value)}, no_share),
        st.builds(lambda value: {"battery": Battery(value, True)}, no_share),
        st.builds(lambda total, more: {"swap_total": total, "swap_free": total + more}, st.integers(0, GIB), _some()),
        st.builds(lambda size: {"swap_total": size, "swap_free": 0}, st.sampled_from(NO_SIZES)),
    )


def _some() -> st.SearchStrategy[int]:
    return st.integers(1, GIB)


@st.composite
def lies(draw: DrawFn, reading: HostReading) -> tuple[HostReading, HostReading]:
    """``reading`` with one thing in it that cannot be true, and what has to be left of it, its faults aside."""
    if draw(st.booleans()):
        pool, about_size = draw(_pools())
        told = replace(reading, pools=(*reading.pools, pool))
        kept = replace(pool, busy=None, anonymous=None, use=None, held_by=())
        return told, reading if about_size else replace(reading, pools=(*reading.pools, kept))
    part = draw(_parts())
    empty = HostReading()
    return replace(reading, **part), replace(reading, **{name: getattr(empty, name) for name in part})  # type: ignore[arg-type]


@st.composite
def other_units(draw: DrawFn, reading: HostReading) -> HostReading:
    """``reading`` with the sizes of one of its pools in another unit; it has to have one."""
    factor = draw(st.sampled_from((1000, 1024))) ** draw(st.integers(1, 3))
    which = draw(st.integers(0, len(reading.pools) - 1))
    pools = list(reading.pools)
    pools[which] = replace(
        pools[which], total=pools[which].total * factor, available=pools[which].available * factor, held_by=()
    )
    return replace(reading, pools=tuple(pools))
