"""The processor: which cores this process may use, and how busy they are."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from mai_core.policy.resources import Cpu

__all__ = ["Processor"]

SHORTEST = 0.05
"""Seconds between two samples that tell anything."""
STILL_SECONDS = 10.0
"""Counters that did not move for so long do not count: on a machine that runs, idle time grows at least."""
_IDLE = ("idle", "iowait")
# Linux counts what guests of virtual machines used within user and nice already.
_COUNTED_TWICE = ("guest", "guest_nice")


def usable_cores() -> frozenset[int]:
    """The cores this process may run on, by number."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def times_of_cores() -> Sequence[Any]:
    """Seconds each core spent in each state since the machine started."""
    import psutil

    return psutil.cpu_times(percpu=True)


def load_average() -> float:
    """Processes that wanted to run during the last minute, on average; 0 where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


class Processor:
    """Remembers the last sample, so that the next one can tell what happened in between without waiting.

    ``stands_still`` when the counters do not count, as in some sandboxes: the load average then says how busy it is.
    """

    def __init__(
        self,
        *,
        usable: Callable[[], frozenset[int]] = usable_cores,
        times: Callable[[], Sequence[Any]] = times_of_cores,
        load: Callable[[], float] = load_average,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._usable = usable
        self._times = times
        self._load = load
        self._clock = clock
        self._last: tuple[float, float] | None = None
        self._moved_at = clock()
        self._busy = 0.0
        self.stands_still = False

    def read(self, quota: float | None) -> Cpu:
        """Cores, bound by affinity and ``quota``, and the busy share of them since the last call."""
        usable = self._usable()
        cores = len(usable) if quota is None else min(len(usable), math.ceil(quota))
        self._observe(usable)
        return Cpu(max(1, cores), self._busy)

    def _observe(self, usable: frozenset[int]) -> None:
        rows = self._times()
        mine = [row for number, row in enumerate(rows) if number in usable] or rows
        total = sum(sum(row) - _of(row, _COUNTED_TWICE) for row in mine)
        idle = sum(_of(row, _IDLE) for row in mine)
        passed = total - self._last[0] if self._last is not None else 0.0
        if passed or self._last is None:
            self._moved_at = self._clock()
        self.stands_still = self._clock() - self._moved_at >= STILL_SECONDS
        if self._last is None or self.stands_still:
            self._busy = _share(self._load() / max(1, len(rows)))
        else:
            # Counters tick every 10 ms: a shorter look says nothing, and the last one still holds.
            if 0 <= passed < SHORTEST * len(mine):
                return
            # They step back when a core goes offline or a machine wakes: then this look begins anew.
            if passed > 0:
                self._busy = _share(1.0 - (idle - self._last[1]) / passed)
        self._last = (total, idle)


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))


def _of(row: Any, names: tuple[str, ...]) -> float:
    return float(sum(getattr(row, name, 0.0) for name in names))
