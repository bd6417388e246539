"""Keeps what an engine has read of a conversation when its model leaves, and gives it back when the model returns."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial

from mai_core.plugin.interfaces import Backend, StateKeeper
from mai_core.policy.anticipation import worth_a_checkpoint
from mai_core.runtime.slots import Slot

__all__ = ["Keeping", "forget"]

log = logging.getLogger("mai.keeping")

SAVE_SECONDS = 5.0
RESTORE_SECONDS = 10.0


class Keeping:
    """What the engines of one pool have read, and how much of it was saved: who left with it comes back cheaply."""

    def __init__(self, backends: Mapping[str, Backend]) -> None:
        self._backends = backends
        self._kept: dict[tuple[str, str], int] = {}

    def kept(self, conversation: str) -> dict[str, int]:
        """Tokens of a conversation that were saved, by model."""
        return {model: tokens for (model, of), tokens in self._kept.items() if of == conversation}

    async def enter(self, slot: Slot, conversation: str) -> None:
        """Make a leased instance ready to answer in ``conversation``, when it last answered in another or in none.

        Whoever shares an engine that answers in another conversation leaves that one its state.
        """
        if not conversation or slot.conversation == conversation:
            return
        backend, tokens = self._backends[slot.backend], 0
        if isinstance(backend, StateKeeper):
            if slot.leases > 1:
                return
            await self.leave(slot)
            instance = slot.instance.instance
            restoring = partial(backend.restore_state, instance, conversation)
            if tokens := await _within(RESTORE_SECONDS, "restored", slot, restoring):
                log.info("conversation restored", extra={"model": slot.model, "tokens": tokens})
            else:
                self._kept.pop((slot.model, conversation), None)
        slot.conversation, slot.read = conversation, tokens

    async def leave(self, slot: Slot) -> None:
        """Keep what the instance has read, before it answers in another conversation or is unloaded."""
        await self._save(slot)
        slot.conversation, slot.read = "", 0

    async def checkpoint(self, slot: Slot, reading: float) -> None:
        """Keep what the instance has read in case it dies, when reading it again at so many tokens a second is dear."""
        if worth_a_checkpoint(slot.read, self._kept.get((slot.model, slot.conversation), 0), reading):
            await self._save(slot)

    async def _save(self, slot: Slot) -> None:
        backend, conversation, read = self._backends[slot.backend], slot.conversation, slot.read
        if not isinstance(backend, StateKeeper) or not conversation:
            return
        saving = partial(backend.save_state, slot.instance.instance, conversation)
        if size := await _within(SAVE_SECONDS, "saved", slot, saving):
            self._kept[slot.model, conversation] = read
            log.info("conversation kept", extra={"model": slot.model, "bytes": size})
        else:
            self._kept.pop((slot.model, conversation), None)


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
