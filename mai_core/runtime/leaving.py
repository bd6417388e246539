"""Ending an instance: a deadline, the end of its process when that passes, and a look whether it is really gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import psutil

from mai_core.errors import UnloadFailed
from mai_core.plugin.interfaces import Backend
from mai_core.policy.models import LoadedModel

__all__ = ["UNLOAD_SECONDS", "end", "memory_returned"]

log = logging.getLogger("mai.pool")

UNLOAD_SECONDS = 20.0
"""Engines free the largest models in a second or two; one that takes longer hangs (Ollama's "Stopping...")."""

LOOK_SECONDS = 2.0
KILL_SECONDS = 2.0
RETURN_SECONDS = 2.0
"""Memory is back 0.5 to 1.5 s after an unload (measured for GPU memory by Ollama's own convergence wait)."""

WORTH_WAITING_BYTES = 64 * 2**20


async def end(backend: Backend, loaded: LoadedModel) -> None:
    """Unload an instance, by force when its engine does not answer in time.

    Raises ``UnloadFailed`` naming who still holds it, or what the backend raised while it still has it.
    """
    late = False
    try:
        async with asyncio.timeout(UNLOAD_SECONDS):
            await backend.unload(loaded.instance)
        return
    except TimeoutError:
        late = True
        log.warning("unload is late", extra={"model": loaded.key, "backend": loaded.backend})
        if await asyncio.to_thread(_kill_our_own, loaded.pid):
            return
    except Exception:
        if await _still_there(backend, loaded):
            raise
    if late and await _still_there(backend, loaded):
        raise UnloadFailed(
            f"{loaded.backend} did not unload {loaded.key} within {UNLOAD_SECONDS:g} s and still holds its memory",
            remedy=f"restart {loaded.backend}",
        )


async def memory_returned(
    available: Callable[[], Awaitable[int | None]], before: int | None, loaded: LoadedModel
) -> bool:
    """Whether half of what an unloaded instance held is seen to be free again, waiting a moment for it.

    ``available`` gives the bytes its host has free, ``before`` what that was ahead of the unload; None when nobody
    can tell, and then it is believed. Half, because others go on taking and giving meanwhile.
    """
    held = loaded.footprint.anonymous
    if before is None or held < WORTH_WAITING_BYTES:
        return True
    waited, pause = 0.0, 0.02
    while True:
        now = await available()
        if now is None or now >= before + held // 2:
            return True
        if waited >= RETURN_SECONDS:
            return False
        await asyncio.sleep(pause)
        waited, pause = waited + pause, pause * 2


async def _still_there(backend: Backend, loaded: LoadedModel) -> bool:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return any(m.instance == loaded.instance for m in await backend.loaded())
    except Exception as error:  # noqa: BLE001 - maybe a third party's backend, which has failed once already
        log.warning("nobody can say what is loaded", extra={"backend": loaded.backend, "error": repr(error)})
        return True


def _kill_our_own(pid: int | None) -> bool:
    """End the process, if this one started it; says whether it is gone."""
    if pid is None:
        return False
    try:
        process = psutil.Process(pid)
        if psutil.Process() not in process.parents():
            return False
        process.kill()
        process.wait(KILL_SECONDS)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
    return True
