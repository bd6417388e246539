"""The history of a request, and what a model of the stand-in has to say to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.standins.lmstudio.models import Message, Reply, StandInModel, ToolUse

__all__ = ["answer", "messages_of", "prompt_of", "sample_of"]


def messages_of(history: Mapping[str, Any]) -> list[Message]:
    """The messages of a ``ChatHistoryData``: role and text, with tool calls and results where there are any."""
    return [_message(raw) for raw in history["messages"]]


def _message(raw: Mapping[str, Any]) -> Message:
    message: Message = {"role": raw["role"], "content": ""}
    for part in raw["content"]:
        match part["type"]:
            case "file":
                message.setdefault("files", []).append(part["identifier"])
            case "text":
                message["content"] += part["text"]
            case "toolCallRequest":
                message.setdefault("tool_calls", []).append(part["toolCallRequest"])
            case "toolCallResult":
                message.setdefault("tool_results", []).append(part)
                message["content"] += part["content"]
    return message


def prompt_of(messages: list[Message], *, open_end: bool) -> str:
    """ChatML; an ``open_end`` leaves the assistant's last message unfinished, to be continued."""
    turns = [f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n" for message in messages]
    if open_end and messages and messages[-1]["role"] == "assistant":
        return "".join(turns).removesuffix("<|im_end|>\n")
    return "".join(turns) + "<|im_start|>assistant\n"


def answer(
    model: StandInModel, messages: list[Message], structured: Mapping[str, Any], *, afresh: bool
) -> str | ToolUse:
    """What the model says. An unfinished reply at the end of the history is continued from where it stops."""
    reply: Reply = model.reply
    said = reply if isinstance(reply, (str, ToolUse)) else reply(messages)
    if isinstance(said, ToolUse):
        return said
    if structured.get("type") == "json":
        said = _as_json(said, structured.get("jsonSchema") or {})
    if messages and messages[-1]["role"] == "assistant" and not afresh:
        return said.removeprefix(messages[-1]["content"])
    return said


def _as_json(said: str, schema: Mapping[str, Any]) -> str:
    try:
        json.loads(said)
    except ValueError:
        return json.dumps(sample_of(schema))
    return said


def sample_of(schema: Mapping[str, Any]) -> Any:
    """A small value that fits a JSON schema."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return sample_of(schema[choice][0])
    kind = schema.get("type", "object")
    match kind[0] if isinstance(kind, list) else kind:
        case "string":
            return "text"
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "array":
            return [sample_of(schema.get("items", {"type": "string"}))] * max(1, schema.get("minItems", 1))
        case "null":
            return None
        case _:
            return {name: sample_of(inner) for name, inner in schema.get("properties", {}).items()}
