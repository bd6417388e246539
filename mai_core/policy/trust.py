"""Whether a reading can be true. What cannot be is left out and named, so that the rest still counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from mai_core.policy.power import Power
from mai_core.policy.resources import Battery, Cpu, HostReading, MemoryPool, MemoryUse, Pressure

__all__ = ["Known", "judged"]

UNITS = tuple(float(base**power) for base in (1000, 1024) for power in (1, 2, 3))
UNIT_TOLERANCE = 1e-3
"""Share by which a figure may miss a factor between units and still be taken for it."""
DOUBTED_LOOKS = 15
"""Looks after which a figure that seemed to have changed its unit is believed: the hardware is another one."""
MOST_WATTS = 100_000.0
STILL_LOOKS = 5
STILL_BYTES = 64 * 1024**2
"""A pool whose processes moved by this while its own figure did not, over ``STILL_LOOKS``, stands still."""


@dataclass(frozen=True, slots=True)
class _Past:
    """What was believed of a pool: its last figures, for how many looks new ones were doubted, and it did not move."""

    total: int
    available: int
    held: int
    doubted: int = 0
    still: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of one probe between two looks; empty at first."""

    pools: Mapping[str, _Past] = field(default_factory=dict)


def judged(before: Known, reading: HostReading) -> tuple[Known, HostReading]:
    """What to remember, and the reading without what cannot be true, each part left out named in its ``faults``.

    Left out are figures that are negative, no numbers, shares outside of 0 to 1, more free than there is; a pool whose
    figures jump by the factor between two units, until they stay; and one that stands still while the processes in
    it move. A reading without any of that comes back equal.
    """
    past, faults = dict(before.pools), list(reading.faults)
    pools: dict[str, MemoryPool] = {}
    for pool in reading.pools:
        fault = _pool_fault(pool) or ("is told twice" if pool.name in pools else "")
        if not fault:
            wrong = list(_detail_faults(pool))
            faults += [f"{pool.name}: {why}" for _, _, why in wrong]
            cleaned = replace(pool, **{name: empty for name, empty, _ in wrong})  # type: ignore[arg-type]
            past[pool.name], fault = _compared(before.pools.get(pool.name), cleaned)
            pools |= {} if fault else {pool.name: cleaned}
        faults += [f"{getattr(pool, 'name', 'a pool')}: {fault}"] if fault else []
    left_out: dict[str, object] = {}
    for name, why in _other_faults(reading):
        faults.append(f"{name}: {why}")
        left_out |= {"swap_total": 0, "swap_free": 0} if name == "swap" else {name: None}
    kept = replace(reading, pools=tuple(pools.values()), faults=tuple(faults), **left_out)  # type: ignore[arg-type]
    return Known(past), kept


def _pool_fault(pool: object) -> str:
    if not isinstance(pool, MemoryPool):
        return f"is {type(pool).__name__}, not a MemoryPool"
    if not (_whole(pool.total) and _whole(pool.available)):
        return f"{pool.available!r} of {pool.total!r} bytes are no whole numbers"
    if pool.total <= 0 or not 0 <= pool.available <= pool.total:
        return f"{pool.available} of {pool.total} bytes available"
    return ""


def _detail_faults(pool: MemoryPool) -> Iterator[tuple[str, object, str]]:
    """What is wrong with a pool beside its size: the field, its value when it is left out, and the reason."""
    if pool.anonymous is not None and not (_whole(pool.anonymous) and pool.anonymous >= 0):
        yield "anonymous", None, f"{pool.anonymous!r} bytes for anonymous memory"
    if pool.use is not None and not _is_use(pool.use):
        yield "use", None, f"{pool.use} cannot be"
    if pool.busy is not None and not _is_share(pool.busy):
        yield "busy", None, f"busy {pool.busy!r} is no share from 0 to 1"
    if not all(_whole(holder.size) and 0 <= holder.size <= pool.total for holder in pool.held_by):
        yield "held_by", (), "a process holds more than there is"


def _is_use(use: MemoryUse) -> bool:
    return all(_whole(size) and size >= 0 for size in (use.anonymous, use.file_backed, use.reclaimable, use.free))


def _other_faults(reading: HostReading) -> Iterator[tuple[str, str]]:
    cpu, pressure, battery = reading.cpu, reading.pressure, reading.battery
    if cpu is not None and not (isinstance(cpu, Cpu) and _whole(cpu.cores) and cpu.cores >= 1 and _is_share(cpu.busy)):
        yield "cpu", f"{cpu} cannot be"
    if pressure is not None and not (
        isinstance(pressure, Pressure)
        and all(map(_is_share, (pressure.memory_some, pressure.memory_full, pressure.cpu_some)))
    ):
        yield "pressure", f"{pressure} cannot be"
    if battery is not None and not (isinstance(battery, Battery) and _is_share(battery.charge)):
        yield "battery", f"{battery} cannot be"
    power = reading.power
    if power is not None and not (
        isinstance(power, Power) and _is_watts(power.watts) and isinstance(power.source, str)
    ):
        yield "power", f"{power} cannot be"
    swap = reading.swap_total, reading.swap_free
    if not (all(map(_whole, swap)) and 0 <= reading.swap_free <= reading.swap_total):
        yield "swap", f"{reading.swap_free!r} of {reading.swap_total!r} bytes free"


def _compared(past: _Past | None, pool: MemoryPool) -> tuple[_Past, str]:
    """What to remember of a pool, and what is wrong with it beside what was believed before."""
    held = sum(holder.size for holder in pool.held_by)
    now = _Past(pool.total, pool.available, held)
    if past is None:
        return now, ""
    same = past.total == pool.total
    if (_other_unit(past.total, pool.total) or (same and _other_unit(past.available, pool.available))) and (
        past.doubted < DOUBTED_LOOKS
    ):
        said = f"{pool.available} of {pool.total} bytes after {past.available} of {past.total}"
        return replace(past, doubted=past.doubted + 1), f"{said}: that looks like another unit"
    if not pool.held_by or not same or past.available != pool.available:
        return now, ""
    # `held` stays what it was when the figure moved last.
    still = replace(past, doubted=0, still=past.still + 1)
    if still.still >= STILL_LOOKS and abs(held - past.held) > STILL_BYTES:
        moved = f"its processes hold {held} bytes after {past.held}"
        return still, f"{moved}, and {pool.available} bytes are available all the same: it stands still"
    return still, ""


def _other_unit(one: int, other: int) -> bool:
    if one <= 0 or other <= 0:
        return False
    ratio = max(one, other) / min(one, other)
    return any(abs(ratio / unit - 1.0) < UNIT_TOLERANCE for unit in UNITS)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_watts(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value <= MOST_WATTS


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value <= 1.0
