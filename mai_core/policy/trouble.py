"""When a machine is in trouble, told apart from noise by two thresholds."""

from __future__ import annotations

from mai_core.policy.feasibility import Limits, headroom
from mai_core.policy.resources import Host

__all__ = ["in_trouble"]


def in_trouble(host: Host, was_in_trouble: bool, limits: Limits, pressure_full: float) -> bool:
    """Whether ``host`` is short of memory now.

    Trouble begins when less than a quarter of the headroom is left, or all work waited for memory for more than
    ``pressure_full`` of the last ten seconds. It ends when twice that much is free and half that pressure is left,
    so a sensor that wavers around one threshold changes nothing.
    """
    pool = host.ram
    if pool is None:
        return was_in_trouble
    reserve = headroom(host, limits)
    if was_in_trouble:
        return pool.available < reserve / 2 or host.pressure.memory_full > pressure_full / 2
    return pool.available < reserve / 4 or host.pressure.memory_full > pressure_full
