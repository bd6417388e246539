"""Talking to a stand-in through the real adapter, and without it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from mai_backends.ollama.backend import OllamaBackend
from mai_core.plugin.interfaces import BackendContext, GenerationEvent
from mai_core.policy.messages import GenerationOptions, Message, ReasoningDelta, ReplyEnd, Role, TextDelta
from mai_core.policy.models import LoadedModel, LoadPlan
from tests.standins.ollama import OllamaStandIn

__all__ = ["PLAN", "QUESTION", "SHORT", "backend_for", "collect", "context_in", "load", "saying", "settled"]

PLAN = LoadPlan(context=2048)
SHORT = GenerationOptions(max_tokens=8, temperature=0.0, seed=1, first_token_deadline=30.0, token_deadline=30.0)


def saying(text: str, role: Role = Role.USER, **fields: Any) -> Message:
    return Message(role=role, content=text, **fields)


QUESTION = (saying("Write a long story about a dragon."),)


def context_in(folder: Path, **options: Any) -> BackendContext:
    return BackendContext(
        name="ollama", options=options, data_dir=folder / "d", cache_dir=folder / "c", state_dir=folder / "s"
    )


@asynccontextmanager
async def backend_for(server: OllamaStandIn | None, folder: Path, **options: Any) -> AsyncIterator[OllamaBackend]:
    """A backend for this server, closed in the end."""
    url = {} if server is None else {"url": server.url}
    backend = OllamaBackend(context_in(folder, **url, **options))
    try:
        yield backend
    finally:
        await backend.close()


async def load(backend: OllamaBackend, key: str = "llama3.2:latest", plan: LoadPlan = PLAN) -> LoadedModel:
    profile = next(profile for profile in await backend.models() if profile.key == key)
    return await backend.load(profile, plan)


async def collect(
    backend: OllamaBackend,
    instance: str,
    messages: Sequence[Message] = QUESTION,
    options: GenerationOptions = SHORT,
) -> tuple[str, str, list[GenerationEvent], ReplyEnd]:
    """Text, thoughts, all events and the end."""
    async with aclosing(backend.generate(instance, messages, options)) as stream:
        events = [event async for event in stream]
    end = events[-1]
    assert isinstance(end, ReplyEnd)
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    thoughts = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    return text, thoughts, events, end


async def settled(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether it comes true in time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)
    return condition()
