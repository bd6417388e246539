"""Intel's GPUs: what the i915 and xe drivers tell.

Neither tells in sysfs how much memory of a card is in use: that is the sum of what its programs say they hold, as far
as this person may look (``fdinfo``). How much there is, a driver's own file tells, or the window to it that
the processor sees, which with Resizable BAR is all of it.
"""

from __future__ import annotations

from mai_backends.probes.card import Borrowed, Card, CardMemory, part_free
from mai_backends.probes.fdinfo import Clients
from mai_backends.probes.kernel import Lie, number, text

__all__ = ["read_intel"]

INTEGRATED_SLOT = "0000:00:02.0"
ALL = 2**63
WINDOW = 2
"""The number of the memory window (BAR) to a card's own memory."""
SMALLEST = 1024**3
"""A smaller window is a view of a part: no card with own memory that these drivers run has so little."""


def read_intel(card: Card, clients: Clients) -> CardMemory:
    """Its own memory, or all of main memory for a GPU in the processor. Raises ``Lie`` or ``OSError``."""
    if card.slot == INTEGRATED_SLOT:
        return CardMemory(0, 0, Borrowed(ALL, ALL))
    total, free = number(card.folder / "lmem_total_bytes"), number(card.folder / "lmem_avail_bytes")
    if total is not None and free is not None:
        return CardMemory(total, total - part_free(total, free, "video memory"))
    total = _tiles(card) or _window(card)
    holders = clients.holders(card.slot)
    return CardMemory(total, part_free(total, sum(holders.values()), "video memory"), holders=holders)


def _tiles(card: Card) -> int:
    """Bytes of all parts of the chip, as xe tells them, in hexadecimal; some of it the firmware keeps for itself."""
    told = [text(file) or "0" for file in card.device.glob("tile*/physical_vram_size_bytes")]
    try:
        return sum(int(said, 0) for said in told)
    except ValueError:
        raise Lie(f"physical_vram_size_bytes says {told}") from None


def _window(card: Card) -> int:
    """Bytes of the window; ``resource`` has a line ``first last flags`` for each, see the kernel's sysfs-pci.rst."""
    lines = (text(card.device / "resource") or "").splitlines()
    try:
        first, last = (int(word, 16) for word in lines[WINDOW].split()[:2])
    except (ValueError, IndexError):
        raise Lie("resource does not tell the window to its memory") from None
    size = last - first + 1
    if size < SMALLEST:
        raise Lie(f"nothing tells how much memory it has: its window shows {max(0, size)} bytes; Resizable BAR is off")
    return size
