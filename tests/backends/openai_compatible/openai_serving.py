"""What the tests of OpenAI-compatible servers share: backends, questions, whole replies."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from mai_backends.openai_compatible.backend import OpenAICompatibleBackend
from mai_core.plugin.interfaces import BackendContext, GenerationEvent
from mai_core.policy.messages import GenerationOptions, Message, ReplyEnd, Role, TextDelta

NOWHERE = Path("/nonexistent")
QUESTION = (Message(role=Role.USER, content="Tell me a story.", id=1),)


def backend_for(url: str, **options: Any) -> OpenAICompatibleBackend:
    """A backend named ``mine`` for the server at ``url``, patient where the test does not say otherwise."""
    options["deadlines"] = {"connect": 10.0, "listing": 20.0, **options.get("deadlines", {})}
    return OpenAICompatibleBackend(
        BackendContext(
            name="mine",
            options={"base_url": url, **options},
            data_dir=NOWHERE,
            cache_dir=NOWHERE,
            state_dir=NOWHERE,
        )
    )


async def reply(
    backend: OpenAICompatibleBackend, instance: str = "tiny", messages: Sequence[Message] = QUESTION, **options: Any
) -> list[GenerationEvent]:
    """A whole reply."""
    chosen = GenerationOptions(**{"temperature": 0.0, "max_tokens": 12, **options})
    async with aclosing(backend.generate(instance, messages, chosen)) as events:
        return [event async for event in events]


def text_of(events: Sequence[GenerationEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def end_of(events: Sequence[GenerationEvent]) -> ReplyEnd:
    *_, last = events
    assert isinstance(last, ReplyEnd)
    assert sum(isinstance(event, ReplyEnd) for event in events) == 1
    return last
