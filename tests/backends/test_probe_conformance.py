"""Every registered probe keeps the laws on the machine the tests run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from mai_backends.probes.drm import DrmProbe
from mai_backends.probes.system import SystemProbe
from mai_core.plugin.interfaces import ProbeContext, ResourceProbe
from mai_core.plugin.registry import PluginRegistry
from mai_core.testing import ProbeConformance

GIB = 2**30
MEMINFO = "MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\n"
REGISTRY = PluginRegistry.discover()


@pytest.mark.parametrize("kind", sorted(REGISTRY.probes()), scope="class")
class TestRegisteredProbes(ProbeConformance):
    @pytest.fixture(autouse=True)
    def _chosen(self, kind: str) -> None:
        self.kind = kind

    def make(self) -> ResourceProbe:
        return REGISTRY.probe(self.kind, ProbeContext(name=self.kind))


class TestTheProbeOfABrokenMachine(ProbeConformance):
    """Every sensor of this machine, forbidden or lying, one after the other."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.root = tmp_path

    def machine(self, name: str, **files: str) -> ResourceProbe:
        root = self.root / name
        sound = {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/\n", "cgroup/memory.max": "max\n"}
        for path, content in (sound | files).items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        return SystemProbe(ProbeContext(name=name), proc=root / "proc", cgroups=root / "cgroup")

    def make(self) -> ResourceProbe:
        return self.machine("sound")

    def broken(self) -> dict[str, ResourceProbe]:
        limited = {"cgroup/memory.max": str(GIB), "cgroup/memory.current": "5"}
        return {
            name.replace(" ", "-"): self.machine(name.replace(" ", "-"), **files)
            for name, files in {
                "more available than there is": {"proc/meminfo": MEMINFO.replace("4000000", "9000000")},
                "negative memory": {"proc/meminfo": MEMINFO.replace("4000000", "-4")},
                "no number for memory": {"proc/meminfo": MEMINFO.replace("4000000", "nan")},
                "more swap free than there is": {"proc/meminfo": MEMINFO + "SwapTotal: 1 kB\nSwapFree: 2 kB\n"},
                "a negative limit": limited | {"cgroup/memory.max": "-1"},
                "a limit without a number": limited | {"cgroup/memory.current": "lots"},
                "a negative kind": limited | {"cgroup/memory.stat": "anon -4"},
                "a quota of nothing": {"cgroup/cpu.max": "0 0"},
                "pressure beyond all time": {"proc/pressure/memory": "some avg10=250.00\n"},
                "pressure that is no number": {"proc/pressure/memory": "some avg10=nan\n"},
                "a process limit in words": {"proc/self/limits": "Max data size   plenty   unlimited   bytes\n"},
            }.items()
        }


class TestTheProbeOfABrokenGraphicsCard(ProbeConformance):
    """An AMD card whose files tell what cannot be."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.root = tmp_path

    def machine(self, name: str, **files: str) -> ResourceProbe:
        root = self.root / name
        device = {"mem_info_vram_total": "1000", "mem_info_vram_used": "400", "gpu_busy_percent": "7"}
        for path, content in ({"uevent": "DRIVER=amdgpu\nPCI_SLOT_NAME=0000:03:00.0\n"} | device | files).items():
            file = root / "drm" / "card0" / "device" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        places = {place: root / place for place in ("drm", "pci", "proc", "cgroups")}
        return DrmProbe(ProbeContext(name=name), databases=(), **places)

    def make(self) -> ResourceProbe:
        return self.machine("sound")

    def broken(self) -> dict[str, ResourceProbe]:
        return {
            "more used than there is": self.machine("a", mem_info_vram_used="1001"),
            "negative": self.machine("b", mem_info_vram_used="-1"),
            "no number": self.machine("c", mem_info_vram_total="nan"),
            "no memory": self.machine("d", mem_info_vram_total="0"),
            "busier than always": self.machine("e", gpu_busy_percent="101"),
        }


def test_the_promised_ones_are_among_them() -> None:
    assert {"system", "nvidia", "drm", "apple"} <= set(REGISTRY.probes())
