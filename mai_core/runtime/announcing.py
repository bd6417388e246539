"""Tells other terminals what this process is doing."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from mai_core.policy.models import LoadedModel
from mai_core.runtime.presence import Presence, ProcessNote, ProcessState, others

__all__ = ["Announcing"]


class Announcing:
    """Keeps the note of this process in ``folder``, from the first thing it does until ``close``.

    activity       what is done now, and the model in use
    conversation   the one in use
    loaded         what is in memory
    """

    def __init__(
        self,
        folder: Path,
        *,
        activity: Callable[[], tuple[ProcessState, str | None]],
        conversation: Callable[[], str | None],
        loaded: Callable[[], Awaitable[tuple[LoadedModel, ...]]],
    ) -> None:
        self._folder = folder
        self._activity = activity
        self._conversation = conversation
        self._loaded = loaded
        self._presence: Presence | None = None

    async def note(self, conversation: str | None = None) -> None:
        """Write down how things stand, in a conversation when it is not the one in use."""
        if self._presence is None:
            self._presence = Presence(self._folder, command=" ".join(sys.argv[:2]))
        loaded = await self._loaded()
        state, model = self._activity()
        self._presence.update(
            state=state, model=model, conversation=conversation or self._conversation(), loaded=loaded
        )

    async def processes(self) -> tuple[ProcessNote, ...]:
        """The notes of every Mai process of this person that runs."""
        return await asyncio.to_thread(lambda: tuple(others(self._folder)))

    def close(self) -> None:
        """Remove the note."""
        if self._presence is not None:
            self._presence.close()
