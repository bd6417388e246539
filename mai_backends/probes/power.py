"""What this machine draws now: from the energy counters of its processor, else from its battery.

The counters (RAPL: Intel's since Sandy Bridge, AMD's since Zen, both under Linux's ``powercap``) hold what processor
and memory took, in microjoules, and begin again at ``max_energy_range_uj``. Kernels since 5.10 show them to root alone
(CVE-2020-8694). A battery tells what the whole machine takes from it, and nothing while it is charged.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from mai_backends.probes.kernel import Lie, number, text
from mai_core.policy.power import Power

__all__ = ["PowerMeter"]

log = logging.getLogger("mai.probes")

LEAST_SECONDS = 0.5
"""Counters move about once a millisecond: over less time than this a mean says nothing of the work that is done."""


class PowerMeter:
    """Reads mean watts since the last reading. ``clock`` gives seconds and never goes back."""

    def __init__(self, sysfs: Path = Path("/sys"), *, clock: Callable[[], float] = time.monotonic) -> None:
        self._counters = sysfs / "class" / "powercap"
        self._supplies = sysfs / "class" / "power_supply"
        self._clock = clock
        self._before: tuple[float, Mapping[Path, int]] | None = None
        self._last: Power | None = None
        self._refused = False

    def read(self) -> Power | None:
        """What is drawn; None where nothing tells, or not yet. Raises ``Lie`` or ``OSError``."""
        zones = [] if self._refused else self._zones()
        try:
            return self._of_counters(zones) if zones else self._of_batteries()
        except PermissionError:
            self._refused = True
            log.info("the processor's energy counters are for root alone", extra={"folder": str(self._counters)})
            return self._of_batteries()

    def _zones(self) -> list[Path]:
        """The counters to add up: the whole platform's where there is one, else every package with its memory.

        Cores and graphics are parts of their package; ``intel-rapl-mmio`` shows the same packages again.
        """
        if not self._counters.is_dir():
            return []
        top = [zone for zone in sorted(self._counters.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        if platform := [zone for zone in top if _name(zone) == "psys"]:
            return platform
        packages = [zone for zone in top if _name(zone).startswith("package")]
        inside = (part for zone in packages for part in sorted(self._counters.glob(f"{zone.name}:*")))
        return [*packages, *(part for part in inside if _name(part) == "dram")]

    def _of_counters(self, zones: list[Path]) -> Power | None:
        now = self._clock()
        counted = {zone: count for zone in zones if (count := number(zone / "energy_uj")) is not None}
        if self._before is None or self._before[1].keys() != counted.keys():
            self._before, self._last = (now, counted), None
            return None
        since, before = self._before
        if now - since < LEAST_SECONDS:
            return self._last
        joules = sum(_moved(zone, before[zone], count) for zone, count in counted.items()) / 1e6
        self._before, self._last = (now, counted), Power(joules / (now - since), "rapl")
        return self._last

    def _of_batteries(self) -> Power | None:
        if not self._supplies.is_dir():
            return None
        drawn = [watts for supply in sorted(self._supplies.iterdir()) if (watts := _battery_watts(supply)) is not None]
        return Power(sum(drawn), "battery") if drawn else None


def _name(zone: Path) -> str:
    return (text(zone / "name") or "").strip()


def _moved(zone: Path, before: int, now: int) -> int:
    """Microjoules between two counts; a counter that went back has begun again."""
    if now >= before:
        return now - before
    limit = number(zone / "max_energy_range_uj")
    if limit is None or before > limit:
        raise Lie(f"{zone.name} went back from {before} to {now} microjoules")
    return now + limit - before


def _battery_watts(supply: Path) -> float | None:
    """What leaves a battery, from its power or from its current and voltage, in millionths; some tell it below 0."""
    if (text(supply / "type") or "").strip() != "Battery" or (text(supply / "scope") or "").strip() == "Device":
        return None
    if (text(supply / "status") or "").strip() != "Discharging":
        return None
    if (power := _magnitude(supply / "power_now")) is not None:
        return power / 1e6
    current, voltage = _magnitude(supply / "current_now"), _magnitude(supply / "voltage_now")
    return None if current is None or voltage is None else current * voltage / 1e12


def _magnitude(file: Path) -> int | None:
    said = text(file)
    if said is None:
        return None
    try:
        return abs(int(said))
    except ValueError:
        raise Lie(f"{file.name} says {said.strip()[:40]!r}") from None
