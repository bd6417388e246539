"""What control groups leave of a machine to this process: containers, systemd slices and batch systems use them.

A limit anywhere up the hierarchy binds, so every level is read, in version 2 and in version 1, also when the two are
mounted side by side. In a container the group's path may be the host's while only its own part is mounted: levels
that do not exist here are passed over, down to the root that does.

See the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mai_backends.probes.kernel import Lie, keyed, number, text, whole
from mai_core.policy.resources import MemoryUse

__all__ = ["Groups", "MemoryLimit"]

UNLIMITED = 2**62
"""Version 1 has no word for no limit, but a number no machine reaches."""


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """The bound of one group: its ``limit`` in bytes and the ``room`` left in it, page cache counted as room.

    ``swap_limit`` is how much of the machine's swap the group may use, None for all of it; ``swap_room`` what is left.
    """

    folder: Path
    limit: int
    room: int
    use: MemoryUse | None = None
    swap_limit: int | None = None
    swap_room: int = 0


class Groups:
    """The groups this process is in. ``proc`` and ``mounts`` are ``/proc`` and ``/sys/fs/cgroup``."""

    def __init__(self, proc: Path, mounts: Path) -> None:
        self.proc = proc
        self.mounts = mounts

    def memory(self) -> Iterator[tuple[Path, Callable[[], MemoryLimit | None]]]:
        """Every group that may bound memory, from this process's up, and what reads its bound.

        One that lies or cannot be read (``Lie``, ``OSError``) leaves the others their say.
        """
        unified, named = self._paths()
        if unified is not None:
            for folder in self._levels(("", "unified"), unified):
                yield folder, partial(_memory_v2, folder)
        if (path := named.get("memory")) is not None:
            for folder in self._levels(("memory",), path):
                yield folder, partial(_memory_v1, folder)

    def cores(self) -> float | None:
        """Cores' worth of time the tightest quota gives; None without one. Raises ``OSError`` or ``Lie``."""
        quotas: list[float] = []
        unified, named = self._paths()
        if unified is not None:
            for folder in self._levels(("", "unified"), unified):
                if (said := text(folder / "cpu.max")) is not None:
                    quota, _, period = said.strip().partition(" ")
                    quotas += _share(quota, period)
        if (path := named.get("cpu")) is not None:
            for folder in self._levels(("cpu", "cpu,cpuacct"), path):
                said, every = text(folder / "cpu.cfs_quota_us"), text(folder / "cpu.cfs_period_us")
                if said is not None and every is not None and said.strip() != "-1":
                    quotas += _share(said, every)
        return min(quotas, default=None)

    def _paths(self) -> tuple[str | None, dict[str, str]]:
        """This process's path in version 2, and for each controller in version 1."""
        unified: str | None = None
        named: dict[str, str] = {}
        for line in (text(self.proc / "self" / "cgroup") or "").splitlines():
            hierarchy, controllers, path = [*line.split(":", 2), "", ""][:3]
            if hierarchy == "0" and not controllers:
                unified = path
            else:
                named |= dict.fromkeys(controllers.split(","), path)
        return unified, named

    def _levels(self, mounts: tuple[str, ...], path: str) -> Iterator[Path]:
        """The group's folder and those above it, as far as they are visible here."""
        # A group outside of this namespace is shown with `..`: nothing below the root is known of it.
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if ".." in parts:
            parts = []
        for mount in mounts:
            root = self.mounts / mount
            if not root.is_dir():
                continue
            for depth in range(len(parts), -1, -1):
                folder = root.joinpath(*parts[:depth])
                if folder.is_dir():
                    yield folder


# What memory.stat calls anonymous, file pages, shared memory among those, and what the group gives up when it is short:
# pages of files, in recent use or not, as the kernel counts them for the whole machine in MemAvailable.
_V2 = ("anon", "file", "shmem", ("inactive_file", "active_file", "slab_reclaimable"))
_V1 = ("total_rss", "total_cache", "total_shmem", ("total_inactive_file", "total_active_file"))


def _memory_v2(folder: Path) -> MemoryLimit | None:
    # Above memory.high the kernel throttles the group to a crawl, so it bounds as memory.max does.
    limits = [limit for name in ("memory.max", "memory.high") if (limit := number(folder / name)) is not None]
    bound = _limit(folder, min(limits, default=None), "memory.current", _V2)
    swap = number(folder / "memory.swap.max")
    if bound is None or swap is None:
        return bound
    return replace(bound, swap_limit=swap, swap_room=max(0, swap - (number(folder / "memory.swap.current") or 0)))


def _memory_v1(folder: Path) -> MemoryLimit | None:
    limit = number(folder / "memory.limit_in_bytes")
    bounds = limit is not None and limit < UNLIMITED
    return _limit(folder, limit if bounds else None, "memory.usage_in_bytes", _V1)


def _limit(
    folder: Path, limit: int | None, usage: str, names: tuple[str, str, str, tuple[str, ...]]
) -> MemoryLimit | None:
    if limit is None or (current := number(folder / usage)) is None:
        return None
    anonymous, files, shared, caches = names
    stat = keyed(text(folder / "memory.stat") or "", frozenset({anonymous, files, shared, *caches}))
    reclaimable = sum(stat.get(name, 0) for name in caches)
    # Counters are folded now and then, so caches may seem larger than what is used.
    room = max(0, limit - max(0, current - reclaimable))
    use = MemoryUse(
        anonymous=stat.get(anonymous, 0) + stat.get(shared, 0),
        file_backed=max(0, stat.get(files, 0) - stat.get(shared, 0)),
        reclaimable=reclaimable,
        free=max(0, limit - current),
    )
    return MemoryLimit(folder, limit, min(limit, room), use)


def _share(quota: str, period: str) -> list[float]:
    if quota == "max":
        return []
    microseconds, every = whole(quota, "cpu quota"), whole(period, "cpu period")
    if not microseconds or not every or math.isinf(share := microseconds / every):
        raise Lie(f"a cpu quota of {microseconds} in {every} microseconds")
    return [share]
