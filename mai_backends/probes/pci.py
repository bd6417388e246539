"""What hardware is at an address, and what a person calls it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from mai_backends.probes.kernel import text

__all__ = ["DATABASES", "NVIDIA_DRIVER", "hardware_name", "is_display", "properties"]

NVIDIA_DRIVER = "nvidia"
DATABASES = (Path("/usr/share/hwdata/pci.ids"), Path("/usr/share/misc/pci.ids"))
_VENDORS = {"1002": "AMD", "8086": "Intel"}


def properties(device: Path) -> dict[str, str]:
    """The lines ``NAME=value`` of a device's ``uevent``; none where it has none. Raises ``OSError``."""
    lines = (text(device / "uevent") or "").splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def is_display(told: Mapping[str, str]) -> bool:
    """Whether a device draws or computes: class 3 of the PCI code and ID assignment, whatever its subclass."""
    return told.get("PCI_CLASS", "").zfill(6).startswith("03")


def hardware_name(pci_id: str, databases: Iterable[Path] = DATABASES) -> str:
    """The maker and the name ``vendor:device`` has in the PCI ID database; its numbers where it has none."""
    vendor, _, device = pci_id.lower().partition(":")
    maker = _VENDORS.get(vendor, "")
    for database in databases:
        if name := _looked_up(database, vendor, device):
            # "Navi 31 [Radeon RX 7900 XTX]": people know the words in the brackets.
            known = name.partition("[")[2].partition("]")[0] or name
            return f"{maker} {known}".strip()
    return f"{maker} GPU {pci_id}".strip()


def _looked_up(database: Path, vendor: str, device: str) -> str:
    try:
        with database.open(encoding="utf-8", errors="replace") as lines:
            inside = False
            for line in lines:
                if inside and line.startswith(f"\t{device} "):
                    return line.strip().partition("  ")[2]
                if not line.startswith(("\t", "#", "\n")):
                    if inside:
                        break
                    inside = line.startswith(f"{vendor} ")
    except OSError:
        pass
    return ""
