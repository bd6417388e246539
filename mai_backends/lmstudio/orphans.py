"""Loads that were given up and may end all the same: found by their identifiers, and unloaded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from lmstudio import LMStudioError

from mai_backends.lmstudio import failures
from mai_backends.lmstudio.catalogue import loaded_rows
from mai_backends.lmstudio.client import Connection
from mai_core.errors import BackendUnavailable

__all__ = ["Orphans"]

log = logging.getLogger("mai.lmstudio")

SOONEST = 0.1
RAREST = 5.0


class Orphans:
    """Looks for instances nobody waits for any more, in the background, each for ``seconds``.

    ``unloaded`` is told of each that was found.
    """

    def __init__(self, connection: Connection, *, seconds: float, unloaded: Callable[[str], None]) -> None:
        self._connection = connection
        self._seconds = seconds
        self._unloaded = unloaded
        self._until: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    def hunt(self, identifier: str) -> None:
        """Unload this instance as soon as it appears."""
        self._until[identifier] = asyncio.get_running_loop().time() + self._seconds
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look(), name="lmstudio-orphans")

    def __contains__(self, identifier: str) -> bool:
        """Whether this instance is looked for."""
        return identifier in self._until

    async def settle(self, seconds: float) -> None:
        """Wait so long for the hunt to end."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=seconds)

    async def close(self) -> None:
        """Stop looking, after a last look."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._until and self._connection.open:
            await self._sweep()

    async def _look(self) -> None:
        clock, pause = asyncio.get_running_loop().time, SOONEST
        while self._until:
            await self._sweep()
            self._until = {name: until for name, until in self._until.items() if until > clock()}
            await asyncio.sleep(pause if self._until else 0)
            pause = min(pause * 2, RAREST)

    async def _sweep(self) -> None:
        try:
            rows = await self._connection.call("llm", "listLoaded", seconds=1.0)
            for row in loaded_rows(rows if isinstance(rows, list) else ()):
                if row.identifier in self._until:
                    await self._connection.call("llm", "unloadModel", {"identifier": row.identifier})
                    self._until.pop(row.identifier, None)
                    self._unloaded(row.identifier)
                    log.info("orphan unloaded", extra={"instance": row.identifier})
        except (BackendUnavailable, LMStudioError) as error:
            log.info("orphans not looked for", extra={"why": failures.describe(error)})
