"""The probe on recorded trees of ``/proc`` and ``/sys/fs/cgroup``, and on the machine it runs on."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mai_backends.probes.system import SystemProbe
from mai_core.errors import SettingsError
from mai_core.plugin.interfaces import ProbeContext
from mai_core.policy.resources import HostReading, MemoryPool, PoolKind, Pressure

GIB = 1024**3
MIB = 1024**2
MEMINFO = """\
MemTotal:       16777216 kB
MemFree:         2097152 kB
MemAvailable:    8388608 kB
Buffers:          102400 kB
Cached:          4194304 kB
SwapTotal:       4194304 kB
SwapFree:        3145728 kB
HugePages_Total:       0
"""
PSI = "some avg10=12.50 avg60=1.10 avg300=0.36 total=6150788\nfull avg10=2.50 avg60=0.00 avg300=0.00 total=0\n"
UNLIMITED_V1 = "9223372036854771712"


def written(root: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


class Machine:
    """A recorded machine; ``groups`` are files below /sys/fs/cgroup."""

    def __init__(
        self, root: Path, cgroup: str = "0::/\n", groups: Mapping[str, str] | None = None, **proc: str
    ) -> None:
        self.proc = written(root / "proc", {"meminfo": MEMINFO, "self/cgroup": cgroup, **proc})
        self.cgroups = written(root / "cgroup", groups or {})
        self.cgroups.mkdir(exist_ok=True)
        self.probe = SystemProbe(ProbeContext(name="system"), proc=self.proc, cgroups=self.cgroups)

    def ram(self) -> MemoryPool:
        """Its size alone: what it is used for has tests of its own."""
        (pool,) = self.probe.sample().pools
        return replace(pool, use=None)


def test_memory_and_swap_are_those_of_meminfo(tmp_path: Path) -> None:
    reading = Machine(tmp_path).probe.sample()
    assert reading.pools == (MemoryPool("ram", PoolKind.RAM, 16 * GIB, 8 * GIB),)
    assert (reading.swap_total, reading.swap_free) == (4 * GIB, 3 * GIB)


def test_a_kernel_without_memavailable_gets_an_estimate(tmp_path: Path) -> None:
    old = MEMINFO.replace("MemAvailable:    8388608 kB\n", "")
    assert Machine(tmp_path, meminfo=old).ram().available == (2097152 + 102400 + 4194304) * 1024


V2 = {"memory.max": f"{4 * GIB}\n", "memory.current": f"{3 * GIB}\n", "memory.stat": f"anon 1\ninactive_file {GIB}\n"}


def under(folder: str, files: Mapping[str, str]) -> dict[str, str]:
    return {f"{folder}/{name}" if folder else name: content for name, content in files.items()}


def test_a_v2_limit_bounds_and_inactive_file_pages_count_as_room(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "0::/user.slice/mai.scope\n", under("user.slice/mai.scope", V2))
    assert machine.ram() == MemoryPool("ram", PoolKind.RAM, 4 * GIB, 2 * GIB, "cgroup")


def test_a_limit_on_a_parent_binds(tmp_path: Path) -> None:
    free = {"memory.max": "max\n", "memory.current": "0\n"}
    groups = under("a", V2) | under("a/b", free) | under("a/b/c", free)
    assert Machine(tmp_path, "0::/a/b/c\n", groups).ram().available == 2 * GIB


def test_the_tightest_of_several_limits_binds(tmp_path: Path) -> None:
    loose = {"memory.max": f"{12 * GIB}", "memory.current": f"{11 * GIB + 512 * MIB}"}
    pool = Machine(tmp_path, "0::/a/b\n", under("a", loose) | under("a/b", V2)).ram()
    assert (pool.total, pool.available) == (4 * GIB, 512 * MIB)


def test_memory_high_binds_as_memory_max_does(tmp_path: Path) -> None:
    groups = under("a", {**V2, "memory.max": "max", "memory.high": f"{3 * GIB}"})
    assert Machine(tmp_path, "0::/a\n", groups).ram().available == GIB


def test_the_machine_binds_when_it_has_less_than_the_group(tmp_path: Path) -> None:
    groups = under("a", {"memory.max": f"{15 * GIB}", "memory.current": "0"})
    assert Machine(tmp_path, "0::/a\n", groups).ram().available == 8 * GIB


@pytest.mark.parametrize("limit", ["max", str(17 * GIB)])
def test_no_limit_and_one_above_the_machine_say_nothing(tmp_path: Path, limit: str) -> None:
    pool = Machine(tmp_path, "0::/a\n", under("a", {"memory.max": limit, "memory.current": "5"})).ram()
    assert pool == MemoryPool("ram", PoolKind.RAM, 16 * GIB, 8 * GIB, "")


def test_a_group_over_its_limit_has_no_room(tmp_path: Path) -> None:
    groups = under("a", {"memory.max": f"{GIB}", "memory.current": f"{2 * GIB}"})
    assert Machine(tmp_path, "0::/a\n", groups).ram().available == 0


@pytest.mark.parametrize("path", ["/", "/docker/0123/not/visible/here", "/../../outside"])
def test_in_a_container_the_mounted_root_is_the_group(tmp_path: Path, path: str) -> None:
    assert Machine(tmp_path, f"0::{path}\n", V2).ram().available == 2 * GIB


V1 = {
    "memory.limit_in_bytes": f"{4 * GIB}",
    "memory.usage_in_bytes": f"{3 * GIB}",
    "memory.stat": f"inactive_file 7\ntotal_inactive_file {GIB}\n",
}
OPEN_V1 = {"memory.limit_in_bytes": UNLIMITED_V1, "memory.usage_in_bytes": "1"}


def test_a_v1_limit_bounds(tmp_path: Path) -> None:
    cgroup = "9:name=systemd:/\n4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc\n0::/\n"
    groups = under("memory/docker/abc", V1) | under("memory/docker", OPEN_V1) | under("unified", {"cgroup.procs": ""})
    assert Machine(tmp_path, cgroup, groups).ram() == MemoryPool("ram", PoolKind.RAM, 4 * GIB, 2 * GIB, "cgroup")


def test_an_unlimited_v1_group_says_nothing(tmp_path: Path) -> None:
    assert Machine(tmp_path, "4:memory:/a\n", under("memory/a", OPEN_V1)).ram().limited_by == ""


@pytest.mark.parametrize(
    ("group", "files", "cores"),
    [
        ("0::/a\n", {"a/cpu.max": "150000 100000\n"}, 2),
        ("0::/a\n", {"a/cpu.max": "20000 100000\n"}, 1),
        ("0::/a/b\n", {"a/cpu.max": "100000 100000\n", "a/b/cpu.max": "max 100000\n"}, 1),
        ("0::/a\n", {"a/cpu.max": "max 100000\n"}, 4),
        ("3:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "250000\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 3),
        ("3:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 4),
        ("0::/a\n", {"a/cpu.max": "nonsense\n"}, 4),
    ],
)
def test_cores_are_bound_by_affinity_and_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, files: dict[str, str], cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    cpu = Machine(tmp_path, group, files).probe.sample().cpu
    assert cpu is not None
    assert cpu.cores == cores


def test_pressure_is_the_hosts(tmp_path: Path) -> None:
    proc = {"pressure/memory": PSI, "pressure/cpu": PSI.replace("12.50", "40.00")}
    assert Machine(tmp_path, **proc).probe.sample().pressure == Pressure(0.125, 0.025, 0.40)


def test_pressure_is_the_limited_groups_own(tmp_path: Path) -> None:
    own = {**V2, "memory.pressure": PSI.replace("12.50", "99.00").replace("full avg10=2.50", "full avg10=50.00")}
    pressure = Machine(tmp_path, "0::/a\n", under("a", own), **{"pressure/memory": PSI}).probe.sample().pressure
    assert pressure == Pressure(0.99, 0.5, 0.0)


def test_without_pressure_information_none_is_told(tmp_path: Path) -> None:
    assert Machine(tmp_path).probe.sample().pressure is None


@pytest.mark.parametrize(
    "meminfo",
    [
        "",
        "MemTotal: lots kB\n",
        "MemTotal: -5 kB\nMemAvailable: 1 kB\n",
        "MemTotal: 0 kB\nMemAvailable: 0 kB\n",
        "MemTotal: 100 kB\nMemAvailable: 200 kB\n",
        "MemTotal:\nMemAvailable: 200 kB\n",
        "MemTotal: 100 kB\nMemAvailable: 50 kB\nSwapTotal: 1 kB\nSwapFree: 2 kB\n",
        "\x00\xff garbage",
    ],
)
def test_memory_that_cannot_be_is_left_out_and_told(tmp_path: Path, meminfo: str) -> None:
    machine = Machine(tmp_path, meminfo=meminfo)
    for reading in [machine.probe.sample() for _ in range(2)]:
        assert reading.pools == ()
        assert reading.cpu is not None
        assert [fault.partition(":")[0] for fault in reading.faults] == ["memory"]


def test_a_lying_group_leaves_the_others_their_say(tmp_path: Path) -> None:
    groups = under("a", V2) | under("a/b", {"memory.max": "-17", "memory.current": "oops"})
    machine = Machine(tmp_path, "0::/a/b\n", groups)
    assert machine.ram().available == 2 * GIB
    assert machine.probe.sample().faults == (f"memory limit of {machine.cgroups / 'a/b'}: memory.max says -17",)


def test_files_in_the_place_of_folders_and_folders_in_the_place_of_files(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "0::/a/b\n", {"a": "a file"})
    (machine.cgroups / "memory.max").mkdir()
    (machine.proc / "pressure").write_text("a file")
    assert machine.ram().available == 8 * GIB


ANYTHING = st.text(st.characters(codec="ascii"), max_size=40) | st.sampled_from(
    [
        "max",
        "-1",
        "0",
        "1 0",
        "max max",
        "9" * 400,
        "inactive_file",
        "some avg10=nan",
        "some avg10=-3",
        "0::",
        "4:memory",
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.lists(ANYTHING, min_size=9, max_size=9))
def test_no_content_of_any_sensor_makes_a_sample_fail_or_lie(
    tmp_path_factory: pytest.TempPathFactory, files: list[str]
) -> None:
    names = ("memory.max", "memory.current", "memory.stat", "memory.pressure", "cpu.max", "memory.high")
    groups = dict(zip(names, files, strict=False))
    proc = {"meminfo": MEMINFO if len(files[6]) % 2 else files[6], "pressure/memory": files[7]}
    reading = Machine(tmp_path_factory.mktemp("m"), "0::/\n" + files[8], groups, **proc).probe.sample()
    for pool in reading.pools:
        assert 0 <= pool.available <= pool.total
    if reading.pressure is not None:
        assert 0.0 <= reading.pressure.memory_some <= 1.0
    assert reading.cpu is not None
    assert reading.cpu.cores >= 1


def test_an_option_it_does_not_have_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r'probes\.mine: the system probe has no option "cuda"'):
        SystemProbe(ProbeContext(name="mine", options={"cuda": True}))


def test_this_machine_is_read_and_quickly() -> None:
    probe = SystemProbe(ProbeContext(name="system"))
    first = probe.sample()
    assert _plausible(first)
    seconds = []
    for _ in range(50):
        started = time.thread_time()
        probe.sample()
        seconds.append(time.thread_time() - started)
    assert statistics.median(seconds) < 0.005


def test_elsewhere_psutil_tells_the_memory(tmp_path: Path) -> None:
    reading = SystemProbe(ProbeContext(name="system"), proc=tmp_path, cgroups=tmp_path).sample()
    assert _plausible(reading)


def _plausible(reading: HostReading) -> bool:
    (pool,) = reading.pools
    return 0 < pool.available <= pool.total and reading.cpu is not None and 0.0 <= reading.cpu.busy <= 1.0
