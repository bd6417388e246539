"""Power by energy counters and batteries, on simulated trees of sysfs. Never run on real hardware."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mai_backends.probes import power
from mai_backends.probes.kernel import Lie
from mai_backends.probes.power import PowerMeter
from mai_core.policy.power import Power
from mai_core.testing import FakeClock


class Machine:
    def __init__(self, root: Path) -> None:
        self.root = root / "sys"
        self.clock = FakeClock(100.0)
        self.meter = PowerMeter(self.root, clock=self.clock)

    def zone(self, name: str, called: str, joules: float, limit: float = 262143.0) -> None:
        self.put(f"powercap/{name}", name=called, energy_uj=round(joules * 1e6), max_energy_range_uj=round(limit * 1e6))

    def supply(self, name: str, **files: object) -> None:
        self.put(f"power_supply/{name}", **files)

    def put(self, folder: str, **files: object) -> None:
        place = self.root / "class" / folder
        place.mkdir(parents=True, exist_ok=True)
        for name, value in files.items():
            (place / name).write_text(f"{value}\n")

    def after(self, seconds: float) -> Power | None:
        self.clock.advance(seconds)
        return self.meter.read()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_packages_and_their_memory_are_added_and_nothing_counts_twice(machine: Machine) -> None:
    machine.zone("intel-rapl:0", "package-0", 1000)
    machine.zone("intel-rapl:0:0", "core", 500)
    machine.zone("intel-rapl:0:1", "dram", 100)
    machine.zone("intel-rapl:1", "package-1", 2000)
    machine.zone("intel-rapl-mmio:0", "package-0", 1000)
    assert machine.meter.read() is None, "one count is no power yet"
    machine.zone("intel-rapl:0", "package-0", 1040)
    machine.zone("intel-rapl:0:0", "core", 530)
    machine.zone("intel-rapl:0:1", "dram", 106)
    machine.zone("intel-rapl:1", "package-1", 2014)
    machine.zone("intel-rapl-mmio:0", "package-0", 1040)
    assert machine.after(2.0) == Power(30.0, "rapl")


def test_the_whole_platform_is_preferred(machine: Machine) -> None:
    machine.zone("intel-rapl:0", "package-0", 0)
    machine.zone("intel-rapl:1", "psys", 0)
    machine.meter.read()
    machine.zone("intel-rapl:0", "package-0", 20)
    machine.zone("intel-rapl:1", "psys", 50)
    assert machine.after(2.0) == Power(25.0, "rapl")


def test_a_counter_begins_again(machine: Machine) -> None:
    machine.zone("intel-rapl:0", "package-0", 990, limit=1000)
    machine.meter.read()
    machine.zone("intel-rapl:0", "package-0", 20, limit=1000)
    assert machine.after(1.0) == Power(30.0, "rapl")
    (machine.root / "class/powercap/intel-rapl:0/max_energy_range_uj").unlink()
    machine.put("powercap/intel-rapl:0", energy_uj=0)
    machine.clock.advance(1.0)
    with pytest.raises(Lie, match="went back"):
        machine.meter.read()


def test_too_short_a_while_says_what_was_said_last(machine: Machine) -> None:
    machine.zone("intel-rapl:0", "package-0", 0)
    machine.meter.read()
    machine.zone("intel-rapl:0", "package-0", 10)
    assert machine.after(1.0) == Power(10.0, "rapl")
    machine.zone("intel-rapl:0", "package-0", 100)
    assert machine.after(0.1) == Power(10.0, "rapl")


def test_counters_for_root_alone_are_said_once_and_the_battery_is_asked(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused by the call: tests run as root, whom no permission stops."""
    machine.zone("intel-rapl:0", "package-0", 0)
    machine.supply("BAT0", type="Battery", status="Discharging", power_now=12_500_000)

    def refused(file: Path) -> int:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(power, "number", refused)
    with caplog.at_level(logging.INFO, "mai.probes"):
        assert [machine.after(1.0) for _ in range(3)] == [Power(12.5, "battery")] * 3
    assert [r.message for r in caplog.records] == ["the processor's energy counters are for root alone"]


@pytest.mark.parametrize(
    ("files", "watts"),
    [
        ({"status": "Discharging", "power_now": 8_000_000}, 8.0),
        ({"status": "Discharging", "power_now": -8_000_000}, 8.0),
        ({"status": "Discharging", "current_now": 1_500_000, "voltage_now": 12_000_000}, 18.0),
        ({"status": "Discharging", "current_now": 1_500_000}, None),
        ({"status": "Charging", "power_now": 30_000_000}, None),
        ({"status": "Full", "power_now": 0}, None),
        ({"status": "Discharging", "power_now": 8_000_000, "scope": "Device"}, None),
    ],
)
def test_a_battery_tells_only_while_it_discharges(machine: Machine, files: dict[str, object], watts: float) -> None:
    machine.supply("AC", type="Mains", online=0)
    machine.supply("BAT0", type="Battery", **files)
    found = machine.meter.read()
    assert (found and found.watts) == watts


def test_two_batteries_add_and_nonsense_is_a_lie(machine: Machine) -> None:
    assert machine.meter.read() is None, "nothing there"
    for name in ("BAT0", "BAT1"):
        machine.supply(name, type="Battery", status="Discharging", power_now=4_000_000)
    assert machine.meter.read() == Power(8.0, "battery")
    machine.supply("BAT1", power_now="lots")
    with pytest.raises(Lie, match="lots"):
        machine.meter.read()
