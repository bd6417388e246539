"""Looks ahead to the next turn while the person reads or types, before every turn of a session that lasts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mai_core.errors import MaiError
from mai_core.policy.messages import Conversation, Image, Message, Role
from mai_core.runtime.background import BackgroundTasks
from mai_core.runtime.manager import ModelManager
from mai_core.runtime.turns import Turns

__all__ = ["Lookahead"]

log = logging.getLogger("mai.lookahead")


class Lookahead:
    """Guesses what will be asked and has the model for it got ready, one guess at a time.

    ``history`` is the conversation in use. Where it is not ``enabled`` nothing is got ready.
    """

    def __init__(
        self,
        *,
        enabled: bool,
        history: Callable[[], Awaitable[Conversation]],
        manager: ModelManager,
        turns: Turns,
        background: BackgroundTasks,
    ) -> None:
        self._enabled = enabled
        self._history = history
        self._manager = manager
        self._turns = turns
        self._background = background
        self._lasting = False
        self.task: asyncio.Task[None] | None = None

    async def prepare(self, typed: str = "", images: tuple[Image, ...] = ()) -> None:
        """Get ready what the next turn will likely want, told from what was ``typed`` so far; from now on always."""
        self._lasting = True
        if not self._enabled or self._turns.running:
            return
        if self.task is not None and not self.task.done():
            if not typed and not images:
                return
            self.task.cancel()  # that looked ahead from less than is known now
        self.task = self._background.start(self._anticipate(typed, images))

    def turn_ended(self) -> None:
        """A turn ended with a reply: in a session that lasts, another will follow."""
        if self._lasting:
            self._background.start(self.prepare())

    async def _anticipate(self, typed: str, images: tuple[Image, ...]) -> None:
        history = await self._history()
        text = typed.strip() or next((m.content for m in reversed(history.messages) if m.role is Role.USER), "")
        asked = Message(role=Role.USER, content=text, images=images)
        try:
            features = self._turns.features(asked, history.messages)
            await self._manager.anticipate(features, history.id, history.messages)
        except MaiError as error:
            log.info("nothing was prepared", extra={"reason": str(error)})
