"""What every backend has in memory, asked anew each time, without waiting for one that is slow to say."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping

from mai_core.errors import BackendUnavailable, EngineAbsent, MaiError
from mai_core.plugin.interfaces import Backend
from mai_core.policy.models import LoadedModel

__all__ = ["Residents"]

log = logging.getLogger("mai.pool")

LISTING_SECONDS = 10.0
PATIENCE_SECONDS = 0.5


class Residents:
    """The loaded models of all backends.

    A backend that has not answered within half a second is asked on, but not waited for again until it has: what it
    said last counts meanwhile. One that fails, or keeps silent for ten seconds, has nothing loaded.
    """

    def __init__(self, backends: Mapping[str, Backend]) -> None:
        self._backends = backends
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._late: set[str] = set()
        self._said: dict[str, tuple[LoadedModel, ...]] = {}
        self._changes: Counter[str] = Counter()
        self._faults: dict[str, str] = {}
        self._out_of_reach: dict[str, BackendUnavailable] = {}

    async def all(self) -> tuple[LoadedModel, ...]:
        """What is in memory, over all backends."""
        return tuple(m for models in await asyncio.gather(*map(self.of, self._backends)) for m in models)

    async def of(self, name: str) -> tuple[LoadedModel, ...]:
        """What this backend has in memory."""
        # A listing in flight may be older than what the caller just did: it waits for one that begins now.
        older = self._asking.get(name)
        if name in self._late:
            if older is None:
                self._begin(name)
        elif older is None or await self._in_time(name, older):
            await self._in_time(name, self._asking.get(name) or self._begin(name))
        return self._said.get(name, ())

    async def surely_of(self, name: str) -> tuple[LoadedModel, ...]:
        """What this backend has in memory, for one who is about to use it and so waits until it has said.

        Raises ``BackendUnavailable`` where it cannot be reached: it is not to be given a second copy of what it may
        well have.
        """
        older = self._asking.get(name)
        if older is not None:
            await asyncio.wait([older])
        if older is None or name not in self._out_of_reach:
            await asyncio.wait([self._asking.get(name) or self._begin(name)])
        if name in self._out_of_reach:
            raise self._out_of_reach[name]
        return self._said.get(name, ())

    def add(self, loaded: LoadedModel) -> None:
        """An instance was loaded: that is known without asking."""
        self.remove(loaded)
        self._said[loaded.backend] = (*self._said.get(loaded.backend, ()), loaded)

    def remove(self, loaded: LoadedModel) -> None:
        """An instance was unloaded."""
        self._changes[loaded.backend] += 1
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
        changes, gone = self._changes[name], None
        try:
            async with asyncio.timeout(LISTING_SECONDS):
                said = tuple(await backend.loaded())
            if self._changes[name] == changes:  # else it may be older than what was done here since
                self._said[name] = said
            self._late.discard(name)
            self._faults.pop(name, None)
            self._out_of_reach.pop(name, None)
            return
        except EngineAbsent:
            fault = ""
        except MaiError as error:
            fault, gone = str(error), error if isinstance(error, BackendUnavailable) else None
        except TimeoutError:
            fault = f"no answer within {LISTING_SECONDS:g} s"
            gone = BackendUnavailable(f"{name} did not say within {LISTING_SECONDS:g} s what it has loaded")
        except Exception as error:  # noqa: BLE001 - a third party's backend; it is named and left out
            fault = f"{type(error).__name__}: {error}"
        finally:
            self._asking.pop(name, None)
        if gone is not None:
            self._out_of_reach[name] = gone
        else:
            self._out_of_reach.pop(name, None)
        self._said[name] = ()
        if fault and fault != self._faults.get(name):
            log.warning("backend cannot say what it has loaded", extra={"backend": name, "error": fault})
        self._faults[name] = fault
