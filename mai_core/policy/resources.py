"""What each machine has free. Every memory question names a pool on a host."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import exp

from mai_core.policy.power import Power

__all__ = [
    "Battery",
    "Cpu",
    "Holder",
    "Host",
    "HostReading",
    "MemoryPool",
    "MemoryUse",
    "PoolKind",
    "Pressure",
    "ResourceSnapshot",
]


SMOOTH_SECONDS = 15.0


class PoolKind(StrEnum):
    """Main memory, a GPU's own memory, or the part of main memory a GPU may take too.

    What is taken of a ``UNIFIED`` pool beside one of ``RAM`` is taken of both.
    """

    RAM = "ram"
    DEVICE = "device"
    UNIFIED = "unified"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryUse:
    """What main memory is used for, in bytes. The parts overlap and leave out the kernel's own.

    anonymous    private memory of programs and what they share without a file: only swap could take it
    file_backed  pages of files, in use or cached
    reclaimable  what of those and of the kernel's caches is given up to whoever needs it
    free         nobody's
    """

    anonymous: int = 0
    file_backed: int = 0
    reclaimable: int = 0
    free: int = 0


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds ``size`` bytes of a pool; ``name`` is empty where it cannot be seen from here."""

    pid: int
    size: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class MemoryPool:
    """Bytes of one kind of memory. GPUs are pools ``gpu0``, ``gpu1``, ...; their partitions ``gpu0.0``, ``gpu0.1``.

    ``available`` is what a new process can take without swapping, caches the system would give up included; its
    file-backed pages may take all of it. ``anonymous`` is how much of it may be anonymous, where a limit that spares
    mapped files (``ulimit -d``, strict overcommit) says less. ``limited_by`` names what bounds the pool when that is
    not the hardware (``cgroup``).

    label     what a person calls the hardware
    use       what it is used for, where that is known
    held_by   the processes that hold most of it, the largest first, where that is known
    busy      share (0 to 1) of the last moment in which the pool's own processor worked; None where nobody tells
    """

    name: str
    kind: PoolKind
    total: int
    available: int
    limited_by: str = ""
    label: str = ""
    anonymous: int | None = None
    use: MemoryUse | None = None
    held_by: tuple[Holder, ...] = ()
    busy: float | None = None

    @property
    def anonymous_available(self) -> int:
        """Bytes of anonymous memory a new process can take without swapping."""
        return self.available if self.anonymous is None else min(self.anonymous, self.available)


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

    def since(self, before: Cpu, seconds: float) -> Cpu:
        """What a smoothed reading says of the ``seconds`` since ``before`` alone: ``smoothed`` undone."""
        weight = 1.0 - exp(-max(0.0, seconds) / SMOOTH_SECONDS)
        if not weight or before.cores != self.cores:
            return self
        return replace(self, busy=min(1.0, max(0.0, before.busy + (self.busy - before.busy) / weight)))


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
    """What one probe knows about one host; what it cannot tell is left out.

    ``faults`` say of every sensor that should have told something and did not, what was wrong: "memory: ...".
    """

    host: str = "local"
    pools: tuple[MemoryPool, ...] = ()
    cpu: Cpu | None = None
    pressure: Pressure | None = None
    battery: Battery | None = None
    swap_total: int = 0
    swap_free: int = 0
    power: Power | None = None
    faults: tuple[str, ...] = ()


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
    power: Power | None = None

    @property
    def ram(self) -> MemoryPool | None:
        """Main memory; where no probe tells of it, the memory main processor and GPU share."""
        unified = None
        for pool in self.pools:
            if pool.kind is PoolKind.RAM:
                return pool
            if unified is None and pool.kind is PoolKind.UNIFIED:
                unified = pool
        return unified


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
        for host in self.hosts:
            if host.name == name:
                return host
        return None
