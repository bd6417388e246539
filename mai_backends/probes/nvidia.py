"""The probe of NVIDIA's GPUs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from mai_backends.probes.cgroup import Groups
from mai_backends.probes.holders import largest
from mai_backends.probes.kernel import text
from mai_backends.probes.main_memory import CGROUPS, PROC, read_main_memory
from mai_backends.probes.nvml import DriverFault, Gpu, Session, open_session
from mai_backends.probes.options import refuse_options
from mai_backends.probes.sensors import Sensors
from mai_core.plugin.interfaces import ProbeContext
from mai_core.policy.resources import HostReading, MemoryPool, PoolKind

__all__ = ["NvidiaProbe"]

PCI = Path("/sys/bus/pci/devices")
ABSENT_SECONDS = 60.0
"""After which a driver that was not there is looked for again."""
REST_SECONDS = 15.0
"""An idle GPU that may fall asleep is left alone for so long: being asked would keep it awake and draw a battery."""


class NvidiaProbe:
    """Memory, processes and load of every NVIDIA GPU, or of its partitions; silent where there is no driver.

    The driver may hang, and then so does a sample: the monitor goes on without it.
    """

    kind: ClassVar[str] = "nvidia"

    def __init__(
        self,
        context: ProbeContext,
        *,
        proc: Path = PROC,
        cgroups: Path = CGROUPS,
        pci: Path = PCI,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        refuse_options(context, self.kind)
        self.name = context.name
        self._proc, self._groups, self._pci = proc, Groups(proc, cgroups), pci
        self._clock = clock
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._gpus: list[Gpu] = []
        self._not_before = float("-inf")

    def sample(self) -> HostReading:
        """What the driver tells now. Raises ``DriverFault`` when it is there and refuses everything."""
        with self._lock:
            if self._clock() < self._not_before or self._all_asleep():
                return self._reading(Sensors())
            if self._session is None:
                self._session = open_session()
            if self._session is None:
                self._not_before = self._clock() + ABSENT_SECONDS
                self._gpus = []
                return HostReading()
            sensors = Sensors()
            try:
                self._gpus = self._session.gpus(sensors)
            except DriverFault:
                self._release()
                raise
            if self._may_sleep() and not sensors.faults:
                self._release()
                self._not_before = self._clock() + REST_SECONDS
            return self._reading(sensors)

    def close(self) -> None:
        """End the session with the driver."""
        with self._lock:
            self._release()

    def _release(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _power(self, file: str) -> list[str]:
        buses = [gpu.bus for gpu in self._gpus if gpu.bus]
        return [(text(self._pci / bus / "power" / file) or "").strip() for bus in buses]

    def _all_asleep(self) -> bool:
        """What sleeps holds nothing: all of its memory is free, and nobody wakes it to say so."""
        states = self._power("runtime_status")
        if not states or any(state != "suspended" for state in states):
            return False
        self._gpus = [replace(gpu, free=gpu.total or 0, busy=0.0, holders={}) for gpu in self._gpus]
        return True

    def _may_sleep(self) -> bool:
        idle = all(not gpu.busy and not gpu.holders for gpu in self._gpus)
        return idle and "auto" in self._power("control")

    def _reading(self, sensors: Sensors) -> HostReading:
        pools = (self._pool(gpu) for gpu in self._gpus)
        return HostReading(pools=tuple(pool for pool in pools if pool is not None), faults=sensors.faults)

    def _pool(self, gpu: Gpu) -> MemoryPool | None:
        held = largest(gpu.holders, self._proc)
        if gpu.total is not None:
            kind, total, free, limited_by = PoolKind.DEVICE, gpu.total, gpu.free, ""
        else:
            # What is wrong with main memory is the system probe's to tell.
            main = read_main_memory(Sensors(), self._groups, self._proc)
            if main is None:
                return None
            kind, limited_by = PoolKind.UNIFIED, main.pool.limited_by
            total, free = main.pool.total, main.pool.available
        return MemoryPool(gpu.name, kind, total, free, limited_by, gpu.label, held_by=held, busy=gpu.busy)
