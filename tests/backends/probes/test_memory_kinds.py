"""What main memory is used for, and how much of it may be anonymous, on simulated trees."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from mai_backends.probes.limits import UNTOUCHED_DATA, UNTOUCHED_SPACE
from mai_backends.probes.stillness import LOOKS, PAGES
from mai_backends.probes.system import SystemProbe
from mai_core.plugin.interfaces import ProbeContext
from mai_core.policy.resources import Battery, HostReading, MemoryPool, MemoryUse

KIB = 1024
GIB = 1024**3
# In the form of Linux 6.8, with figures of a laptop that is in use.
MEMINFO = """\
MemTotal:       16056300 kB
MemFree:          842040 kB
MemAvailable:    7322348 kB
Buffers:          401356 kB
Cached:          7077236 kB
SwapCached:        12816 kB
Active:          4527004 kB
Inactive:        8917112 kB
Active(anon):    1208892 kB
Inactive(anon):  6019412 kB
Active(file):    3318112 kB
Inactive(file):  2897700 kB
SwapTotal:       2097148 kB
SwapFree:        1431804 kB
AnonPages:       5961840 kB
Mapped:          1240876 kB
Shmem:           1252820 kB
KReclaimable:     614940 kB
SReclaimable:     614940 kB
CommitLimit:    10125296 kB
Committed_AS:    9125296 kB
"""
LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units
Max data size             {data}            unlimited            bytes
Max stack size            8388608              unlimited            bytes
Max address space         {space}            unlimited            bytes
"""


class Machine:
    def __init__(self, root: Path, cgroup: str = "0::/\n", **files: str) -> None:
        self.root = root
        self.write({"proc/meminfo": MEMINFO, "proc/self/cgroup": cgroup, "cgroup/here": ""} | files)
        self.probe = SystemProbe(ProbeContext(name="system"), proc=root / "proc", cgroups=root / "cgroup")

    def write(self, files: Mapping[str, str]) -> None:
        for name, content in files.items():
            file = self.root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)

    def reading(self) -> HostReading:
        reading = self.probe.sample()
        assert reading.faults == ()
        return reading

    def ram(self) -> MemoryPool:
        [pool] = self.reading().pools
        return pool


def test_memory_by_kind_is_that_of_meminfo(tmp_path: Path) -> None:
    pool = Machine(tmp_path).ram()
    assert pool.use == MemoryUse(
        anonymous=(5961840 + 1252820) * KIB,
        file_backed=(7077236 + 401356 - 1252820) * KIB,
        reclaimable=(3318112 + 2897700 + 614940) * KIB,
        free=842040 * KIB,
    )
    assert (pool.available, pool.anonymous_available) == (7322348 * KIB, 7322348 * KIB)


def test_swap_is_that_of_meminfo(tmp_path: Path) -> None:
    reading = Machine(tmp_path).reading()
    assert (reading.swap_total, reading.swap_free) == (2097148 * KIB, 1431804 * KIB)


def test_a_kernel_without_memavailable_does_not_count_shared_memory_as_free(tmp_path: Path) -> None:
    old = "".join(line for line in MEMINFO.splitlines(True) if not line.startswith("MemAvailable"))
    pool = Machine(tmp_path, **{"proc/meminfo": old}).ram()
    assert pool.available == (842040 + 401356 + 7077236 - 1252820) * KIB


V2 = {
    "memory.max": str(4 * GIB),
    "memory.current": str(3 * GIB),
    "memory.stat": f"anon {GIB}\nfile {2 * GIB}\nshmem {GIB // 4}\ninactive_file {GIB}\nactive_file {GIB // 2}\n"
    f"slab_reclaimable {GIB // 8}\n",
}
V1 = {
    "memory.limit_in_bytes": str(4 * GIB),
    "memory.usage_in_bytes": str(3 * GIB),
    "memory.stat": f"cache 1\nrss 2\ntotal_rss {GIB}\ntotal_cache {2 * GIB}\ntotal_shmem {GIB // 4}\n"
    f"total_inactive_file {GIB}\ntotal_active_file {GIB // 2}\n",
}


@pytest.mark.parametrize(
    ("cgroup", "folder", "files", "slabs"),
    [("0::/a\n", "cgroup/a/", V2, GIB // 8), ("4:memory:/a\n", "cgroup/memory/a/", V1, 0)],
)
def test_in_a_limited_group_its_own_kinds_count(
    tmp_path: Path, cgroup: str, folder: str, files: Mapping[str, str], slabs: int
) -> None:
    pool = Machine(tmp_path, cgroup, **{folder + name: content for name, content in files.items()}).ram()
    given_up = 3 * GIB // 2 + slabs
    assert pool.use == MemoryUse(
        anonymous=GIB + GIB // 4, file_backed=2 * GIB - GIB // 4, reclaimable=given_up, free=GIB
    )
    assert pool.available == GIB + given_up, "file pages in recent use are given up too, before anything is killed"


@pytest.mark.parametrize(
    ("limit", "used", "swap"),
    [("max", "0", (2097148, 1431804)), ("1048576", "524288", (1024, 512)), ("0", "0", (0, 0))],
)
def test_a_group_may_have_less_swap(tmp_path: Path, limit: str, used: str, swap: tuple[int, int]) -> None:
    files = {"memory.swap.max": limit, "memory.swap.current": used}
    reading = Machine(tmp_path, "0::/a\n", **{f"cgroup/a/{k}": v for k, v in (V2 | files).items()}).reading()
    assert (reading.swap_total, reading.swap_free) == (swap[0] * KIB, swap[1] * KIB)


def test_strict_overcommit_bounds_anonymous_memory_alone(tmp_path: Path) -> None:
    pool = Machine(tmp_path, **{"proc/sys/vm/overcommit_memory": "2\n"}).ram()
    assert (pool.available, pool.anonymous_available) == (7322348 * KIB, 1000000 * KIB)
    assert Machine(tmp_path, **{"proc/sys/vm/overcommit_memory": "0\n"}).ram().anonymous is None


def test_process_limits_bound(tmp_path: Path) -> None:
    data = Machine(tmp_path, **{"proc/self/limits": LIMITS.format(data=GIB, space="unlimited")}).ram()
    assert (data.available, data.anonymous_available, data.limited_by) == (7322348 * KIB, GIB - UNTOUCHED_DATA, "")
    space = Machine(tmp_path, **{"proc/self/limits": LIMITS.format(data="unlimited", space=2 * GIB)}).ram()
    left = 2 * GIB - UNTOUCHED_SPACE
    assert (space.available, space.anonymous_available, space.limited_by) == (left, left, "ulimit -v")
    tight = Machine(tmp_path, **{"proc/self/limits": LIMITS.format(data=1, space="unlimited")}).ram()
    assert tight.anonymous_available == 0
    loose = Machine(tmp_path, **{"proc/self/limits": LIMITS.format(data=2**60, space=2**60)}).ram()
    assert (loose.available, loose.anonymous, loose.limited_by) == (7322348 * KIB, None, "")


def test_the_kernels_own_words_for_process_limits_are_understood() -> None:
    code = (
        "import json, resource\n"
        f"resource.setrlimit(resource.RLIMIT_DATA, ({64 * GIB}, -1))\n"
        "from pathlib import Path\n"
        "from mai_backends.probes.limits import process_limits\n"
        "limits = process_limits(Path('/proc'))\n"
        "print(json.dumps([limits.data, limits.address_space]))"
    )
    if not Path("/proc/self/limits").exists():
        pytest.skip("no Linux here")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout)[0] == 64 * GIB - UNTOUCHED_DATA


@pytest.mark.parametrize(
    ("release", "limited_by"),
    [("5.15.153.1-microsoft-standard-WSL2\n", "WSL2"), ("6.8.0-45-generic\n", ""), ("4.4.0-19041-Microsoft\n", "")],
)
def test_in_wsl2_windows_decides_how_much_there_is(tmp_path: Path, release: str, limited_by: str) -> None:
    assert Machine(tmp_path, **{"proc/sys/kernel/osrelease": release}).ram().limited_by == limited_by


def vmstat(pages: int) -> dict[str, str]:
    return {"proc/vmstat": f"nr_free_pages 210510\npgalloc_dma32 17\npgalloc_normal {pages}\npgfree 3\n"}


def test_figures_that_stand_still_while_memory_is_handed_out_are_left_out(tmp_path: Path) -> None:
    machine = Machine(tmp_path, **vmstat(0))
    for step in range(LOOKS):
        machine.reading()
        machine.write(vmstat(step * PAGES))
    machine.write(vmstat(LOOKS * PAGES))
    reading = machine.probe.sample()
    assert reading.pools == ()
    assert [fault.partition(":")[0] for fault in reading.faults] == ["memory"]
    machine.write({"proc/meminfo": MEMINFO.replace("842040", "842044")})
    assert machine.ram()


def test_figures_of_a_machine_that_idles_may_stand_still(tmp_path: Path) -> None:
    machine = Machine(tmp_path, **vmstat(0))
    for step in range(4 * LOOKS):
        machine.reading()
        machine.write(vmstat(step * 100))


@pytest.mark.parametrize(
    ("memory", "swap"),
    [
        # macOS and Windows, in the form psutil tells them.
        (
            {"total": 25769803776, "available": 9341403136, "percent": 63.8, "wired": 3291873280},
            {"total": 2147483648, "used": 1073741824, "free": 1073741824},
        ),
        (
            {"total": 34131365888, "available": 20132364288, "percent": 41.0},
            {"total": 5100273664, "used": 114294784, "free": 4985978880},
        ),
    ],
)
def test_elsewhere_memory_is_what_psutil_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: Mapping[str, int], swap: Mapping[str, int]
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(**memory))
    monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(**swap))
    reading = SystemProbe(ProbeContext(name="system"), proc=tmp_path / "none", cgroups=tmp_path / "none").sample()
    [pool] = reading.pools
    assert (pool.total, pool.available) == (memory["total"], memory["available"])
    assert (reading.swap_total, reading.swap_free) == (swap["total"], swap["free"])
    assert reading.faults == ()


@pytest.mark.parametrize(
    ("told", "battery", "faults"),
    [
        (None, None, 0),
        (SimpleNamespace(percent=37.0, power_plugged=False), Battery(0.37, False), 0),
        (SimpleNamespace(percent=100.0, power_plugged=True), Battery(1.0, True), 0),
        (SimpleNamespace(percent=37.0, power_plugged=None), None, 0),
        (SimpleNamespace(percent=370.0, power_plugged=True), None, 1),
        (SimpleNamespace(percent=float("nan"), power_plugged=True), None, 1),
    ],
)
def test_the_battery_is_what_psutil_tells(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    told: SimpleNamespace | None,
    battery: Battery | None,
    faults: int,
) -> None:
    monkeypatch.setattr(psutil, "sensors_battery", lambda: told, raising=False)
    reading = Machine(tmp_path).probe.sample()
    assert (reading.battery, len(reading.faults)) == (battery, faults)
