"""AMD's GPUs: what the amdgpu driver tells in sysfs.

See the kernel's Documentation/gpu/amdgpu/driver-misc.rst (``mem_info_*``) and thermal.rst (``gpu_busy_percent``,
``gpu_metrics``).
"""

from __future__ import annotations

from mai_backends.probes.card import Borrowed, Card, CardMemory, part_free
from mai_backends.probes.fdinfo import Clients
from mai_backends.probes.kernel import Lie, number

__all__ = ["read_amd"]

# The header of gpu_metrics: two bytes of its size, then the format: 1 for cards, 2 and 3 for processors with a GPU.
_INTEGRATED = (2, 3)


def read_amd(card: Card, clients: Clients) -> CardMemory:
    """Its own memory; of a GPU in the processor also what it borrows. Raises ``Lie`` or ``OSError``.

    A GPU in the processor has a part of main memory set aside by the firmware, which the system does not see, and maps
    more of it at need (GTT). When more is set aside than can be mapped, programs use that part alone.
    """
    total, used = card.size("mem_info_vram_total"), card.size("mem_info_vram_used")
    if not total or used is None:
        raise Lie(f"mem_info_vram_total and _used tell {total} and {used}")
    free = part_free(total, used, "video memory")
    awake = not card.sleeps
    return CardMemory(
        total,
        free,
        _borrowed(card, total) if awake and _is_integrated(card) else None,
        _busy(card) if awake else None,
        clients.holders(card.slot, used),
    )


def _is_integrated(card: Card) -> bool:
    try:
        with (card.device / "gpu_metrics").open("rb") as file:
            header = file.read(4)
    except OSError:
        return False
    return len(header) == 4 and header[2] in _INTEGRATED


def _borrowed(card: Card, own: int) -> Borrowed | None:
    total, used = card.size("mem_info_gtt_total"), card.size("mem_info_gtt_used")
    if total is None or used is None or own >= total:
        return None
    return Borrowed(total, part_free(total, used, "mapped main memory"))


def _busy(card: Card) -> float | None:
    percent = number(card.device / "gpu_busy_percent")
    if percent is not None and percent > 100:
        raise Lie(f"busy for {percent} percent of the time")
    return None if percent is None else percent / 100
