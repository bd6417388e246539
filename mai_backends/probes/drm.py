"""The probe of AMD's and Intel's GPUs, by what the Linux kernel tells of them in sysfs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar

from mai_backends.probes.amd import read_amd
from mai_backends.probes.card import Card, CardMemory
from mai_backends.probes.cgroup import Groups
from mai_backends.probes.fdinfo import Clients
from mai_backends.probes.holders import largest
from mai_backends.probes.intel import read_intel
from mai_backends.probes.kernel import text
from mai_backends.probes.main_memory import CGROUPS, PROC, read_main_memory
from mai_backends.probes.options import refuse_options
from mai_backends.probes.pci import DATABASES, NVIDIA_DRIVER, hardware_name, is_display, properties
from mai_backends.probes.sensors import Sensors
from mai_core.plugin.interfaces import ProbeContext
from mai_core.policy.resources import HostReading, MemoryPool, PoolKind

__all__ = ["DrmProbe"]

DRM = Path("/sys/class/drm")
PCI = Path("/sys/bus/pci/devices")
_READERS: Mapping[str, Callable[[Card, Clients], CardMemory]] = {
    "amdgpu": read_amd,
    "i915": read_intel,
    "xe": read_intel,
}


class DrmProbe:
    """Memory and load of every AMD and Intel GPU; silent where there is none, and where there is no Linux.

    They are numbered in the order of their addresses, after the GPUs NVIDIA's driver has: each has one name, whichever
    probes there are.
    """

    kind: ClassVar[str] = "drm"

    def __init__(
        self,
        context: ProbeContext,
        *,
        drm: Path = DRM,
        pci: Path = PCI,
        proc: Path = PROC,
        cgroups: Path = CGROUPS,
        databases: tuple[Path, ...] = DATABASES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        refuse_options(context, self.kind)
        self.name = context.name
        self._drm, self._pci, self._proc, self._databases = drm, pci, proc, databases
        self._groups = Groups(proc, cgroups)
        self._clients = Clients(proc, clock)
        self._labels: dict[str, str] = {}
        self._first: int | None = None

    def sample(self) -> HostReading:
        """What the kernel tells now: a few small files for each GPU."""
        sensors = Sensors()
        cards = sensors.ask("cards", self._cards) or []
        if not cards:
            return HostReading(faults=sensors.faults)
        if self._first is None:
            self._first = _nvidia_gpus(self._pci)
        pools = []
        for number, card in enumerate(cards, self._first):
            pool = sensors.ask(f"gpu{number}", partial(self._pool, f"gpu{number}", card))
            pools += [pool] if pool is not None else []
        return HostReading(pools=tuple(pools), faults=sensors.faults)

    def _cards(self) -> list[Card]:
        if not self._drm.is_dir():
            return []
        found = []
        for folder in self._drm.iterdir():
            if re.fullmatch(r"card\d+", folder.name):
                told = properties(folder / "device")
                if told.get("DRIVER") in _READERS:
                    found.append(Card(folder, told.get("PCI_SLOT_NAME", folder.name), told))
        return sorted(found, key=lambda card: card.slot)

    def _pool(self, name: str, card: Card) -> MemoryPool | None:
        memory = _READERS[card.driver](card, self._clients)
        kind, total, available, limited_by = PoolKind.DEVICE, memory.total, memory.free, ""
        if memory.borrowed is not None:
            # What is wrong with main memory is the system probe's to tell.
            main = read_main_memory(Sensors(), self._groups, self._proc)
            if main is None:
                return None
            kind, limited_by = PoolKind.UNIFIED, main.pool.limited_by
            borrowable = min(main.pool.available, memory.borrowed.free)
            total += min(main.pool.total, memory.borrowed.total)
            available += borrowable
        held = largest(memory.holders, self._proc)
        return MemoryPool(name, kind, total, available, limited_by, self._label(card), held_by=held, busy=memory.busy)

    def _label(self, card: Card) -> str:
        if card.slot not in self._labels:
            told = (text(card.device / "product_name") or "").strip()
            self._labels[card.slot] = told or hardware_name(card.properties.get("PCI_ID", ""), self._databases)
        return self._labels[card.slot]


def _nvidia_gpus(pci: Path) -> int:
    """How many GPUs NVIDIA's driver has: the numbers before the first of ours."""
    if not pci.is_dir():
        return 0
    devices = [properties(folder) for folder in pci.iterdir()]
    return sum(told.get("DRIVER") == NVIDIA_DRIVER and is_display(told) for told in devices)
