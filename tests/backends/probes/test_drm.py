"""AMD's and Intel's GPUs, on simulated trees of sysfs and fdinfo. Never run on real hardware."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from mai_backends.probes.drm import DrmProbe
from mai_backends.probes.fdinfo import FRESH_SECONDS
from mai_core.plugin.interfaces import ProbeContext
from mai_core.policy.resources import Holder, HostReading, MemoryPool, PoolKind
from mai_core.testing import FakeClock

MIB = 1024**2
GIB = 1024**3
MEMINFO = "MemTotal: 33554432 kB\nMemFree: 1048576 kB\nMemAvailable: 16777216 kB\n"
PCI_IDS = """\
# The PCI ID Repository
1001  Kolter Electronic
\t744c  Something else
1002  Advanced Micro Devices, Inc. [AMD/ATI]
\t7448  Navi 31 [Radeon Pro W7900]
\t744c  Navi 31 [Radeon RX 7900 XTX]
\t\t1002 0e3b  A card of somebody
8086  Intel Corporation
\t56a0  DG2 [Arc A770]
"""
SIZES = {
    "mem_info_vram_total": 24 * GIB,
    "mem_info_vram_used": 3 * GIB,
    "mem_info_gtt_total": 16 * GIB,
    "mem_info_gtt_used": GIB,
    "gpu_busy_percent": 12,
}
DISCRETE, INTEGRATED = b"\x78\x00\x01\x03rest", b"\x80\x00\x02\x04rest"


class Machine:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = FakeClock(50.0)
        self.write("proc/meminfo", MEMINFO)
        self.write("pci.ids", PCI_IDS)
        for folder in ("drm", "pci"):
            (root / folder).mkdir()
        self.probe = self.made()

    def made(self) -> DrmProbe:
        return DrmProbe(
            ProbeContext(name="drm"),
            drm=self.root / "drm",
            pci=self.root / "pci",
            proc=self.root / "proc",
            cgroups=self.root / "cgroup",
            databases=(self.root / "missing.ids", self.root / "pci.ids"),
            clock=self.clock,
        )

    def write(self, name: str, content: str | bytes) -> Path:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    def card(
        self, number: int, driver: str, slot: str, pci_id: str, files: Mapping[str, object], folder: str = ""
    ) -> None:
        """A card as ``/sys/class/drm/cardN`` shows it; its connectors and render node stand beside it."""
        card = f"drm/card{number}"
        uevent = f"DRIVER={driver}\nPCI_CLASS=30000\nPCI_ID={pci_id}\nPCI_SLOT_NAME={slot}\n"
        self.write(f"{card}/device/uevent", uevent)
        self.write(f"{card}-DP-1/device/uevent", uevent)
        self.write(f"drm/renderD{128 + number}/device/uevent", uevent)
        for name, content in files.items():
            self.write(f"{card}/{name}", content if isinstance(content, bytes) else f"{content}\n")

    def amd(self, number: int = 0, slot: str = "0000:03:00.0", metrics: bytes = DISCRETE, **sizes: object) -> None:
        files = {f"device/{name}": value for name, value in (SIZES | sizes).items()}
        self.card(number, "amdgpu", slot, "1002:744C", files | {"device/gpu_metrics": metrics})

    def arc(self, driver: str = "xe", window: int = 16 * GIB, **files: object) -> None:
        first = 0x4000000000
        lines = ["0x0 0x0 0x0"] * 2 + [f"{first:#018x} {first + window - 1:#018x} 0x000000000014220c"]
        told = {"device/resource": "\n".join(lines), **files}
        self.card(1, driver, "0000:04:00.0", "8086:56A0", told)

    def program(self, pid: int, name: str, *opened: str) -> None:
        """A program with these files open: what ``fdinfo`` says of each; it has others open too."""
        self.write(f"proc/{pid}/comm", f"{name}\n")
        for number, said in enumerate(("pos: 0\n", *opened)):
            self.write(f"proc/{pid}/fdinfo/{number}", said)
            target = "/dev/dri/renderD128" if number else "/dev/null"
            folder = self.root / f"proc/{pid}/fd"
            folder.mkdir(exist_ok=True)
            (folder / str(number)).unlink(missing_ok=True)
            os.symlink(target, folder / str(number))

    def sample(self) -> HostReading:
        return self.probe.sample()

    def pool(self) -> MemoryPool:
        reading = self.sample()
        assert reading.faults == ()
        [pool] = reading.pools
        return pool


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def client(slot: str, client_id: int, *lines: str) -> str:
    return f"drm-driver:\tamdgpu\ndrm-client-id:\t{client_id}\ndrm-pdev:\t{slot}\n" + "".join(f"{x}\n" for x in lines)


def test_an_amd_card(machine: Machine) -> None:
    machine.amd()
    label = "AMD Radeon RX 7900 XTX"
    assert machine.pool() == MemoryPool("gpu0", PoolKind.DEVICE, 24 * GIB, 21 * GIB, label=label, busy=0.12)


@pytest.mark.parametrize(
    ("product", "pci_id", "label"),
    [("Radeon RX 7900 XTX\n", "1002:744C", "Radeon RX 7900 XTX"), ("\n", "1002:FFFF", "AMD GPU 1002:FFFF")],
)
def test_what_a_card_is_called(machine: Machine, product: str, pci_id: str, label: str) -> None:
    machine.card(0, "amdgpu", "0000:03:00.0", pci_id, {f"device/{k}": v for k, v in SIZES.items()})
    machine.write("drm/card0/device/product_name", product)
    assert machine.pool().label == label


def test_a_gpu_in_the_processor_borrows_main_memory(machine: Machine) -> None:
    sizes = {"mem_info_vram_total": GIB, "mem_info_vram_used": GIB // 2}
    machine.amd(metrics=INTEGRATED, **sizes)
    pool = machine.pool()
    assert (pool.kind, pool.total, pool.available) == (PoolKind.UNIFIED, 17 * GIB, GIB // 2 + 15 * GIB)
    machine.write("proc/meminfo", MEMINFO.replace("16777216", "2097152"))
    assert machine.pool().available == GIB // 2 + 2 * GIB, "no more than main memory has"


def test_a_gpu_in_the_processor_with_most_set_aside_has_that(machine: Machine) -> None:
    machine.amd(metrics=INTEGRATED, mem_info_vram_total=96 * GIB)
    pool = machine.pool()
    assert (pool.kind, pool.total, pool.available) == (PoolKind.DEVICE, 96 * GIB, 93 * GIB)


def test_a_card_that_sleeps_is_not_woken(machine: Machine) -> None:
    machine.amd()
    machine.write("drm/card0/device/power/runtime_status", "suspended\n")
    for woken in ("gpu_busy_percent", "gpu_metrics"):
        (machine.root / "drm/card0/device" / woken).unlink()
        (machine.root / "drm/card0/device" / woken).mkdir()
    pool = machine.pool()
    assert (pool.available, pool.busy) == (21 * GIB, None)


def test_cards_are_numbered_by_their_addresses_after_nvidias(machine: Machine) -> None:
    machine.amd(5, slot="0000:03:00.0")
    machine.amd(0, slot="0000:0c:00.0", mem_info_vram_total=8 * GIB)
    machine.card(2, "nouveau", "0000:01:00.0", "10DE:2684", {})
    assert [(p.name, p.total) for p in machine.sample().pools] == [("gpu0", 24 * GIB), ("gpu1", 8 * GIB)]
    for slot, told in {
        "0000:01:00.0": "DRIVER=nvidia\nPCI_CLASS=30000\n",
        "0000:01:00.1": "DRIVER=snd_hda_intel\nPCI_CLASS=40300\n",
        "0000:02:00.0": "DRIVER=nvidia\nPCI_CLASS=30200\n",
        "0000:05:00.0": "DRIVER=nouveau\nPCI_CLASS=30000\n",
    }.items():
        machine.write(f"pci/{slot}/uevent", told)
    machine.probe = machine.made()
    assert [p.name for p in machine.sample().pools] == ["gpu2", "gpu3"]


LIES: dict[str, dict[str, object]] = {
    "more used than total": {"mem_info_vram_used": 25 * GIB},
    "negative": {"mem_info_vram_used": -1},
    "no number": {"mem_info_vram_total": "nan"},
    "nothing at all": {"mem_info_vram_total": 0},
    "busier than always": {"gpu_busy_percent": 250},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_card_that_lies_leaves_the_others_their_say(machine: Machine, lie: str) -> None:
    machine.amd(0, slot="0000:03:00.0", **LIES[lie])
    machine.amd(1, slot="0000:0c:00.0")
    reading = machine.sample()
    assert [pool.name for pool in reading.pools] == ["gpu1"]
    assert [fault.partition(":")[0] for fault in reading.faults] == ["gpu0"]


def test_a_card_that_is_pulled_out_is_gone(machine: Machine) -> None:
    machine.amd()
    assert machine.pool()
    (machine.root / "drm/card0/device/uevent").unlink()
    assert machine.sample() == HostReading()


def test_who_holds_an_amd_card_is_asked_when_its_figure_moves(machine: Machine) -> None:
    slot = "0000:03:00.0"
    machine.amd()
    machine.program(7, "ollama", client(slot, 1, "drm-memory-vram:\t2097152 KiB", "drm-memory-gtt:\t1 KiB"))
    machine.program(8, "Xorg", client(slot, 2, "drm-resident-vram:\t64 MiB", "drm-memory-vram:\t9 MiB"))
    held = (Holder(7, 2 * GIB, "ollama"), Holder(8, 64 * MIB, "Xorg"))
    assert machine.pool().held_by == held
    machine.program(9, "late", client(slot, 3, "drm-memory-vram:\t1024 MiB"))
    machine.clock.advance(2 * FRESH_SECONDS)
    assert machine.pool().held_by == held
    machine.write("drm/card0/device/mem_info_vram_used", f"{4 * GIB}\n")
    held = (held[0], Holder(9, GIB, "late"), held[1])
    assert machine.pool().held_by == held
    machine.clock.advance(FRESH_SECONDS / 2)
    machine.write("drm/card0/device/mem_info_vram_used", f"{5 * GIB}\n")
    assert machine.pool().held_by == (), "who holds that much is not known, and not looked for so soon"
    machine.clock.advance(FRESH_SECONDS / 2)
    assert machine.pool().held_by == held


def test_one_look_serves_all_cards(machine: Machine) -> None:
    machine.amd(0, slot="0000:03:00.0")
    machine.amd(1, slot="0000:0c:00.0")
    slots = "0000:03:00.0", "0000:0c:00.0"
    machine.program(7, "ollama", *(client(slot, 1, "drm-memory-vram:\t1 GiB") for slot in slots))
    assert [pool.held_by for pool in machine.sample().pools] == [(Holder(7, GIB, "ollama"),)] * 2


@pytest.mark.parametrize("driver", ["xe", "i915"])
def test_an_intel_cards_free_memory_is_what_its_programs_leave(machine: Machine, driver: str) -> None:
    slot, region = "0000:04:00.0", {"xe": "vram0", "i915": "local0"}[driver]
    machine.arc(driver)
    said = client(
        slot, 1, f"drm-total-{region}:\t9 GiB", f"drm-resident-{region}:\t2048 MiB", "drm-resident-system:\t7"
    )
    machine.program(7, "game", said, said)
    machine.program(8, "other", client("0000:99:00.0", 1, f"drm-resident-{region}:\t1 GiB"))
    pool = machine.pool()
    assert (pool.kind, pool.total, pool.available) == (PoolKind.DEVICE, 16 * GIB, 14 * GIB)
    assert (pool.label, pool.held_by) == ("Intel Arc A770", (Holder(7, 2 * GIB, "game"),)), "a client counts once"
    machine.program(9, "late", client(slot, 5, f"drm-resident-{region}:\t1 GiB"))
    assert machine.pool().available == 14 * GIB, "open files are not looked through every time"
    machine.clock.advance(FRESH_SECONDS)
    assert machine.pool().available == 13 * GIB


def test_an_intel_drivers_own_figures_come_first(machine: Machine) -> None:
    machine.arc("i915", lmem_total_bytes=8 * GIB, lmem_avail_bytes=5 * GIB)
    assert (machine.pool().total, machine.pool().available) == (8 * GIB, 5 * GIB)
    machine.write("drm/card1/lmem_avail_bytes", f"{9 * GIB}\n")
    assert machine.sample().pools == ()
    assert machine.sample().faults


def test_the_parts_of_an_intel_chip_count_together(machine: Machine) -> None:
    tiles = {f"device/tile{number}/physical_vram_size_bytes": hex(6 * GIB) for number in (0, 1)}
    machine.arc(window=256 * MIB, **tiles)
    assert machine.pool().total == 12 * GIB


def test_an_intel_card_shown_through_a_small_window_is_left_out(machine: Machine) -> None:
    machine.arc(window=256 * MIB)
    reading = machine.sample()
    assert reading.pools == ()
    assert "Resizable BAR is off" in reading.faults[0]


def test_an_intel_card_whose_programs_hold_too_much_is_left_out(machine: Machine) -> None:
    machine.arc()
    machine.program(7, "liar", client("0000:04:00.0", 1, "drm-resident-vram0:\t17 GiB"))
    reading = machine.sample()
    assert reading.pools == ()
    assert reading.faults


def test_intels_gpu_in_the_processor_works_in_main_memory(machine: Machine) -> None:
    machine.card(0, "i915", "0000:00:02.0", "8086:9A49", {})
    pool = machine.pool()
    assert (pool.kind, pool.total, pool.available) == (PoolKind.UNIFIED, 32 * GIB, 16 * GIB)
    assert pool.label == "Intel GPU 8086:9A49"


def test_without_a_card_nothing_is_told(tmp_path: Path, machine: Machine) -> None:
    assert machine.sample() == HostReading()
    nowhere = tmp_path / "nowhere"
    probe = DrmProbe(ProbeContext(name="drm"), drm=nowhere, pci=nowhere, proc=nowhere, cgroups=nowhere)
    assert probe.sample() == HostReading()
