"""Main memory and swap of the whole machine, by kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mai_backends.probes.kernel import Lie, keyed, text
from mai_core.policy.resources import MemoryUse

__all__ = ["Memory", "host_memory"]

_USE = ("AnonPages", "Shmem", "Cached", "Buffers", "Active(file)", "Inactive(file)", "SReclaimable", "MemFree")
_COMMIT = ("CommitLimit", "Committed_AS")
_WANTED = frozenset({"MemTotal", "MemAvailable", "SwapTotal", "SwapFree", *_USE, *_COMMIT})
STRICT = "2"
"""``vm.overcommit_memory`` that grants no more anonymous memory than ``CommitLimit``."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of main memory and swap. ``available`` can be taken without swapping, droppable caches included.

    ``grantable`` is how much anonymous memory the kernel still grants, where it keeps count of that.
    """

    total: int
    available: int
    swap_total: int = 0
    swap_free: int = 0
    use: MemoryUse | None = None
    grantable: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.available <= self.total or not self.total:
            raise Lie(f"{self.available} of {self.total} bytes of memory available")
        if not 0 <= self.swap_free <= self.swap_total:
            raise Lie(f"{self.swap_free} of {self.swap_total} bytes of swap free")
        if self.use is not None and self.use.free > self.total:
            raise Lie(f"{self.use.free} of {self.total} bytes of memory free")


def host_memory(proc: Path) -> Memory:
    """What Linux says in ``meminfo``, or psutil elsewhere. Raises ``Lie`` or ``OSError``.

    See proc_meminfo(5) and, for what counts as available, ``si_mem_available`` of the kernel's mm/show_mem.c.
    """
    said = text(proc / "meminfo")
    if said is None:
        return _elsewhere()
    values = keyed(said, _WANTED)
    if "MemTotal" not in values:
        raise Lie("meminfo has no MemTotal")
    available = values.get("MemAvailable")
    return Memory(
        values["MemTotal"],
        _estimate(values) if available is None else available,
        values.get("SwapTotal", 0),
        values.get("SwapFree", 0),
        _use(values) if "AnonPages" in values else None,
        _grantable(proc, values),
    )


def _estimate(values: Mapping[str, int]) -> int:
    """Kernels before 3.14 have no MemAvailable; what is free or cached, and not shared memory, is the nearest to it."""
    cached = sum(values.get(name, 0) for name in ("MemFree", "Buffers", "Cached"))
    return max(0, cached - values.get("Shmem", 0))


def _use(values: Mapping[str, int]) -> MemoryUse:
    # Shared memory is counted as cached and, like what is anonymous, has no file to be read from again.
    shared = values.get("Shmem", 0)
    files = values.get("Cached", 0) + values.get("Buffers", 0) - shared
    return MemoryUse(
        anonymous=values["AnonPages"] + shared,
        file_backed=max(0, files),
        reclaimable=sum(values.get(name, 0) for name in ("Active(file)", "Inactive(file)", "SReclaimable")),
        free=values.get("MemFree", 0),
    )


def _grantable(proc: Path, values: Mapping[str, int]) -> int | None:
    strict = (text(proc / "sys" / "vm" / "overcommit_memory") or "").strip() == STRICT
    if not strict or not all(name in values for name in _COMMIT):
        return None
    return max(0, values["CommitLimit"] - values["Committed_AS"])


def _elsewhere() -> Memory:
    import psutil

    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return Memory(memory.total, memory.available, swap.total, swap.free)
