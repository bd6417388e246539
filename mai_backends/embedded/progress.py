"""How far a fetch has come, told often enough for a progress bar and no more often."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from mai_core.plugin.interfaces import FetchProgress

__all__ = ["Meter"]

_EVERY = 0.05


class Meter:
    """Passes progress on at most twenty times a second, and always the first and the last of a stage."""

    def __init__(
        self, progress: Callable[[FetchProgress], None] | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._progress = progress
        self._clock = clock
        self._stage = ""
        self._due = 0.0

    def tell(self, stage: str, done: int = 0, total: int = 0) -> None:
        """``done`` of ``total`` bytes (0 when unknown) of this stage. Called on the event loop."""
        now = self._clock()
        finished = 0 < total <= done
        if self._progress is None or (stage == self._stage and now < self._due and not finished):
            return
        self._stage, self._due = stage, now + _EVERY
        self._progress(FetchProgress(stage=stage, done=done, total=total))

    def from_thread(self, stage: str, total: int) -> Callable[[int], None]:
        """The same for a thread to call, with the bytes done."""
        loop = asyncio.get_running_loop()

        def tell(done: int) -> None:
            loop.call_soon_threadsafe(self.tell, stage, done, total)

        return tell
