"""Learns what power a model's work takes on this machine, and has it correct what the settings say."""

from __future__ import annotations

from mai_core.policy.resources import ResourceSnapshot
from mai_core.runtime.store import Store

__all__ = ["Metering"]


class Metering:
    """Looks at the machine's power before a turn and at its end. All methods block."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known = store.power_draw()

    def watts(self, configured: float) -> float:
        """Watts this machine draws more while a model works: as measured, else as ``configured``."""
        extra = self._known.extra
        return configured if extra is None else extra

    def look(self, snapshot: ResourceSnapshot, *, busy: bool) -> None:
        """Remember what this machine draws now, where a sensor tells."""
        here = snapshot.host("local")
        if here is None or here.power is None:
            return
        power = here.power
        self._known = self._store.learn_power(lambda known: known.seen(power, busy=busy))
