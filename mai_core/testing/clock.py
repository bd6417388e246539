"""Time that tests move by hand."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

__all__ = ["FakeClock"]


class FakeClock:
    """A clock in seconds that stands still until it is moved; call it to read it.

    Coroutines in ``sleep`` wake in order of their time. With ``auto`` time leaps to the earliest of them as soon as
    the event loop has nothing better to do, so that hours pass in no time.
    """

    def __init__(self, now: float = 0.0, *, auto: bool = False) -> None:
        self._now = now
        self._auto = auto
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        """The time now."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass, waking everyone whose time has come."""
        until = self._now + seconds
        while self._sleepers and self._sleepers[0][0] <= until:
            self._now, _, sleeper = heapq.heappop(self._sleepers)
            if not sleeper.done():
                sleeper.set_result(None)
        self._now = until

    async def sleep(self, seconds: float) -> None:
        """Wait until so much time has passed on this clock."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), sleeper))
        if self._auto:
            asyncio.get_running_loop().call_soon(self._leap)
        await sleeper

    def _leap(self) -> None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if self._sleepers:
            self.advance(self._sleepers[0][0] - self._now)
