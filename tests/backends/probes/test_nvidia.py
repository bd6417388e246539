"""NVIDIA's GPUs, by a library that stands in for the driver's under the real pynvml. Never run on real hardware."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from nvml_library import GIB, World

from mai_backends.probes import nvml
from mai_backends.probes.nvidia import REST_SECONDS, NvidiaProbe
from mai_backends.probes.nvml import DriverFault
from mai_core.plugin.interfaces import ProbeContext, ResourceProbe
from mai_core.policy.feasibility import Limits
from mai_core.policy.resources import Holder, HostReading, MemoryPool, PoolKind
from mai_core.runtime.monitor import Monitor
from mai_core.settings.model import MonitorSettings
from mai_core.testing import FakeClock, ProbeConformance

MEMINFO = "MemTotal: 16777216 kB\nMemFree: 1048576 kB\nMemAvailable: 8388608 kB\n"
NOT_AVAILABLE = 2**64 - 1
LOST, MISMATCH, FORBIDDEN, UNKNOWN = 15, 18, 4, 999


class Machine:
    """A machine whose driver is the stand-in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = FakeClock(1000.0)
        self.write("proc/meminfo", MEMINFO)
        self.probe = NvidiaProbe(
            ProbeContext(name="nvidia"),
            proc=root / "proc",
            cgroups=root / "cgroup",
            pci=root / "pci",
            clock=self.clock,
        )

    def write(self, name: str, content: str) -> None:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def power(self, status: str, control: str = "auto") -> None:
        self.write("pci/0000:01:00.0/power/runtime_status", f"{status}\n")
        self.write("pci/0000:01:00.0/power/control", f"{control}\n")

    def pools(self) -> tuple[MemoryPool, ...]:
        reading = self.probe.sample()
        assert reading.faults == ()
        return reading.pools


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_cards_total_free_and_load(machine: Machine, driver: World) -> None:
    driver.card()
    label = "NVIDIA GeForce RTX 4090"
    assert machine.pools() == (MemoryPool("gpu0", PoolKind.DEVICE, 24 * GIB, 20 * GIB, label=label, busy=0.37),)


def test_several_cards_are_told_in_the_drivers_order(machine: Machine, driver: World) -> None:
    driver.card(0, free=20 * GIB)
    driver.card(1, total=8 * GIB, free=GIB)
    assert [(p.name, p.total, p.available) for p in machine.pools()] == [
        ("gpu0", 24 * GIB, 20 * GIB),
        ("gpu1", 8 * GIB, GIB),
    ]


def test_who_holds_it(machine: Machine, driver: World) -> None:
    machine.write("proc/41/comm", "ollama\n")
    driver.card(compute=f"41:{3 * GIB},42:{GIB},43:{NOT_AVAILABLE}", graphics=f"41:{3 * GIB},44:1024")
    [pool] = machine.pools()
    assert pool.held_by == (Holder(41, 3 * GIB, "ollama"), Holder(42, GIB), Holder(44, 1024)), "computing and drawing"


def test_partitions_are_pools_of_their_own(machine: Machine, driver: World) -> None:
    driver.card(mig=7)
    for number, free in ((0, GIB), (3, 2 * GIB)):
        driver.tell(f"gpu0.{number}", name=f"MIG {number}", total=5 * GIB, free=free, compute=f"9:{GIB}")
    driver.card(1)
    assert [(p.name, p.label, p.total, p.available, p.busy) for p in machine.pools()] == [
        ("gpu0.0", "MIG 0", 5 * GIB, GIB, None),
        ("gpu0.3", "MIG 3", 5 * GIB, 2 * GIB, None),
        ("gpu1", "NVIDIA GeForce RTX 4090", 24 * GIB, 20 * GIB, 0.37),
    ]


@pytest.mark.parametrize("total", [None, 0])
def test_a_gpu_without_memory_of_its_own_shares_the_machines(
    machine: Machine, driver: World, total: int | None
) -> None:
    driver.card(name="NVIDIA GB10", total=0, free=0)
    if total is None:
        driver.silence("gpu0", "total", "free")
    [pool] = machine.pools()
    assert (pool.kind, pool.total, pool.available, pool.label) == (PoolKind.UNIFIED, 16 * GIB, 8 * GIB, "NVIDIA GB10")


def test_a_partition_that_tells_nothing_shares_nothing(machine: Machine, driver: World) -> None:
    driver.card(mig=1)
    driver.tell("gpu0.0", name="MIG 0")
    reading = machine.probe.sample()
    assert (reading.pools, reading.faults) == ((), ("gpu0.0: it does not tell its memory",))


def test_no_driver_is_no_fault_and_it_is_looked_for_again(machine: Machine, driver: World) -> None:
    driver.unload()
    assert machine.pools() == ()
    driver.card()
    assert machine.pools() == (), "not at every sample"
    machine.clock.advance(61)
    assert len(machine.pools()) == 1


@pytest.mark.parametrize(
    ("error", "told"), [(MISMATCH, "restart the machine"), (FORBIDDEN, "may not ask"), (UNKNOWN, "Unknown Error")]
)
def test_a_driver_that_refuses_is_a_fault(machine: Machine, driver: World, error: int, told: str) -> None:
    driver.card()
    driver.tell(init_error=error)
    with pytest.raises(DriverFault, match=told):
        machine.probe.sample()
    driver.tell(init_error=0)
    assert len(machine.pools()) == 1, "and it recovers"


def test_a_session_that_broke_is_opened_anew(machine: Machine, driver: World) -> None:
    driver.card()
    machine.pools()
    driver.tell(count_error=UNKNOWN)
    with pytest.raises(DriverFault):
        machine.probe.sample()
    driver.tell(count_error=0)
    assert len(machine.pools()) == 1
    assert driver.calls == ["open", "close", "open"]


LIES: dict[str, dict[str, object]] = {
    "more free than total": {"free": 25 * GIB, "used": 0},
    "negative free": {"free": 2**64 - GIB, "used": 0},
    "more used than total": {"used": 30 * GIB},
    "busier than always": {"busy": 250},
    "lost": {"error": LOST},
    "memory refused": {"memory_error": UNKNOWN},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_card_that_lies_or_is_lost_leaves_the_others_their_say(machine: Machine, driver: World, lie: str) -> None:
    driver.card(0, **LIES[lie])
    driver.card(1)
    reading = machine.probe.sample()
    assert [pool.name for pool in reading.pools] == ["gpu1"]
    assert [fault.partition(":")[0] for fault in reading.faults] == ["gpu0"]


def test_the_session_ends_with_the_probe(machine: Machine, driver: World) -> None:
    driver.card()
    machine.pools()
    machine.pools()
    machine.probe.close()
    machine.probe.close()
    assert driver.calls == ["open", "close"]


def test_a_card_that_sleeps_is_not_woken(machine: Machine, driver: World) -> None:
    driver.card(compute=f"7:{GIB}")
    machine.power("active")
    [awake] = machine.pools()
    machine.power("suspended")
    driver.tell("gpu0", error=LOST)
    [asleep] = machine.pools()
    assert (awake.available, asleep.available) == (20 * GIB, 24 * GIB)
    assert (asleep.busy, asleep.held_by) == (0.0, ())


def test_an_idle_card_that_may_sleep_is_left_alone_for_a_while(machine: Machine, driver: World) -> None:
    driver.card(busy=0)
    machine.power("active")
    machine.pools()
    assert driver.calls == ["open", "close"], "an open session keeps it awake"
    driver.tell("gpu0", free=GIB)
    assert machine.pools()[0].available == 20 * GIB
    machine.clock.advance(REST_SECONDS)
    assert machine.pools()[0].available == GIB


@pytest.mark.parametrize("busy", [{"busy": 5}, {"busy": 0, "compute": "7:1"}])
def test_a_card_in_use_is_asked_every_time(machine: Machine, driver: World, busy: dict[str, object]) -> None:
    driver.card(**busy)
    machine.power("active")
    machine.pools()
    driver.tell("gpu0", free=GIB)
    assert machine.pools()[0].available == GIB


class TestTheProbeOfABrokenDriver(ProbeConformance):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path, driver: World) -> None:
        self.root, self.driver = tmp_path, driver
        driver.card()

    def make(self) -> ResourceProbe:
        return Machine(self.root).probe

    def broken(self) -> dict[str, ResourceProbe]:
        return {name: Told(self.make(), self.driver, lie) for name, lie in LIES.items()}


class Told:
    """A probe that is told a lie when it asks."""

    kind: ClassVar[str] = "nvidia"

    def __init__(self, probe: ResourceProbe, driver: World, lie: dict[str, object]) -> None:
        self.name, self._probe, self._driver, self._lie = probe.name, probe, driver, lie

    def sample(self) -> HostReading:
        self._driver.unload()
        self._driver.card(**self._lie)
        return self._probe.sample()


@pytest.mark.parametrize("installed", [True, False])
def test_on_windows_the_driver_is_looked_for_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("WINDIR", str(tmp_path))
    monkeypatch.setenv("PROGRAMFILES", str(tmp_path / "none"))
    (tmp_path / "System32").mkdir()
    if installed:
        (tmp_path / "System32" / "nvml.dll").touch()
    assert nvml._is_installed() is installed


def test_a_library_outside_of_the_linkers_path_is_found(tmp_path: Path, nvml_library: Path | None) -> None:
    """WSL2 keeps it in such a place; pynvml knows its name alone."""
    if nvml_library is None:
        pytest.skip("no compiler here")
    world = World(tmp_path / "world")
    world.card(free=GIB)
    code = (
        "from mai_backends.probes import nvml\n"
        "from mai_backends.probes.nvidia import NvidiaProbe\n"
        "from mai_core.plugin.interfaces import ProbeContext\n"
        f"nvml.LIBRARIES = ('libno-such-driver.so.1', {str(nvml_library)!r})\n"
        "print(NvidiaProbe(ProbeContext(name='n')).sample().pools[0].available)"
    )
    environment = {**os.environ, "NVML_WORLD": str(world.file)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    assert int(done.stdout) == GIB


@pytest.mark.parametrize("driver", ["compiled"], indirect=True)
def test_a_driver_that_hangs_hangs_nothing_else(tmp_path: Path, driver: World) -> None:
    """The compiled one hangs outside of Python, as a driver does."""
    machine = Machine(tmp_path)
    driver.card()
    monitor = Monitor([machine.probe], MonitorSettings(interval_seconds=0.02, probe_timeout_seconds=0.2), Limits())
    monitor.start()
    try:
        until(lambda: bool(monitor.latest().hosts))
        driver.tell(hang=2)
        until(lambda: monitor.faults == ("nvidia: does not answer",))
        assert not monitor.latest().hosts, "what it said before is forgotten"
        driver.tell(hang=0)
        until(lambda: bool(monitor.latest().hosts))
        assert monitor.faults == ()
    finally:
        monitor.close()
    until(lambda: driver.calls == ["open", "close"])


def until(condition: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(2000):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not come about")


def test_without_a_driver_its_library_is_not_even_imported() -> None:
    code = (
        "import sys\n"
        "from mai_backends.probes.nvidia import NvidiaProbe\n"
        "from mai_core.plugin.interfaces import ProbeContext\n"
        "assert not NvidiaProbe(ProbeContext(name='n')).sample().pools\n"
        "print('pynvml' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    if done.stdout.strip() == "True":
        pytest.skip("there is a driver here")
    assert done.stdout.strip() == "False"


def test_status_shows_gpus_and_names_what_is_wrong(tmp_path: Path, nvml_library: Path | None) -> None:
    if nvml_library is None:
        pytest.skip("no compiler here")
    world = World(tmp_path / "world")
    world.card(0, free=GIB)
    world.card(1, error=LOST)
    environment = {
        **os.environ,
        "NVML_WORLD": str(world.file),
        "LD_LIBRARY_PATH": str(nvml_library.parent),
        "MAI_HOME": str(tmp_path / "home"),
        "MAI_STARTER__FETCH": "never",
    }
    command = [sys.executable, "-m", "mai_core", "status", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    pools = {pool["name"]: pool for pool in told["resources"]["hosts"][0]["pools"]}
    assert "gpu1" not in pools
    assert (pools["gpu0"]["total"], pools["gpu0"]["available"]) == (24 * GIB, GIB)
    assert pools["gpu0"]["label"] == "NVIDIA GeForce RTX 4090"
    assert pools["ram"]["use"]["anonymous"] > 0
    [fault] = [fault for fault in told["probe_faults"] if fault.startswith("nvidia")]
    assert fault.startswith("nvidia: gpu1: the NVIDIA driver says: GPU is lost")
