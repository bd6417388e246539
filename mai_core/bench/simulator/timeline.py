"""What happens next: a clock that jumps from event to event, in the order of time, then of planning."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Timeline"]


@dataclass(slots=True, eq=False)
class Timeline:
    """Events to come, and the moment it is: seconds from the start."""

    now: float = 0.0
    _events: list[tuple[float, int, Callable[[Any], None], Any]] = field(default_factory=list)
    _planned: int = 0

    def at(self, when: float, then: Callable[[Any], None], what: object) -> None:
        """Plan that ``then`` is told ``what`` at that moment."""
        self._planned += 1
        heapq.heappush(self._events, (when, self._planned, then, what))

    @property
    def next(self) -> float:
        """The moment of the next event; infinite when there is none."""
        return self._events[0][0] if self._events else float("inf")

    def step(self) -> None:
        """Go to the next event and let it happen."""
        self.now, _, then, what = heapq.heappop(self._events)
        then(what)
