"""Keeps what an engine has read of a conversation when its model leaves, and gives it back when the model returns."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from mai_core.plugin.interfaces import Backend, StateKeeper
from mai_core.runtime.slots import Slot

__all__ = ["Keeping", "forget"]

log = logging.getLogger("mai.keeping")

SAVE_SECONDS = 5.0
RESTORE_SECONDS = 10.0


class Keeping:
    """Saves and restores for one pool, and remembers what was saved: a model that left with it comes back cheaply."""

    def __init__(self, backends: Mapping[str, Backend]) -> None:
        self._backends = backends
        self._kept: set[tuple[str, str]] = set()

    def keeps(self, model: str, conversation: str) -> bool:
        """Whether what this model's engine read of the conversation was saved when it turned to something else."""
        return (model, conversation) in self._kept

    async def enter(self, slot: Slot, conversation: str) -> None:
        """Make a leased instance ready to answer in ``conversation``, when it last answered in another or in none."""
        backend = self._backends[slot.backend]
        if not isinstance(backend, StateKeeper) or not conversation:
            return
        if slot.conversation == conversation or slot.leases > 1:
            return
        await self.leave(slot)
        instance = slot.instance.instance
        tokens = await _within(RESTORE_SECONDS, "restored", slot, lambda: backend.restore_state(instance, conversation))
        slot.conversation = conversation
        self._kept.discard((slot.model, conversation))
        if tokens:
            log.info("conversation restored", extra={"model": slot.model, "tokens": tokens})

    async def leave(self, slot: Slot) -> None:
        """Keep what the instance has read, before it answers in another conversation or is unloaded."""
        backend = self._backends[slot.backend]
        if not isinstance(backend, StateKeeper) or not slot.conversation:
            return
        instance, conversation = slot.instance.instance, slot.conversation
        size = await _within(SAVE_SECONDS, "saved", slot, lambda: backend.save_state(instance, conversation))
        slot.conversation = ""
        if size:
            self._kept.add((slot.model, conversation))
            log.info("conversation kept", extra={"model": slot.model, "bytes": size})


async def forget(backends: Iterable[Backend], conversations: Sequence[str]) -> None:
    """Delete what was kept of these conversations. Raises what a backend raises that cannot."""
    for backend in backends:
        if isinstance(backend, StateKeeper):
            for conversation in conversations:
                await backend.forget_state(conversation)


async def _within(seconds: float, what: str, slot: Slot, work: Callable[[], Awaitable[int]]) -> int:
    """What ``work`` gives; 0 when it fails or is late, for it only ever saves time."""
    try:
        async with asyncio.timeout(seconds):
            return await work()
    except TimeoutError:
        log.warning("a conversation was not %s in time", what, extra={"model": slot.model})
    except Exception as error:  # noqa: BLE001 - maybe a third party's backend; it is named
        told = {"model": slot.model, "backend": slot.backend, "error": f"{type(error).__name__}: {error}"}
        log.warning("a conversation was not %s", what, extra=told)
    return 0
