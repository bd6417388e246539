"""A backend without an engine: keeps every promise of the Protocol, and breaks down exactly where it is told to."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, takewhile
from pathlib import Path
from typing import ClassVar

from mai_core.errors import (
    BackendError,
    BackendUnavailable,
    ContextExceeded,
    ModelCrashed,
    ModelFileError,
    ModelStalled,
)
from mai_core.plugin.interfaces import BackendContext, GenerationEvent, LoadProgress
from mai_core.policy.messages import GenerationOptions, Message, ReplyEnd, StopReason, TextDelta, Usage
from mai_core.policy.models import Footprint, LoadedModel, LoadPlan, ModelProfile
from mai_core.testing.clock import FakeClock
from mai_core.testing.machine import FakeMachine

__all__ = ["FakeBackend", "FakeModel"]

_TOKEN = re.compile(r"\s*\S+|\s+")
REPLY = "The quick brown fox jumps over the lazy dog and is pleased with itself."


@dataclass(slots=True, kw_only=True)
class FakeModel:
    """A model and its script; may be changed while the backend runs.

    reply             what it answers: a text, or a function of the messages
    load_seconds      until it is loaded; ``prefill_seconds`` to the first token, ``token_seconds`` between tokens
    size              bytes it takes when loaded; its file's size when left out. ``measured`` when that teaches anything
    load_failures     raised by the coming loads, one each; the loads after succeed. A failure that lasts: repeat it
    failures          raised instead of token N of a reply, counting from 0, in every reply
    silent_at         the token before which it falls silent, until the deadline of the options passes
    crash_at          the token before which its process dies
    logprob           how likely it tells each of its tokens to be
    """

    profile: ModelProfile
    reply: str | Callable[[Sequence[Message]], str] = REPLY
    load_seconds: float = 0.0
    prefill_seconds: float = 0.0
    token_seconds: float = 0.0
    size: int | None = None
    measured: bool = False
    load_failures: list[BackendError] = field(default_factory=list)
    failures: dict[int, BackendError] = field(default_factory=dict)
    silent_at: int | None = None
    crash_at: int | None = None
    logprob: float | None = None

    @classmethod
    def named(
        cls, key: str, *, size_bytes: int = 2**30, quality: float = 0.5, max_context: int = 8192, backend: str = "fake"
    ) -> FakeModel:
        """A model of that key with plain facts."""
        return cls(
            profile=ModelProfile(
                key=key,
                backend=backend,
                location=f"fake://{key}",
                name=key,
                size_bytes=size_bytes,
                parameters=size_bytes * 2.0,
                max_context=max_context,
                quality={"default": quality},
            )
        )

    def answer(self, messages: Sequence[Message]) -> str:
        """The reply to these messages."""
        return self.reply(messages) if callable(self.reply) else self.reply


@dataclass(slots=True)
class _Instance:
    """A model in memory; ``prompt`` holds the tokens its cache has read."""

    loaded: LoadedModel
    model: FakeModel
    prompt: list[str] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class FakeBackend:
    """Loads and answers at once, or as slowly as its models say.

    Options: ``models`` (``FakeModel``s), ``machine`` (a ``FakeMachine`` whose memory they take) and ``clock`` (a
    ``FakeClock`` to sleep on; else asyncio's time). A token is a word with the white space before it.

    ``calls`` lists what it was asked, as ``("load", key)``, ``("generate", key)``, ``("unload", key)``.
    """

    kind: ClassVar[str] = "fake"

    def __init__(self, context: BackendContext) -> None:
        self.name = context.name
        self.host = str(context.options.get("host", "local"))
        self.remote = bool(context.options.get("remote", False))
        self.machine: FakeMachine = context.options.get("machine") or FakeMachine(name=self.host)
        self.calls: list[tuple[str, str]] = []
        self.available = True
        clock: FakeClock | None = context.options.get("clock")
        self._sleep: Callable[[float], Awaitable[None]] = clock.sleep if clock is not None else asyncio.sleep
        models: Iterable[FakeModel] = context.options.get("models", ())
        self._models = {model.profile.key: model for model in models}
        self._instances: dict[str, _Instance] = {}
        self._numbers = count(1)

    @classmethod
    def of(
        cls,
        *models: FakeModel,
        machine: FakeMachine | None = None,
        clock: FakeClock | None = None,
        name: str = "fake",
    ) -> FakeBackend:
        """A backend with these models, without settings."""
        options = {"models": models, "machine": machine, "clock": clock}
        nowhere = Path("/nonexistent")
        return cls(BackendContext(name=name, options=options, data_dir=nowhere, cache_dir=nowhere, state_dir=nowhere))

    def model(self, key: str) -> FakeModel:
        """The script of a model."""
        return self._models[key]

    def crash(self, instance: str) -> None:
        """Let the process behind an instance die now, as from outside."""
        if gone := self._instances.pop(instance, None):
            self.machine.free(instance)
            gone.gone.set()

    async def models(self) -> Sequence[ModelProfile]:
        """Every model it was given."""
        self._reached()
        return [
            replace(model.profile, backend=self.name, host=self.host, remote=self.remote)
            for model in self._models.values()
        ]

    async def loaded(self) -> Sequence[LoadedModel]:
        """What is in memory now."""
        self._reached()
        return [instance.loaded for instance in self._instances.values()]

    async def load(self, model: ModelProfile, plan: LoadPlan, *, progress: LoadProgress | None = None) -> LoadedModel:
        """Take the memory, wait as long as the model's script says, and be loaded."""
        self._reached()
        self.calls.append(("load", model.key))
        script = self._models.get(model.key)
        if script is None or script.profile.location != model.location:
            raise ModelFileError(f"{self.name} has no model {model.key} at {model.location}")
        name = f"{model.key}#{next(self._numbers)}"
        size = script.profile.size_bytes if script.size is None else script.size
        self.machine.take(name, size)
        try:
            for share in (0.0, 0.5, 1.0):
                if share:
                    await self._sleep(script.load_seconds / 2)
                if progress is not None:
                    progress(share)
            if script.load_failures:
                raise script.load_failures.pop(0)
        except BaseException:
            self.machine.free(name)
            raise
        loaded = LoadedModel(
            instance=name,
            key=model.key,
            backend=self.name,
            plan=plan,
            footprint=Footprint(size),
            host=self.host,
            measured=script.measured,
        )
        self._instances[name] = _Instance(loaded, script)
        return loaded

    async def unload(self, instance: str) -> None:
        """Give the memory back; whoever is still listening to the instance sees it crash."""
        if instance in self._instances:
            self.calls.append(("unload", self._instances[instance].loaded.key))
            self.crash(instance)

    async def generate(
        self, instance: str, messages: Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[GenerationEvent, None]:
        """Stream the model's reply token by token."""
        self._reached()
        state = self._instances.get(instance)
        if state is None:
            raise ModelCrashed(f"{instance} is not loaded")
        self.calls.append(("generate", state.loaded.key))
        script, window = state.model, state.loaded.plan.context
        prompt = [token for message in messages for token in _TOKEN.findall(message.content)]
        if len(prompt) >= window:
            raise ContextExceeded(f"the prompt has {len(prompt)} tokens, the window {window}")
        cached = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(prompt, state.prompt, strict=False)))
        reply, stop = _cut(_TOKEN.findall(script.answer(messages)), options, window - len(prompt))
        state.prompt = list(prompt)
        await self._wait(state, script.prefill_seconds, options.first_token_deadline)
        for position, token in enumerate(reply):
            if position:
                await self._wait(state, script.token_seconds, options.token_deadline)
            await self._misfortune(state, position, options)
            state.prompt.append(token)
            yield TextDelta(token, script.logprob)
        await self._misfortune(state, len(reply), options)
        yield ReplyEnd(
            stop,
            Usage(
                prompt_tokens=len(prompt),
                cached_tokens=cached,
                completion_tokens=len(reply),
                prompt_seconds=script.prefill_seconds,
                completion_seconds=script.token_seconds * len(reply),
            ),
        )

    async def count_tokens(self, instance: str, texts: Sequence[str]) -> Sequence[int]:
        """Words, with the white space before them."""
        self._reached()
        if instance not in self._instances:
            raise ModelCrashed(f"{instance} is not loaded")
        return [len(_TOKEN.findall(text)) for text in texts]

    async def close(self) -> None:
        """Unload everything."""
        for instance in tuple(self._instances):
            await self.unload(instance)

    def _reached(self) -> None:
        if not self.available:
            raise BackendUnavailable(f"{self.name} does not answer")

    async def _misfortune(self, state: _Instance, position: int, options: GenerationOptions) -> None:
        """What the script has in store before this token."""
        script = state.model
        if position == script.crash_at:
            self.crash(state.loaded.instance)
        if position == script.silent_at:
            deadline = options.token_deadline if position else options.first_token_deadline
            await self._wait(state, float("inf"), deadline)
        if position in script.failures:
            raise script.failures[position]
        self._alive(state)

    async def _wait(self, state: _Instance, seconds: float, deadline: float) -> None:
        await self._sleep(min(seconds, deadline))
        self._alive(state)
        if seconds > deadline:
            raise ModelStalled(f"{state.loaded.key} was silent for {deadline:g} s")

    def _alive(self, state: _Instance) -> None:
        if state.gone.is_set():
            raise ModelCrashed(f"the process of {state.loaded.key} is gone")


def _cut(reply: list[str], options: GenerationOptions, room: int) -> tuple[list[str], StopReason]:
    """The part of a reply that limits let through, and why it ends there."""
    limit = options.max_tokens or len(reply)
    if min(limit, room) >= len(reply):
        return reply, StopReason.STOP
    return (reply[:limit], StopReason.LENGTH) if limit <= room else (reply[:room], StopReason.CONTEXT)
