"""What the tests of the engine share: backends, questions, and a look at processes from outside."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from mai_backends.embedded.backend import EmbeddedBackend
from mai_core.plugin.interfaces import BackendContext, GenerationEvent
from mai_core.policy.messages import GenerationOptions, Message, ReplyEnd, Role, TextDelta
from mai_core.policy.models import LoadPlan, ModelProfile

PLAN = LoadPlan(context=1024, threads=1)

MakeBackend = Callable[..., EmbeddedBackend]


def backend_in(root: Path, **options: Any) -> EmbeddedBackend:
    """A backend with all its folders below ``root``."""
    context = BackendContext(
        name="mine",
        options={"scan_other_tools": False, **options},
        data_dir=root / "data",
        cache_dir=root / "cache",
        state_dir=root / "state",
    )
    return EmbeddedBackend(context)


def profile_of(file: Path) -> ModelProfile:
    size = file.stat().st_size if file.is_file() else 0
    return ModelProfile(key=file.stem.lower(), backend="mine", location=str(file), size_bytes=size, max_context=8192)


@dataclass(frozen=True)
class Reply:
    """A whole reply. ``first_seconds`` to its first piece."""

    events: list[GenerationEvent]
    first_seconds: float

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def end(self) -> ReplyEnd:
        assert isinstance(self.events[-1], ReplyEnd)
        assert sum(isinstance(event, ReplyEnd) for event in self.events) == 1
        return self.events[-1]


def said(*turns: str) -> list[Message]:
    """A conversation after a system prompt: the person first, then the assistant, taking turns."""
    roles = (Role.USER, Role.ASSISTANT)
    messages = [Message(role=Role.SYSTEM, content="You are a helpful assistant.")]
    return messages + [Message(role=roles[i % 2], content=turn) for i, turn in enumerate(turns)]


async def ask(backend: EmbeddedBackend, instance: str, *turns: str, **options: Any) -> Reply:
    chosen = GenerationOptions(**{"temperature": 0.0, "seed": 1, "max_tokens": 24, **options})
    began, first, events = time.monotonic(), 0.0, []
    async with aclosing(backend.generate(instance, said(*turns), chosen)) as stream:
        async for event in stream:
            first = first or time.monotonic() - began
            events.append(event)
    return Reply(events, first)


def facts(number: int) -> str:
    """A prompt of about 14 tokens times ``number``."""
    return " ".join(f"Item {i} of the list costs {i * 37 % 101} coins." for i in range(number))


def processor_seconds(pid: int) -> float:
    """Processor time a process has taken: unlike the clock it does not care how busy the machine is."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def gone(pid: int, *, within: float = 3.0) -> bool:
    """Whether a process is no more, not even as a zombie, before so many seconds have passed."""
    deadline = time.monotonic() + within
    while psutil.pid_exists(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
