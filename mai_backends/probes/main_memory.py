"""Main memory as far as this process may use it: the machine's, bound by control groups and process limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mai_backends.probes.cgroup import Groups, MemoryLimit
from mai_backends.probes.kernel import text
from mai_backends.probes.limits import ProcessLimits, process_limits
from mai_backends.probes.memory import Memory, host_memory
from mai_backends.probes.sensors import Sensors
from mai_core.policy.resources import MemoryPool, PoolKind

__all__ = ["MainMemory", "read_main_memory"]

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class MainMemory:
    """The pool ``ram`` and the swap beside it. ``group`` is the control group that bounds it, if one does."""

    pool: MemoryPool
    swap_total: int
    swap_free: int
    group: Path | None = None


def read_main_memory(sensors: Sensors, groups: Groups, proc: Path) -> MainMemory | None:
    """What a new process can take here now; None when the machine's own memory cannot be read."""
    memory = sensors.ask("memory", lambda: host_memory(proc))
    bounds = _bounds(sensors, groups)
    process = sensors.ask("process limits", lambda: process_limits(proc)) or ProcessLimits()
    virtual = sensors.ask("kernel release", lambda: _virtual_machine(proc)) or ""
    if memory is None:
        return None
    bounds = [bound for bound in bounds if bound.limit < memory.total]
    tightest = min(bounds, key=lambda bound: bound.room, default=None)
    total = min([memory.total, *(bound.limit for bound in bounds)])
    available, limited_by = memory.available, virtual
    if tightest is not None:
        available, limited_by = min(available, tightest.room, total), "cgroup"
    if process.address_space is not None and process.address_space < available:
        available, limited_by = process.address_space, "ulimit -v"
    pool = MemoryPool(
        "ram",
        PoolKind.RAM,
        total,
        available,
        limited_by,
        anonymous=_anonymous(available, memory, process),
        use=tightest.use if tightest is not None else memory.use,
    )
    swap_total, swap_free = _swap(memory, bounds)
    return MainMemory(pool, swap_total, swap_free, tightest.folder if tightest is not None else None)


def _bounds(sensors: Sensors, groups: Groups) -> list[MemoryLimit]:
    found = sensors.ask("cgroups", lambda: list(groups.memory())) or []
    asked = (sensors.ask(f"memory limit of {folder}", read) for folder, read in found)
    return [bound for bound in asked if bound is not None]


def _anonymous(available: int, memory: Memory, process: ProcessLimits) -> int | None:
    """What of ``available`` may be anonymous; None for all of it."""
    least = min((limit for limit in (memory.grantable, process.data) if limit is not None), default=available)
    return least if least < available else None


def _swap(memory: Memory, bounds: list[MemoryLimit]) -> tuple[int, int]:
    """The machine's swap, or what its groups leave of it."""
    total, free = memory.swap_total, memory.swap_free
    for bound in bounds:
        if bound.swap_limit is not None and bound.swap_limit < total:
            total, free = bound.swap_limit, min(free, bound.swap_room)
    return total, min(total, free)


def _virtual_machine(proc: Path) -> str:
    """``WSL2`` where Windows decides how much of its memory this system has: its kernels have that in their name."""
    release = (text(proc / "sys" / "kernel" / "osrelease") or "").lower()
    return "WSL2" if "microsoft" in release and "wsl2" in release else ""
