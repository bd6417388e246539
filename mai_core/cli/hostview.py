"""One machine in ``mai status``: its memory, processor and GPUs, and what of them is free."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mai_core.cli.output import ink, share, size
from mai_core.cli.tables import table
from mai_core.policy.resources import PoolKind

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from mai_core.policy.resources import Host, MemoryPool

__all__ = ["host_view"]

BAR = 24
HOLDERS = 3


def host_view(host: Host, *, alone: bool) -> Table:
    """A row for every kind of memory, the processor, pressure and battery."""
    name = "Machine" if alone else host.name
    made = table(name, " ", "Free", "Of", "", right=("Free", "Of"), wrap=("",), drop=(" ",))
    for pool in host.pools:
        used = 1 - pool.available / pool.total if pool.total else 0.0
        remark = ink((" · ".join(_remarks(pool)), "dim"))
        made.add_row(pool.name, _bar(used), size(pool.available), size(pool.total), remark)
    if host.swap_total:
        used = 1 - host.swap_free / host.swap_total
        made.add_row("swap", _bar(used), size(host.swap_free), size(host.swap_total), "")
    cores = f"{host.cpu.cores} core" + ("" if host.cpu.cores == 1 else "s")
    made.add_row("cpu", _bar(host.cpu.busy), share(1 - host.cpu.busy), cores, "")
    pressure = host.pressure
    made.add_row(
        "pressure",
        _bar(pressure.memory_some),
        "",
        "",
        ink((f"waiting for memory {share(pressure.memory_some)}, all work {share(pressure.memory_full)}", "dim")),
    )
    if host.battery is not None:
        state = "plugged in" if host.battery.plugged else "on battery"
        made.add_row(
            "battery", _bar(host.battery.charge, good=True), share(host.battery.charge), "", ink((state, "dim"))
        )
    if host.power is not None:
        seen = _POWER_SOURCES.get(host.power.source, host.power.source)
        made.add_row("power", "", f"{host.power.watts:.0f} W", "", ink((seen, "dim")))
    return made


_POWER_SOURCES = {
    "rapl": "drawn now, by the processor's energy counters",
    "battery": "drawn now by the whole machine, from its battery",
}


def _remarks(pool: MemoryPool) -> Iterator[str]:
    """What there is to say of a pool beside its size, in words."""
    if pool.label:
        yield pool.label
    if pool.kind is PoolKind.UNIFIED:
        yield "part of main memory"
    if pool.limited_by:
        yield f"limited by {pool.limited_by}"
    if pool.anonymous_available < pool.available:
        yield f"{size(pool.anonymous_available)} of it for more than files (ulimit -d or strict overcommit)"
    if (use := pool.use) is not None:
        yield f"programs {size(use.anonymous)}, files {size(use.file_backed)}, given up at need {size(use.reclaimable)}"
    if pool.busy is not None:
        yield f"{share(pool.busy)} busy"
    if pool.held_by:
        held = (f"{holder.name or f'process {holder.pid}'} {size(holder.size)}" for holder in pool.held_by[:HOLDERS])
        more = len(pool.held_by) - HOLDERS
        yield ", ".join(held) + (f" and {more} more" if more > 0 else "")


def _bar(value: float, *, good: bool = False) -> Text:
    value = min(1.0, max(0.0, value))
    full = round(value * BAR)
    level = 1 - value if good else value
    colour = "green" if level < 0.7 else "yellow" if level < 0.9 else "red"
    return ink(("━" * full, colour), ("─" * (BAR - full), "bright_black"))
