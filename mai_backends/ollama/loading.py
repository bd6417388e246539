"""Brings models into a server's memory and out of it again, and leaves nothing there that nobody asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mai_backends.ollama.client.errors import CALL_FAILED, Lost, Refused, Unreadable
from mai_backends.ollama.client.request import load_body
from mai_backends.ollama.failures import refused_load
from mai_core.errors import BackendError, BackendUnavailable, ModelLoadError

if TYPE_CHECKING:
    from mai_backends.ollama.client.api import Api
    from mai_backends.ollama.client.rows import Running
    from mai_backends.ollama.server import Server

__all__ = ["Loader"]

log = logging.getLogger("mai.ollama")

LISTING_SECONDS = 10.0
SECONDS_TO_ABANDON = 2.0
_PAUSE = 0.05


class Loader:
    """Loads and frees by model name. Whoever gives up on a load hangs up, and a server that is told so stops it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._cleaning: set[asyncio.Task[None]] = set()

    async def load(self, model: str, runner: Mapping[str, Any], *, keep_alive: float, seconds: float) -> Running:
        """Load, and tell how it is listed then. Cancelling leaves nothing in memory.

        Raises ``ModelFileError``, ``OutOfMemory``, ``ModelLoadError`` or ``BackendUnavailable``.
        """
        api, label = await self._server.api(), self._server.label
        try:
            async with asyncio.timeout(seconds):
                await api.load(load_body(model, runner, keep_alive=keep_alive))
            row = next((row for row in await self._server.running() if row.name == model), None)
        except Refused as error:
            raise refused_load(label, model, error.status, error.said) from error
        except TimeoutError as error:
            await self._abandon(model)
            raise ModelLoadError(f"{label} did not load {model} within {seconds:g} s") from error
        except (Lost, Unreadable) as error:
            await self._abandon(model)
            raise BackendUnavailable(f"{label} broke off while it loaded {model}", detail=repr(error)) from error
        except BaseException:
            await self._abandon(model)
            raise
        if row is None:
            raise ModelLoadError(f"{label} unloaded {model} as soon as it had loaded it")
        return row

    async def free(self, model: str, *, seconds: float) -> None:
        """Returns when the server no longer lists a model. Raises ``BackendError`` when that takes too long.

        A server that is gone holds nothing.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._expire_until_gone(await self._server.api(), model)
        except TimeoutError as error:
            raise BackendError(
                f"{self._server.label} did not free {model} within {seconds:g} s",
                remedy=f"somebody else may be using it; else: ollama stop {model}",
            ) from error
        except (*CALL_FAILED, BackendUnavailable) as error:
            log.warning("server does not answer while it unloads", extra={"model": model, "error": repr(error)})

    async def close(self) -> None:
        """Returns when nothing is being tidied up any more."""
        await asyncio.gather(*self._cleaning, return_exceptions=True)

    async def _abandon(self, model: str) -> None:
        """Tidy up after a load that was given up, also when whoever gave it up is in a hurry."""
        task = asyncio.create_task(self._tidy(model))
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)
        await asyncio.shield(task)

    async def _tidy(self, model: str) -> None:
        """A server that had just finished when it was told lists the model a moment later: look twice."""
        try:
            async with asyncio.timeout(SECONDS_TO_ABANDON):
                api = await self._server.api()
                await self._expire_until_gone(api, model)
                await asyncio.sleep(_PAUSE)
                await self._expire_until_gone(api, model)
        except (*CALL_FAILED, TimeoutError, BackendUnavailable) as error:
            log.warning("load not tidied up", extra={"model": model, "error": repr(error)})

    async def _expire_until_gone(self, api: Api, model: str) -> None:
        while True:
            await api.expire(model)
            if all(row.name != model for row in await self._server.running(LISTING_SECONDS)):
                return
            await asyncio.sleep(_PAUSE)
