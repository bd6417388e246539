"""The probe of this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, TypeVar

from mai_backends.probes.cgroup import Groups, MemoryLimit
from mai_backends.probes.kernel import FAULTS, Lie
from mai_backends.probes.memory import Memory, host_memory
from mai_backends.probes.pressure import read_pressure
from mai_backends.probes.processor import Processor
from mai_core.errors import SettingsError
from mai_core.plugin.interfaces import ProbeContext
from mai_core.policy.resources import Battery, HostReading, MemoryPool, PoolKind

__all__ = ["SystemProbe"]

log = logging.getLogger("mai.probes")
T = TypeVar("T")


class SystemProbe:
    """Memory, processor, pressure and battery of the machine Mai runs on, as far as this process may use them.

    A sensor that fails, or tells what cannot be, is left out of the reading and named in the log once.
    """

    kind: ClassVar[str] = "system"

    def __init__(
        self, context: ProbeContext, *, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")
    ) -> None:
        if context.options:
            raise SettingsError(
                f'probes.{context.name}: the system probe has no option "{next(iter(context.options))}"'
            )
        self.name = context.name
        self._proc = proc
        self._groups = Groups(proc, cgroups)
        self._processor = Processor()
        self._told: set[str] = set()

    def sample(self) -> HostReading:
        """What the sensors tell now: reads a dozen small files and never waits."""
        memory = self._ask("memory", lambda: host_memory(self._proc))
        limits = self._limits()
        quota = self._ask("cgroup cpu", self._groups.cores)
        binding = _binding(memory, limits)
        group = binding.folder if binding else None
        return HostReading(
            pools=() if memory is None else (_pool(memory, limits, binding),),
            cpu=self._ask("cpu", lambda: self._processor.read(quota)),
            pressure=self._ask("pressure", lambda: read_pressure(self._proc, group)),
            battery=self._ask("battery", _battery),
            swap_total=memory.swap_total if memory else 0,
            swap_free=memory.swap_free if memory else 0,
        )

    def _limits(self) -> list[MemoryLimit]:
        groups = self._ask("cgroups", lambda: list(self._groups.memory())) or []
        asked = (self._ask(f"memory limit of {folder}", read) for folder, read in groups)
        return [limit for limit in asked if limit is not None]

    def _ask(self, sensor: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except FAULTS as error:
            if sensor not in self._told:
                self._told.add(sensor)
                log.warning("sensor left out", extra={"probe": self.name, "sensor": sensor, "fault": str(error)})
            return None


def _binding(memory: Memory | None, limits: list[MemoryLimit]) -> MemoryLimit | None:
    """The limit that leaves less than the machine would; None when none does."""
    if memory is None:
        return None
    real = [limit for limit in limits if limit.limit < memory.total]
    return min(real, key=lambda limit: limit.room, default=None)


def _pool(memory: Memory, limits: list[MemoryLimit], binding: MemoryLimit | None) -> MemoryPool:
    if binding is None:
        return MemoryPool("ram", PoolKind.RAM, memory.total, memory.available)
    total = min(memory.total, *(limit.limit for limit in limits))
    available = min(memory.available, binding.room, total)
    return MemoryPool("ram", PoolKind.RAM, total, available, "cgroup")


def _battery() -> Battery | None:
    import psutil

    found = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    if found is None or found.power_plugged is None:
        return None
    if not 0.0 <= found.percent <= 100.0:
        raise Lie(f"a battery charged to {found.percent} percent")
    return Battery(found.percent / 100.0, bool(found.power_plugged))
