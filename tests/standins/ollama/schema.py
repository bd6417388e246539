"""What Ollama's answers look like, field by field: ``api/types.go`` at version 0.33 as a table.

A field that Go leaves out when it is empty (``omitempty`` on anything but a struct) is optional, every other one is
always there. ``problems`` checks an answer against the table and against the official client's own models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import ollama
from pydantic import BaseModel, ValidationError

__all__ = ["ANSWERS", "problems"]

Check = Callable[[Any], bool]


@dataclass(frozen=True)
class Shape:
    """The fields of an object: those always there, and those that may be."""

    always: Mapping[str, Any]
    sometimes: Mapping[str, Any]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _anything(value: Any) -> bool:
    return isinstance(value, dict)


def _moment(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and not set(value) - set("0123456789abcdef")


@dataclass(frozen=True)
class Many:
    """A list of one kind."""

    of: Any
    or_null: bool = False


DETAILS = Shape(
    {
        "parent_model": _text,
        "format": _text,
        "family": _text,
        "families": Many(_text, or_null=True),
        "parameter_size": _text,
        "quantization_level": _text,
    },
    {"context_length": _whole, "embedding_length": _whole},
)
TAG = Shape(
    {"name": _text, "model": _text, "modified_at": _moment, "size": _whole, "digest": _digest, "details": DETAILS},
    {"remote_model": _text, "remote_host": _text, "capabilities": Many(_text)},
)
PROCESS = Shape(
    {
        "name": _text,
        "model": _text,
        "size": _whole,
        "digest": _digest,
        "details": DETAILS,
        "expires_at": _moment,
        "size_vram": _whole,
        "context_length": _whole,
    },
    {},
)
CALL = Shape({"function": Shape({"index": _whole, "name": _text, "arguments": _anything}, {})}, {"id": _text})
MESSAGE = Shape(
    {"role": _text, "content": _text},
    {"thinking": _text, "tool_calls": Many(CALL), "tool_name": _text, "tool_call_id": _text, "images": Many(_text)},
)
COUNTS = (
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
)
CHAT = Shape(
    {"model": _text, "created_at": _moment, "message": MESSAGE, "done": _flag},
    {"remote_model": _text, "remote_host": _text, "done_reason": _text, **dict.fromkeys(COUNTS, _whole)},
)
SHOW = Shape(
    {"details": DETAILS, "model_info": _anything, "modified_at": _moment},
    {
        **dict.fromkeys(
            ("license", "modelfile", "parameters", "template", "system", "renderer", "parser", "requires"), _text
        ),
        "remote_model": _text,
        "remote_host": _text,
        "projector_info": _anything,
        "tensors": Many(Shape({"name": _text, "type": _text, "shape": Many(_whole)}, {})),
        "capabilities": Many(_text),
    },
)

ANSWERS: Mapping[str, tuple[Shape, type[BaseModel] | None]] = {
    "/api/version": (Shape({"version": _text}, {}), None),
    "/api/tags": (Shape({"models": Many(TAG)}, {}), ollama.ListResponse),
    "/api/ps": (Shape({"models": Many(PROCESS)}, {}), ollama.ProcessResponse),
    "/api/show": (SHOW, ollama.ShowResponse),
    "/api/chat": (CHAT, ollama.ChatResponse),
    "error": (Shape({"error": _text}, {}), None),
}


def problems(answer: Any, path: str) -> list[str]:
    """What is wrong with an answer, or a line of one; nothing if it is what Ollama could say."""
    shape, model = ANSWERS[path]
    found = list(_compare(answer, shape, path))
    if model is not None:
        try:
            model.model_validate(answer)
        except ValidationError as error:
            found += [f"{path}: the official client: {one['loc']} {one['msg']}" for one in error.errors()]
    return found


def _compare(value: Any, wanted: Any, where: str) -> list[str]:
    if isinstance(wanted, Many):
        if value is None and wanted.or_null:
            return []
        if not isinstance(value, list):
            return [f"{where}: no list"]
        return [one for number, item in enumerate(value) for one in _compare(item, wanted.of, f"{where}[{number}]")]
    if not isinstance(wanted, Shape):
        return [] if wanted(value) else [f"{where}: {value!r}"]
    if not isinstance(value, dict):
        return [f"{where}: no object"]
    known = {**wanted.always, **wanted.sometimes}
    found = [f"{where}.{key}: not there" for key in wanted.always.keys() - value.keys()]
    found += [f"{where}.{key}: unknown" for key in value.keys() - known.keys()]
    for key in value.keys() & known.keys():
        found += _compare(value[key], known[key], f"{where}.{key}")
    return found
