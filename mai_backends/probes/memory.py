"""Main memory and swap of the whole machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mai_backends.probes.kernel import Lie, keyed, text

__all__ = ["Memory", "host_memory"]

_ESTIMATE = ("MemFree", "Buffers", "Cached")
_WANTED = frozenset({"MemTotal", "MemAvailable", "SwapTotal", "SwapFree", *_ESTIMATE})


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of main memory and swap. ``available`` can be taken without swapping, droppable caches included."""

    total: int
    available: int
    swap_total: int = 0
    swap_free: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.available <= self.total or not self.total:
            raise Lie(f"{self.available} of {self.total} bytes of memory available")
        if not 0 <= self.swap_free <= self.swap_total:
            raise Lie(f"{self.swap_free} of {self.swap_total} bytes of swap free")


def host_memory(proc: Path) -> Memory:
    """What Linux says in ``meminfo``, or psutil elsewhere. Raises ``Lie`` or ``OSError``."""
    said = text(proc / "meminfo")
    if said is None:
        return _elsewhere()
    values = keyed(said, _WANTED)
    if "MemTotal" not in values:
        raise Lie("meminfo has no MemTotal")
    # Kernels before 3.14 have no MemAvailable; what is free or cached is the nearest to it.
    available = values.get("MemAvailable", sum(values.get(name, 0) for name in _ESTIMATE))
    return Memory(values["MemTotal"], available, values.get("SwapTotal", 0), values.get("SwapFree", 0))


def _elsewhere() -> Memory:
    import psutil

    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return Memory(memory.total, memory.available, swap.total, swap.free)
