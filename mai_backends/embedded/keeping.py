"""Saves what the engine of one loaded model holds, brings it back, and learns whether that was of any use."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import httpx

from mai_backends.embedded.client import EngineClient, SlotMove
from mai_backends.embedded.states import SavedState, StateStore, common_tokens, digest
from mai_core.errors import GenerationError
from mai_core.policy.messages import GenerationOptions, Message, Usage

__all__ = ["StateKeeping", "worth_saving"]

T = TypeVar("T")

log = logging.getLogger("mai.embedded.states")

LEAST_GAIN = 0.3
"""Seconds of reading that a state must spare the person."""

LONGEST_HOLD_UP = 2.0
"""Seconds a save may be expected to take: a reply that is wanted meanwhile waits for it."""

MOVE_SECONDS = 10.0
"""After which a save or a restore is given up. 34 MB take 0.1 s, 0.3 s while others keep all cores busy."""

FIRST_RATE = 500e6
"""Bytes a second that are written, until it was measured. 600 to 1,000 million are on a plain disk."""

SURELY_COMMON = 64
"""Tokens of a prompt that the engine, were it able to, would certainly have taken from a state."""


def worth_saving(tokens: int, kept: int, *, size: int, reading: float, writing: float) -> bool:
    """Whether a state of ``tokens`` and ``size`` bytes is worth writing where one of ``kept`` tokens exists already.

    ``reading`` is the engine's tokens a second, ``writing`` the disk's bytes a second. What is gained when the model
    comes back is the reading of what the kept state lacks; a kept state that is longer than the conversation now is,
    is of another past and counts for nothing.
    """
    lacking = tokens - kept if kept <= tokens else tokens
    moving = size / writing
    return moving <= LONGEST_HOLD_UP and lacking / reading - moving >= LEAST_GAIN


class Speeds:
    """What was measured of one model: tokens a second it reads, bytes a second its states are written."""

    def __init__(self, reading: float) -> None:
        self._first_guess = reading
        self._tokens = 0
        self._seconds = 0.0
        self.writing = FIRST_RATE

    @property
    def reading(self) -> float:
        """Tokens a second, over all prompts since the model was loaded."""
        return self._tokens / self._seconds if self._tokens and self._seconds > 0 else self._first_guess

    def read(self, usage: Usage) -> None:
        """Take note of a reply."""
        self._tokens += max(0, usage.prompt_tokens - usage.cached_tokens)
        self._seconds += usage.prompt_seconds

    def wrote(self, size: int, seconds: float) -> None:
        """Take note of a save."""
        if size > 0 and seconds > 0:
            self.writing = (self.writing + size / seconds) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A loaded model as far as its states go: its file and plan by ``fit``, and what is known of its measures."""

    fit: str
    pid: int
    context: int
    token_bytes: int
    reading: float


class StateKeeping:
    """The states of one loaded model. ``turn`` is held by whoever has the engine to himself.

    One save or restore runs at a time, as a task of its own: a caller who is cancelled leaves it to end by itself, so
    that nothing half-written is left and the engine is never in an unknown state.
    """

    def __init__(self, store: StateStore, client: EngineClient, model: Kept, turn: asyncio.Lock) -> None:
        self._store = store
        self._client = client
        self._model = model
        self._turn = turn
        self._speeds = Speeds(model.reading)
        self._moving: asyncio.Task[int] | None = None
        self._judging: asyncio.Task[None] | None = None
        self._replies = 0
        # The state on disk that the engine holds now, word for word; None as soon as it answers something.
        self._synced: SavedState | None = None
        # What the next reply will tell the use of.
        self._on_trial: SavedState | None = None

    async def save(self, conversation: str) -> int:
        """Bytes on disk of what the engine holds, which is of this conversation."""
        return await self._alone(partial(self._save, digest(conversation)))

    async def restore(self, conversation: str) -> int:
        """Tokens the engine holds of this conversation after this."""
        return await self._alone(partial(self._restore, digest(conversation)))

    async def settle(self) -> None:
        """Wait for what is under way."""
        running = [task for task in (self._moving, self._judging) if task is not None and not task.done()]
        if running:
            await asyncio.wait(running)

    def reply_begins(self) -> SavedState | None:
        """From here on the engine holds something else; returns the state that this reply puts to the test."""
        self._replies += 1
        on_trial = self._on_trial
        self._synced = self._on_trial = None
        return on_trial

    def reply_ended(
        self, restored: SavedState | None, usage: Usage, messages: Sequence[Message], options: GenerationOptions
    ) -> None:
        """Learn from a reply. When it made little use of what was restored before it, find out why."""
        self._speeds.read(usage)
        if restored is None:
            return
        log.info("state used", extra={"restored": restored.tokens, "cached": usage.cached_tokens})
        if usage.cached_tokens < restored.tokens / 2:
            self._judging = asyncio.create_task(self._judge(restored, usage.cached_tokens, messages, options))

    async def end(self) -> None:
        """After the process has ended: nothing it was writing is left."""
        await self.settle()
        await asyncio.to_thread(self._store.discard, self._model.pid)

    async def _alone(self, work: Callable[[], Coroutine[Any, Any, int]]) -> int:
        while self._moving is not None and not self._moving.done():
            await asyncio.wait({self._moving})
        self._moving = asyncio.create_task(work())
        return await asyncio.shield(self._moving)

    async def _save(self, conversation: str) -> int:
        if (synced := await self._in_step(conversation)) is not None:
            return synced.size
        fit = self._model.fit
        if self._turn.locked() or await asyncio.to_thread(self._store.is_useless, fit) or self._turn.locked():
            return 0
        async with self._turn:
            held = await self._bounded(self._client.held_tokens())
            kept = await asyncio.to_thread(self._store.find, conversation, fit, self._model.context)
            if not held or not self._worth(held, kept):
                return kept.size if kept is not None else 0
            if not await asyncio.to_thread(self._store.room_for, self._size(held), conversation, fit):
                return 0
            draft = self._store.draft(self._model.pid)
            moved = await self._bounded(self._client.save_slot(draft.name)) or SlotMove(0, 0, 0.0)
            replies = self._replies
        self._speeds.wrote(moved.size, moved.seconds)
        commit = partial(self._store.commit, draft, conversation, fit, tokens=moved.tokens, size=moved.size)
        if (state := await asyncio.to_thread(commit)) is None:
            return 0
        if replies == self._replies:
            self._synced = state
        log.info("state saved", extra={"tokens": state.tokens, "bytes": state.size, "seconds": moved.seconds})
        return state.size

    async def _restore(self, conversation: str) -> int:
        if (synced := await self._in_step(conversation)) is not None:
            return synced.tokens
        find = partial(self._store.checked, conversation, self._model.fit, self._model.context)
        if self._turn.locked() or (state := await asyncio.to_thread(find)) is None or self._turn.locked():
            return 0
        async with self._turn:
            moved = await self._bounded(self._client.restore_slot(state.path.name))
            if moved is None:
                await asyncio.to_thread(self._store.drop, state)
                return 0
            self._synced = self._on_trial = state
        await asyncio.to_thread(self._store.touch, state)
        log.info("state restored", extra={"tokens": moved.tokens, "seconds": moved.seconds})
        return moved.tokens

    async def _judge(
        self, restored: SavedState, cached: int, messages: Sequence[Message], options: GenerationOptions
    ) -> None:
        """A restored state was hardly used: the engine cannot, or the prompt has become another one.

        llama.cpp restores without complaint what it then reads anew, for some architectures. Either way the state is
        good for nothing; in the first case so is every other one of this model.
        """
        prompt = await self._bounded(self._client.prompt_tokens(messages, options)) or []
        try:
            common = await asyncio.to_thread(common_tokens, restored.path, prompt)
        except OSError:
            return  # it has been replaced or removed meanwhile
        if common >= SURELY_COMMON and cached < common / 2:
            log.warning("states are of no use to this model", extra={"common": common, "cached": cached})
            await asyncio.to_thread(self._store.mark_useless, restored.fit)
        else:
            await asyncio.to_thread(self._store.drop, restored)

    async def _in_step(self, conversation: str) -> SavedState | None:
        """The state of this conversation that the engine holds now, if it is still on disk."""
        state = self._synced
        if state is None or state.conversation != conversation:
            return None
        return state if await asyncio.to_thread(state.path.exists) else None

    def _worth(self, held: int, kept: SavedState | None) -> bool:
        return worth_saving(
            held,
            kept.tokens if kept is not None else 0,
            size=self._size(held),
            reading=self._speeds.reading,
            writing=self._speeds.writing,
        )

    def _size(self, tokens: int) -> int:
        return tokens * self._model.token_bytes

    async def _bounded(self, asking: Coroutine[Any, Any, T]) -> T | None:
        """What the engine answers; None when it refuses, is gone, or takes too long."""
        try:
            async with asyncio.timeout(MOVE_SECONDS):
                return await asking
        except (httpx.HTTPError, GenerationError, TimeoutError) as error:
            log.info("the engine did not move a state", extra={"error": str(error) or type(error).__name__})
            return None
