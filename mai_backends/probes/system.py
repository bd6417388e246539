"""The probe of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from mai_backends.probes.cgroup import Groups
from mai_backends.probes.kernel import Lie
from mai_backends.probes.main_memory import CGROUPS, PROC, read_main_memory
from mai_backends.probes.options import refuse_options
from mai_backends.probes.power import PowerMeter
from mai_backends.probes.pressure import read_pressure
from mai_backends.probes.processor import Processor
from mai_backends.probes.sensors import Sensors
from mai_backends.probes.stillness import Stillness
from mai_core.plugin.interfaces import ProbeContext
from mai_core.policy.resources import Battery, HostReading

__all__ = ["SystemProbe"]

SYSFS = Path("/sys")


class SystemProbe:
    """Memory, processor, pressure, battery and power of the machine Mai runs on, as far as this process may use them.

    A sensor that fails, or tells what cannot be, is left out of the reading and named among its faults.
    """

    kind: ClassVar[str] = "system"

    def __init__(
        self, context: ProbeContext, *, proc: Path = PROC, cgroups: Path = CGROUPS, sysfs: Path = SYSFS
    ) -> None:
        refuse_options(context, self.kind)
        self.name = context.name
        self._proc = proc
        self._groups = Groups(proc, cgroups)
        self._processor = Processor()
        self._stillness = Stillness(proc)
        self._power = PowerMeter(sysfs)

    def sample(self) -> HostReading:
        """What the sensors tell now: reads a dozen small files and never waits."""
        sensors = Sensors()
        memory = read_main_memory(sensors, self._groups, self._proc)
        if memory is not None and not sensors.ask("memory", self._stillness.moves):
            memory = None
        quota = sensors.ask("cgroup cpu", self._groups.cores)
        cpu = sensors.ask("cpu", lambda: self._processor.read(quota))
        if cpu is not None and self._processor.stands_still:
            sensors.leave_out("cpu", "its counters stand still; how busy it is follows from the load average")
        return HostReading(
            pools=() if memory is None else (memory.pool,),
            cpu=cpu,
            pressure=sensors.ask("pressure", lambda: read_pressure(self._proc, memory.group if memory else None)),
            battery=sensors.ask("battery", _battery),
            power=sensors.ask("power", self._power.read),
            swap_total=memory.swap_total if memory else 0,
            swap_free=memory.swap_free if memory else 0,
            faults=sensors.faults,
        )


def _battery() -> Battery | None:
    import psutil

    found = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    if found is None or found.power_plugged is None:
        return None
    if not 0.0 <= found.percent <= 100.0:
        raise Lie(f"a battery charged to {found.percent} percent")
    return Battery(found.percent / 100.0, bool(found.power_plugged))
