"""Prompts and replies of the stand-in: what counts as a token, and what it says."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

from tests.standins.ollama.models import StandInModel

__all__ = ["answer_pieces", "example", "prompt_tokens", "truncated"]

_TOKENS = re.compile(r"\w{1,6}|[^\w\s]")
PER_MESSAGE = 4
IMAGE_TOKENS = 256


def prompt_tokens(messages: list[dict[str, Any]]) -> int:
    """Six letters or one sign a token, and the template's."""
    images = sum(len(message.get("images") or []) for message in messages)
    words = sum(PER_MESSAGE + len(_TOKENS.findall(message.get("content") or "")) for message in messages)
    return words + IMAGE_TOKENS * images


def truncated(messages: list[dict[str, Any]], window: int) -> list[dict[str, Any]]:
    """What is left when the oldest messages are dropped until the rest fits: system messages and the last one stay."""
    kept = messages
    for first in range(len(messages)):
        kept = [m for m in messages[:first] if m["role"] == "system"] + messages[first:]
        if prompt_tokens(kept) <= window:
            break
    return kept


def answer_pieces(model: StandInModel, body: dict[str, Any]) -> Iterator[str]:
    """The pieces of a reply; one that has begun goes on where it stopped."""
    schema = body.get("format")
    if isinstance(schema, dict):
        yield json.dumps(example(schema))
        return
    pieces = re.findall(r"\S+\s*", f"{_shown(body['messages'][-1])}{model.reply}")
    last = body["messages"][-1]
    said = len(re.findall(r"\S+", last.get("content") or "")) if last["role"] == "assistant" else 0
    for number in range(said, model.reply_tokens):
        yield pieces[number % len(pieces)]


def _shown(message: dict[str, Any]) -> str:
    """What a model says of the images it is shown. Raises ``ValueError`` for what is no Base64."""
    sizes = [len(base64.b64decode(image, validate=True)) for image in message.get("images") or []]
    return f"You show me {' and '.join(f'{size} bytes' for size in sizes)}. " if sizes else ""


def example(schema: dict[str, Any]) -> Any:
    """Something that satisfies the schema, as far as types go."""
    match schema.get("type"):
        case "object":
            return {key: example(one) for key, one in (schema.get("properties") or {}).items()}
        case "array":
            return [example(schema.get("items") or {})]
        case "integer" | "number":
            return 7
        case "boolean":
            return True
        case _:
            return (schema.get("enum") or ["yes"])[0]
