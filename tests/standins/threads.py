"""A server in a thread of its own: what all stand-ins are started, killed and frozen by."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Self

__all__ = ["ServerThread"]

PATIENCE_SECONDS = 30


class ServerThread:
    """A server with an event loop of its own. Subclasses listen in ``_main`` until ``_stopping`` is set."""

    _thread: threading.Thread | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _stopping: asyncio.Event

    async def _main(self, ready: threading.Event) -> None:
        """Set ``ready`` when it listens, or is not going to for a while."""
        raise NotImplementedError

    def start(self) -> None:
        """Listens when this returns, unless the fault is that it does so later or never."""
        if self._thread is not None:
            return
        ready = threading.Event()
        name = type(self).__name__
        self._thread = threading.Thread(target=lambda: asyncio.run(self._play(ready)), name=name, daemon=True)
        self._thread.start()
        if not ready.wait(PATIENCE_SECONDS):
            raise RuntimeError("the stand-in does not come up")

    def stop(self) -> None:
        """As if the process were killed: sockets gone, models gone."""
        thread, loop = self._thread, self._loop
        if thread is None or loop is None:
            return
        self._thread = None
        loop.call_soon_threadsafe(self._stopping.set)
        thread.join(PATIENCE_SECONDS)
        if thread.is_alive():
            raise RuntimeError("the stand-in does not go away")

    def restart(self) -> None:
        """Goes away and is back at the same port, with nothing loaded."""
        self.stop()
        self.start()

    def freeze(self, seconds: float) -> None:
        """Stands still as a stopped process does: connections are there, and nothing comes."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(time.sleep, seconds)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    async def _play(self, ready: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        await self._main(ready)
