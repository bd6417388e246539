"""Whether a server that is at work, and says nothing on the channel it works for, is there at all.

Its greeting is asked for beside, over a connection of its own: who is merely busy with a model still gives it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from mai_backends.lmstudio.discovery import Address, greets

__all__ = ["Lifeless", "Pulse"]

T = TypeVar("T")

QUIET_SECONDS = 1.5
GREETING_SECONDS = 3.5
LATE_SECONDS = 1.0


class Lifeless(Exception):
    """No sign of life of any kind for too long."""


class Pulse:
    """Feels the pulse of the server at ``address``: five seconds without a word and without a greeting are its end."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._clock = asyncio.get_running_loop().time
        self._heard = self._clock()

    def beat(self) -> None:
        """A word came from the server."""
        self._heard = self._clock()

    async def while_there(self, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` gives. Raises ``Lifeless`` when the server is gone from under it."""
        working, ending = asyncio.create_task(work), asyncio.create_task(self._ends())
        try:
            await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise Lifeless
        finally:
            for task in (working, ending):
                task.cancel()
            await asyncio.gather(working, ending, return_exceptions=True)

    async def _ends(self) -> None:
        while True:
            await asyncio.sleep(self._heard + QUIET_SECONDS - self._clock())
            asked = self._clock()
            if asked < self._heard + QUIET_SECONDS:
                continue
            if await greets(self._address, GREETING_SECONDS) is not None:
                self.beat()
                continue
            # On a machine that comes to nothing else, it may be this process that was late to hear.
            late = self._clock() - asked > GREETING_SECONDS + LATE_SECONDS
            if not late and self._heard < asked:
                return
