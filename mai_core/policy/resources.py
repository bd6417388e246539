"""What each machine has free. Every memory question names a pool on a host."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import exp

__all__ = ["Battery", "Cpu", "Host", "HostReading", "MemoryPool", "PoolKind", "Pressure", "ResourceSnapshot"]


SMOOTH_SECONDS = 15.0


class PoolKind(StrEnum):
    """Main memory, a GPU's own memory, or memory both share."""

    RAM = "ram"
    DEVICE = "device"
    UNIFIED = "unified"


@dataclass(frozen=True, slots=True)
class MemoryPool:
    """Bytes of one kind of memory.

    ``available`` is what a new process can take without swapping, caches the system would give up included.
    ``limited_by`` names what bounds it when that is not the hardware (``cgroup``).
    """

    name: str
    kind: PoolKind
    total: int
    available: int
    limited_by: str = ""


@dataclass(frozen=True, slots=True)
class Cpu:
    """``cores`` this process may use, and the share of them (0 to 1) that is ``busy``."""

    cores: int
    busy: float = 0.0

    @property
    def free_cores(self) -> int:
        """Cores a model can have without sharing, at least one."""
        return max(1, round(self.cores * (1.0 - self.busy)))

    def smoothed(self, before: Cpu | None, seconds: float) -> Cpu:
        """This reading blended with the one ``seconds`` earlier, so that a burst does not look like a busy machine.

        An exponential mean: what is older than ``SMOOTH_SECONDS`` counts for a third.
        """
        if before is None or before.cores != self.cores:
            return self
        weight = 1.0 - exp(-max(0.0, seconds) / SMOOTH_SECONDS)
        return replace(self, busy=before.busy + weight * (self.busy - before.busy))


@dataclass(frozen=True, slots=True)
class Pressure:
    """Share of the last ten seconds (0 to 1) in which work waited for memory: some of it, or all of it."""

    memory_some: float = 0.0
    memory_full: float = 0.0
    cpu_some: float = 0.0


@dataclass(frozen=True, slots=True)
class Battery:
    """``charge`` from 0 to 1."""

    charge: float
    plugged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReading:
    """What one probe knows about one host; what it cannot tell is left out."""

    host: str = "local"
    pools: tuple[MemoryPool, ...] = ()
    cpu: Cpu | None = None
    pressure: Pressure | None = None
    battery: Battery | None = None
    swap_total: int = 0
    swap_free: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One machine, merged from the readings of all probes."""

    name: str = "local"
    pools: tuple[MemoryPool, ...] = ()
    cpu: Cpu = Cpu(1)
    pressure: Pressure = Pressure()
    battery: Battery | None = None
    swap_total: int = 0
    swap_free: int = 0

    @property
    def ram(self) -> MemoryPool | None:
        """Main memory, or the memory main processor and GPU share."""
        return next((p for p in self.pools if p.kind is not PoolKind.DEVICE), None)


@dataclass(frozen=True, slots=True)
class ResourceSnapshot:
    """All known hosts at one moment.

    ``taken_at`` is in seconds of a monotonic clock. ``calm_seconds`` is how long no host has been in trouble;
    infinite when none was since Mai started.
    """

    hosts: tuple[Host, ...]
    taken_at: float = 0.0
    calm_seconds: float = float("inf")

    def host(self, name: str) -> Host | None:
        """The host of that name; None when no probe knows it."""
        return next((h for h in self.hosts if h.name == name), None)
