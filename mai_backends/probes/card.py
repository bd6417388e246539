"""A graphics card as sysfs shows it, and what is read of its memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mai_backends.probes.kernel import Lie, number, text

__all__ = ["Borrowed", "Card", "CardMemory", "part_free"]


@dataclass(frozen=True, slots=True)
class Card:
    """``folder`` is its place below ``/sys/class/drm``, ``slot`` its address, ``properties`` its ``uevent``."""

    folder: Path
    slot: str
    properties: Mapping[str, str]

    @property
    def device(self) -> Path:
        """The folder of the hardware."""
        return self.folder / "device"

    @property
    def driver(self) -> str:
        """The kernel's driver for it."""
        return self.properties.get("DRIVER", "")

    @property
    def sleeps(self) -> bool:
        """Whether it is suspended: some of its files would wake it."""
        return (text(self.device / "power" / "runtime_status") or "").strip() == "suspended"

    def size(self, name: str) -> int | None:
        """Bytes a file of the hardware's folder tells; None when there is no such file. Raises ``Lie``."""
        return number(self.device / name)


@dataclass(frozen=True, slots=True)
class Borrowed:
    """Bytes of main memory a GPU may map at most, and how many of those it has not mapped yet."""

    total: int
    free: int


@dataclass(frozen=True, slots=True)
class CardMemory:
    """Bytes of a card's own memory, and what it may borrow of main memory where it works in that."""

    total: int
    free: int
    borrowed: Borrowed | None = None
    busy: float | None = None
    holders: Mapping[int, int] = field(default_factory=dict)


def part_free(total: int, used: int, what: str) -> int:
    """What is left of ``total``. Raises ``Lie`` when more is used than there is."""
    if used > total:
        raise Lie(f"{used} of {total} bytes of {what} used")
    return total - used
