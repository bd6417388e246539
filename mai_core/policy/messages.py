"""What people and models say to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mai_core.policy.pictures import read_picture

__all__ = [
    "Conversation",
    "GenerationOptions",
    "Image",
    "Message",
    "ReasoningDelta",
    "ReplyEnd",
    "Role",
    "StopReason",
    "TextDelta",
    "Tool",
    "ToolCall",
    "Usage",
]


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class StopReason(StrEnum):
    """Why a reply ended."""

    STOP = "stop"
    LENGTH = "length"
    CONTEXT = "context"
    REPEATED = "repeated"
    TOOLS = "tools"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """Something a model may ask to have done; ``parameters`` is the JSON schema of its arguments."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A model asks for a tool; ``arguments`` is the JSON it wrote, as it wrote it. An event of its own, and whole."""

    id: str
    name: str
    arguments: str = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image a person shows, PNG, JPEG, WebP or GIF; ``name`` is what people call it, most often that of its file.

    ``media_type``, and ``width`` and ``height`` in pixels, are read from ``data``. Raises ``ValueError`` for bytes that
    are no such image, or more than ``pictures.LARGEST``: none that exists is invalid.
    """

    name: str
    data: bytes = field(repr=False)
    media_type: str = field(init=False)
    width: int = field(init=False)
    height: int = field(init=False)

    def __post_init__(self) -> None:
        for name, value in read_picture(self.data)._asdict().items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. ``id`` is unique within its conversation and grows; ``pinned`` messages reach every model.

    ``model`` names the model that wrote a reply, or its end: then ``earlier`` names those that wrote what comes before,
    in order. ``stop`` says how the reply ended. ``created`` is seconds since the epoch. A reply may hold
    ``tool_calls``; a message of the role ``tool`` answers the one of ``tool_call_id``. A person's message may show
    ``images``.
    """

    role: Role
    content: str
    id: int = 0
    pinned: bool = False
    model: str = ""
    stop: StopReason | None = None
    created: float = 0.0
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    earlier: tuple[str, ...] = ()
    images: tuple[Image, ...] = ()

    @property
    def authors(self) -> tuple[str, ...]:
        """Every model that wrote a part of a reply, in order; none for what models did not write."""
        return (*self.earlier, self.model) if self.model else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Messages in order, oldest first."""

    id: str
    title: str = ""
    messages: tuple[Message, ...] = ()
    created: float = 0.0
    updated: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationOptions:
    """How to answer. ``max_tokens`` 0 means until the model stops or the window is full.

    ``logprobs`` asks for the log-probability of each token where the engine can tell; it may take a little speed.
    ``json_schema`` constrains the reply where the engine can; of ``tools`` the model may call any. The deadlines are
    the seconds of silence allowed before the first token and between tokens; an engine that tells of its progress with
    the prompt is not silent.
    """

    max_tokens: int = 0
    temperature: float = 0.7
    top_p: float = 0.95
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: bool = False
    json_schema: dict[str, Any] | None = None
    tools: tuple[Tool, ...] = ()
    first_token_deadline: float = 120.0
    token_deadline: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a reply took. ``cached_tokens`` of the prompt were already in the engine's cache."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    prompt_seconds: float = 0.0
    completion_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of a reply; of a single token also its log-probability, where the engine tells it."""

    text: str
    logprob: float | None = None


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """The next piece of what a reasoning model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True)
class ReplyEnd:
    """The last event of a stream."""

    stop: StopReason
    usage: Usage
