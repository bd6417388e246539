"""A loaded model and the replies it writes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from mai_backends.estimating import TokenEstimate
from mai_backends.ollama.client.errors import Lost, Refused, Unreadable
from mai_backends.ollama.client.replies import ReplyReader
from mai_backends.ollama.client.request import chat_body
from mai_backends.ollama.failures import refused_reply
from mai_backends.ollama.residency import Residency
from mai_core.errors import BackendUnavailable, ContextExceeded, GenerationError, ModelCrashed, ModelStalled
from mai_core.plugin.interfaces import GenerationEvent
from mai_core.policy.messages import GenerationOptions, Message, ReplyEnd, StopReason, Usage
from mai_core.policy.models import LoadedModel

if TYPE_CHECKING:
    from mai_backends.ollama.client.api import Api, Reply

__all__ = ["Instance"]

T = TypeVar("T")

_TEMPLATE = 8  # tokens a chat template adds to a message
_REMEDY = "shorten it, or load the model with a larger context"


@dataclass(eq=False, kw_only=True)
class Instance:
    """``loaded`` is what Ollama holds; every chat is sent with the options in ``runner`` it was loaded with.

    ``keep_alive`` and ``residency`` are None for what somebody else loaded. ``refuses_long_prompts`` tells whether the
    server refuses a prompt longer than the window when told so, as since 0.12.6, or cuts it without a word, as before.
    One reply at a time, others wait: Ollama would queue them, but then the deadline of one would run while another is
    written.
    """

    loaded: LoadedModel
    server: str
    runner: Mapping[str, Any]
    keep_alive: float | None
    estimate: TokenEstimate
    residency: Residency | None = None
    stops: Sequence[str] = ()
    refuses_long_prompts: bool = True
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _ended: bool = field(default=False, init=False)
    _reply: Reply | None = field(default=None, init=False)
    _waiting: asyncio.Timeout | None = field(default=None, init=False)

    @property
    def key(self) -> str:
        """The name of its model."""
        return self.loaded.key

    @property
    def answering(self) -> bool:
        """Whether a reply is being written: until it ends, its model stays."""
        return self._turn.locked()

    async def generate(
        self, api: Api, messages: Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[GenerationEvent, None]:
        """A reply; where the last message is the assistant's, the rest of that one. Raises as ``Backend.generate``."""
        async with self._turn:
            self._check()
            size = self._fits(messages)
            body = chat_body(self.key, self.runner, messages, options, keep_alive=self.keep_alive, stops=self.stops)
            try:
                async with aclosing(self._stream(api, body, options)) as events:
                    async for event in events:
                        if isinstance(event, ReplyEnd):
                            self._judge(size, event.usage, plain=not options.tools and not _has_images(messages))
                        yield event
            except Refused as error:
                raise refused_reply(self.server, self.key, error.status, error.said) from error
            except Unreadable as error:
                raise GenerationError(f"{self.server} sent {error} in an answer of {self.key}") from error
            finally:
                if self.residency is not None:
                    self.residency.used(time.monotonic())

    async def end(self) -> None:
        """No more replies; whoever listens to one hears that it ended, and the server stops writing it."""
        self._ended = True
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(asyncio.get_running_loop().time())
        elif self._reply is not None:
            await self._reply.aclose()

    async def _stream(
        self, api: Api, body: Mapping[str, Any], options: GenerationOptions
    ) -> AsyncGenerator[GenerationEvent, None]:
        clock = asyncio.get_running_loop().time
        limit = options.first_token_deadline
        deadline = clock() + limit
        reader = ReplyReader(options)
        try:
            self._reply = reply = await self._within(deadline, limit, api.reply(body))
            while True:
                line = await self._within(deadline, limit, reply.next())
                if line is None:
                    if reader.cut_for_repeating:
                        yield ReplyEnd(StopReason.REPEATED, Usage())
                        return
                    raise GenerationError(f"{self.key} broke off its answer")
                for event in reader.read(line):
                    yield event
                    if isinstance(event, ReplyEnd):
                        return
                    self._check()
                    limit = options.token_deadline
                    deadline = clock() + limit
        except Lost as error:
            self._check()
            if not error.connected:
                raise BackendUnavailable(f"{self.server} does not answer", detail=str(error)) from error
            raise ModelCrashed(f"{self.server} dropped the connection to {self.key}", detail=str(error)) from error
        finally:
            if self._reply is not None:
                reply, self._reply = self._reply, None
                await reply.aclose()

    async def _within(self, deadline: float, limit: float, work: Awaitable[T]) -> T:
        """Raises ``ModelStalled`` at the deadline, or ``ModelCrashed`` when the model is unloaded before."""
        try:
            async with asyncio.timeout_at(deadline) as self._waiting:
                return await work
        except TimeoutError as error:
            self._check()
            raise ModelStalled(f"{self.key} gave no token for {limit:g} s") from error
        finally:
            self._waiting = None

    def _check(self) -> None:
        if self._ended:
            raise ModelCrashed(f"{self.key} was unloaded")

    def _fits(self, messages: Sequence[Message]) -> _Size:
        """The size of a prompt, before its tokens are known.

        Raises ``ContextExceeded`` where its words are too many already; of a server that would cut a prompt silently,
        also where the estimate, which errs on the large side, is.
        """
        window = self.loaded.plan.context
        size = _Size(
            words=sum(len(message.content.split()) for message in messages),
            tokens=sum(self.estimate.count(message.content) + _TEMPLATE for message in messages),
            characters=sum(len(message.content) for message in messages),
        )
        tokens = size.words if self.refuses_long_prompts else size.tokens
        if tokens > window:
            raise ContextExceeded(
                f"the prompt has some {tokens} tokens, {self.key} is loaded with a window of {window}", remedy=_REMEDY
            )
        return size

    def _judge(self, size: _Size, usage: Usage, *, plain: bool) -> None:
        """Learn from a true count, if all it counts is ``plain`` text.

        Fewer tokens than words, of what may not have fitted, are of a prompt that was cut. Templates may leave out a
        message, so fewer tokens than words alone prove nothing.
        """
        if not usage.prompt_tokens:
            return
        if usage.prompt_tokens < size.words and size.tokens > self.loaded.plan.context:
            raise ContextExceeded(
                f"{self.server} read only {usage.prompt_tokens} tokens of a prompt of {size.words} words",
                remedy=_REMEDY,
            )
        if plain:
            self.estimate.learn(size.characters, usage.prompt_tokens)


def _has_images(messages: Sequence[Message]) -> bool:
    return any(message.images for message in messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    """A prompt in ``words``, no fewer than which its tokens are, in ``tokens``, no more than which, and characters."""

    words: int
    tokens: int
    characters: int
