"""A loaded model: its process and the way to talk to it, as one thing that is either there or gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

import httpx

from mai_backends.embedded.client import EngineClient
from mai_backends.embedded.failures import crash
from mai_backends.embedded.keeping import Kept, StateKeeping
from mai_backends.embedded.process import WorkerProcess
from mai_backends.embedded.states import StateStore
from mai_core.errors import BackendError, GenerationError, ModelCrashed
from mai_core.plugin.interfaces import GenerationEvent
from mai_core.policy.messages import GenerationOptions, Message, ReplyEnd
from mai_core.policy.models import LoadedModel

__all__ = ["Instance"]

SECONDS_TO_DIE = 2.0
"""From a lost connection to the news that the process is gone."""


class Instance:
    """``process`` has loaded what ``loaded`` describes and answers ``client``. One reply at a time, others wait."""

    def __init__(
        self,
        loaded: LoadedModel,
        process: WorkerProcess,
        client: EngineClient,
        states: tuple[StateStore, Kept] | None = None,
    ) -> None:
        self._loaded = loaded
        self._process = process
        self._client = client
        # The engine would queue replies itself, but then the deadline of one would run while another is written.
        self._turn = asyncio.Lock()
        self._measuring: asyncio.Task[None] | None = None
        self._keeping = None if states is None else StateKeeping(states[0], client, states[1], self._turn)

    @property
    def process(self) -> WorkerProcess:
        """The worker."""
        return self._process

    def describe(self) -> LoadedModel | None:
        """What is loaded, with the memory it took when it was last measured; None when the process is gone.

        The system walks all pages of a process to tell its memory, which takes 10 ms: nobody waits for that. A load and
        every reply measure it anew.
        """
        return self._loaded if self._process.alive else None

    async def generate(
        self, messages: Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[GenerationEvent, None]:
        """A reply of the model. Raises what ``Backend.generate`` does."""
        async with self._turn:
            self._check()
            restored = self._keeping.reply_begins() if self._keeping is not None else None
            try:
                async with aclosing(self._client.stream(messages, options)) as events:
                    async for event in events:
                        if isinstance(event, ReplyEnd) and self._keeping is not None:
                            self._keeping.reply_ended(restored, event.usage, messages, options)
                        yield event
            except httpx.TransportError as error:
                raise await self._lost(error) from error
            finally:
                self._measuring = asyncio.create_task(self._measure())

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text. Raises ``ModelCrashed`` or ``GenerationError``."""
        self._check()
        try:
            return await self._client.count_tokens(texts)
        except httpx.TransportError as error:
            raise await self._lost(error) from error

    async def save_state(self, conversation: str) -> int:
        """Bytes on disk of what the engine holds of a conversation."""
        return await self._keeping.save(conversation) if self._keeping is not None else 0

    async def restore_state(self, conversation: str) -> int:
        """Tokens the engine holds of a conversation after this."""
        return await self._keeping.restore(conversation) if self._keeping is not None else 0

    async def settle(self) -> None:
        """Wait for a save or a restore that is under way."""
        if self._keeping is not None:
            await self._keeping.settle()

    async def end(self) -> None:
        """Free the memory; whoever still listens to a reply hears that it ended."""
        if self._measuring is not None:
            self._measuring.cancel()
        await self._process.kill()
        if self._keeping is not None:
            await self._keeping.end()
        await self._client.aclose()

    async def measured(self) -> None:
        """Wait for a look at its memory that is under way: what it takes grows with what it reads."""
        if self._measuring is not None:
            await asyncio.wait([self._measuring])

    async def _measure(self) -> None:
        if (footprint := await self._process.footprint()) is not None:
            self._loaded = replace(self._loaded, footprint=footprint)

    def _check(self) -> None:
        if self._process.killed or not self._process.alive:
            raise self._gone()

    def _gone(self) -> BackendError:
        if self._process.killed:
            return ModelCrashed(f"{self._loaded.key} was unloaded")
        return crash(self._loaded.key, self._process.remains)

    async def _lost(self, error: Exception) -> BackendError:
        """What a lost connection means."""
        if self._process.killed or await self._process.ended(within=SECONDS_TO_DIE):
            return self._gone()
        return GenerationError(f"{self._loaded.key} dropped the connection", detail=repr(error))
