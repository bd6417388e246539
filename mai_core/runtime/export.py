"""A conversation as a file: JSON that can be read back, and Markdown to read.

The JSON is a format of its own with its own version, so that files written today can be read when the program has
changed. Every key is always there.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import datetime, tzinfo
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mai_core.errors import StoreError
from mai_core.policy.messages import Conversation, Image, Message, Role, StopReason, ToolCall
from mai_core.policy.pictures import read_picture

__all__ = ["FORMAT", "VERSION", "from_dict", "from_json", "to_dict", "to_json", "to_markdown"]

FORMAT = "mai-conversation"
VERSION = 1
REMEDY = "choose a file that Mai exported as JSON"


class _Exported(BaseModel):
    """Unknown keys are passed over: a later minor addition must not make a file unreadable."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _ExportedCall(_Exported):
    id: str
    name: str
    arguments: str


class _ExportedImage(_Exported):
    """``data`` is Base64 (RFC 4648, 4); what it holds says all the rest, which stands there for people."""

    name: str
    data: str

    @field_validator("data")
    @classmethod
    def _is_an_image(cls, data: str) -> str:
        try:
            read_picture(base64.b64decode(data, validate=True))
        except binascii.Error as error:
            raise ValueError("is not Base64") from error
        return data


class _ExportedMessage(_Exported):
    id: Annotated[int, Field(ge=0, lt=2**53)]
    role: Role
    content: str
    model: str = ""
    stop: StopReason | None = None
    pinned: bool = False
    created: float = 0.0
    tool_calls: list[_ExportedCall] = []
    tool_call_id: str = ""
    earlier: list[str] = []
    images: list[_ExportedImage] = []


class _ExportedConversation(_Exported):
    format: Literal["mai-conversation"]
    version: Literal[1]
    id: str = ""
    title: str = ""
    created: float = 0.0
    updated: float = 0.0
    messages: list[_ExportedMessage]


def to_dict(conversation: Conversation, ratings: Mapping[int, float] | None = None) -> dict[str, Any]:
    """The conversation as plain JSON values; times are seconds since the epoch.

    ``ratings`` are what the person said replies were worth, by message. They do not come back with the conversation:
    what was learnt of them is learnt.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "id": conversation.id,
        "title": conversation.title,
        "created": conversation.created,
        "updated": conversation.updated,
        "messages": [
            {
                "id": message.id,
                "role": message.role.value,
                "content": message.content,
                "model": message.model,
                "stop": message.stop.value if message.stop else None,
                "pinned": message.pinned,
                "rating": (ratings or {}).get(message.id),
                "created": message.created,
                "tool_calls": [
                    {"id": call.id, "name": call.name, "arguments": call.arguments} for call in message.tool_calls
                ],
                "tool_call_id": message.tool_call_id,
                "earlier": list(message.earlier),
                "images": [
                    {
                        "name": image.name,
                        "media_type": image.media_type,
                        "width": image.width,
                        "height": image.height,
                        "data": base64.b64encode(image.data).decode(),
                    }
                    for image in message.images
                ],
            }
            for message in conversation.messages
        ],
    }


def to_json(conversation: Conversation, ratings: Mapping[int, float] | None = None) -> str:
    """The conversation as JSON text, indented, ending in a newline; ``ratings`` as in ``to_dict``."""
    return json.dumps(to_dict(conversation, ratings), ensure_ascii=False, indent=2) + "\n"


def from_json(text: str | bytes) -> Conversation:
    """The conversation ``to_json`` wrote. Raises ``StoreError`` when the text is no such thing."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StoreError("this is not JSON", remedy=REMEDY, detail=str(error)) from error
    return from_dict(data)


def from_dict(data: object) -> Conversation:
    """The conversation ``to_dict`` gave. Raises ``StoreError`` that names the first thing wrong."""
    if isinstance(data, dict) and isinstance(version := data.get("version"), int) and version > VERSION:
        raise StoreError("this conversation was exported by a newer Mai", remedy="update Mai")
    try:
        # From JSON text, because there the strict reading knows enumerations by their values.
        exported = _ExportedConversation.model_validate_json(json.dumps(data))
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise StoreError(f"this is no exported conversation ({place}: {first['msg']})", remedy=REMEDY) from error
    if any(later.id <= earlier.id for earlier, later in pairwise(exported.messages)):
        raise StoreError("this is no exported conversation (message ids do not grow)", remedy=REMEDY)
    return Conversation(
        id=exported.id,
        title=exported.title,
        created=exported.created,
        updated=exported.updated,
        messages=tuple(_message(message) for message in exported.messages),
    )


def _message(exported: _ExportedMessage) -> Message:
    calls = tuple(ToolCall(**dict(call)) for call in exported.tool_calls)
    images = tuple(Image(name=image.name, data=base64.b64decode(image.data)) for image in exported.images)
    return Message(**dict(exported) | {"tool_calls": calls, "earlier": tuple(exported.earlier), "images": images})


def to_markdown(conversation: Conversation, *, zone: tzinfo | None = None) -> str:
    """The conversation for a person to read, with times in ``zone``, or this machine's.

    Messages are Markdown already and stay as they are; a code fence that a message left open is closed, so that it
    does not swallow the next one.
    """
    parts = [f"# {_line(conversation.title) or 'Conversation'}", f"*{_time(conversation.created, zone)}*"]
    for message in conversation.messages:
        parts.append(f"## {_speaker(message)}")
        parts += [f"*(image: {_line(image.name)}, {image.width} × {image.height})*" for image in message.images]
        if content := message.content.strip("\n"):
            parts.append(content + _missing_fence(content))
        if message.stop not in (None, StopReason.STOP):
            parts.append(f"*({_ENDINGS[message.stop]})*")
    return "\n\n".join(parts) + "\n"


_ENDINGS = {
    StopReason.LENGTH: "cut off at the longest reply allowed",
    StopReason.CONTEXT: "cut off at the end of the context window",
    StopReason.REPEATED: "stopped because it repeated itself",
    StopReason.TOOLS: "waiting for a tool",
    StopReason.CANCELLED: "stopped by the reader",
    StopReason.FAILED: "cut off by a failure",
}


def _speaker(message: Message) -> str:
    who = {Role.USER: "You", Role.ASSISTANT: "Mai", Role.SYSTEM: "System", Role.TOOL: "Tool"}[message.role]
    models = " → ".join(filter(None, map(_line, message.authors)))
    return " · ".join(filter(None, [who, models, "pinned" if message.pinned else ""]))


def _line(text: str) -> str:
    return " ".join(text.split())


def _time(seconds: float, zone: tzinfo | None) -> str:
    try:
        return datetime.fromtimestamp(seconds, zone).astimezone(zone).strftime("%Y-%m-%d %H:%M %Z")
    except (ValueError, OverflowError, OSError):  # no such year
        return "at an unknown time"


def _missing_fence(content: str) -> str:
    """The line that closes the last code fence, by CommonMark's rules, when it is open."""
    fence = ""
    for line in re.split(r"\r?\n|\r", content):
        match = re.match(r" {0,3}(`{3,}|~{3,})(.*)$", line)
        if match is None:
            continue
        marks, rest = match.groups()
        if fence:
            if marks.startswith(fence) and not rest.strip():
                fence = ""
        elif marks[0] == "~" or "`" not in rest:
            fence = marks
    return f"\n{fence}" if fence else ""
