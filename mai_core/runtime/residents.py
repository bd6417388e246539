"""What every backend has in memory, asked anew each time, without waiting for one that is slow to say."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from mai_core.errors import EngineAbsent, MaiError
from mai_core.plugin.interfaces import Backend
from mai_core.policy.models import LoadedModel

__all__ = ["Residents"]

log = logging.getLogger("mai.pool")

LISTING_SECONDS = 10.0
PATIENCE_SECONDS = 0.5


class Residents:
    """The loaded models of all backends.

    A backend that has not answered within half a second is not waited for again until it has: what it said last
    counts meanwhile. One that fails, or keeps silent for ten seconds, has nothing loaded.
    """

    def __init__(self, backends: Mapping[str, Backend]) -> None:
        self._backends = backends
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._late: set[str] = set()
        self._said: dict[str, tuple[LoadedModel, ...]] = {}
        self._faults: dict[str, str] = {}

    async def all(self) -> tuple[LoadedModel, ...]:
        """What is in memory, over all backends."""
        return tuple(m for models in await asyncio.gather(*map(self.of, self._backends)) for m in models)

    async def of(self, name: str) -> tuple[LoadedModel, ...]:
        """What this backend has in memory."""
        if name not in self._late:
            # A listing in flight may be older than what the caller just did: it waits for one that begins now.
            older = self._asking.get(name)
            if older is None or await self._in_time(name, older):
                await self._in_time(name, self._asking.get(name) or self._begin(name))
        return self._said.get(name, ())

    def add(self, loaded: LoadedModel) -> None:
        """An instance was loaded: that is known without asking."""
        self.remove(loaded)
        self._said[loaded.backend] = (*self._said.get(loaded.backend, ()), loaded)

    def remove(self, loaded: LoadedModel) -> None:
        """An instance was unloaded."""
        said = self._said.get(loaded.backend, ())
        self._said[loaded.backend] = tuple(m for m in said if m.instance != loaded.instance)

    async def close(self) -> None:
        """Wait for nobody any more."""
        asking = tuple(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    def _begin(self, name: str) -> asyncio.Task[None]:
        self._asking[name] = asyncio.create_task(self._ask(name, self._backends[name]))
        return self._asking[name]

    async def _in_time(self, name: str, asking: asyncio.Task[None]) -> bool:
        _, late = await asyncio.wait([asking], timeout=PATIENCE_SECONDS)
        if late:
            self._late.add(name)
        return not late

    async def _ask(self, name: str, backend: Backend) -> None:
        try:
            async with asyncio.timeout(LISTING_SECONDS):
                self._said[name] = tuple(await backend.loaded())
            self._faults.pop(name, None)
            return
        except EngineAbsent:
            fault = ""
        except MaiError as error:
            fault = str(error)
        except TimeoutError:
            fault = f"no answer within {LISTING_SECONDS:g} s"
        except Exception as error:  # noqa: BLE001 - a third party's backend; it is named and left out
            fault = f"{type(error).__name__}: {error}"
        finally:
            self._asking.pop(name, None)
            self._late.discard(name)
        self._said[name] = ()
        if fault and fault != self._faults.get(name):
            log.warning("backend cannot say what it has loaded", extra={"backend": name, "error": fault})
        self._faults[name] = fault
