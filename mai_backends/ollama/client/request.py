"""What Mai asks an Ollama server for, as the bodies of its requests. Pure."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from mai_core.policy.messages import GenerationOptions, Message, Role, Tool
from mai_core.policy.models import LoadPlan

__all__ = ["ALL_LAYERS", "chat_body", "load_body", "runner_options"]

ALL_LAYERS = 999
"""More layers than any model has: Ollama has no number for all, its -1 leaves the choice to it."""


def runner_options(plan: LoadPlan) -> dict[str, int]:
    """What a model is loaded with. Ollama loads it anew for a request that differs in any of these."""
    options = {"num_ctx": plan.context}
    if plan.gpu_layers is not None:
        options["num_gpu"] = ALL_LAYERS if plan.gpu_layers < 0 else plan.gpu_layers
    if plan.threads:
        options["num_thread"] = plan.threads
    return options


def load_body(model: str, runner: Mapping[str, Any], *, keep_alive: float) -> dict[str, Any]:
    """A chat of no messages, which loads. ``shift`` belongs to what a model is loaded with, too."""
    return {
        "model": model,
        "messages": [],
        "stream": False,
        "shift": False,
        "keep_alive": keep_alive,
        "options": dict(runner),
    }


def chat_body(
    model: str,
    runner: Mapping[str, Any],
    messages: Sequence[Message],
    options: GenerationOptions,
    *,
    keep_alive: float | None,
    stops: Sequence[str] = (),
) -> dict[str, Any]:
    """A chat whose prompt is refused rather than cut, and whose window, where Mai loaded the model, never slides.

    ``keep_alive`` None is for a model somebody else loaded: how long it stays is left alone, and so is ``shift``,
    which would load it anew. ``stops`` are the model's own, which those of a request would replace.
    """
    sampling: dict[str, Any] = {
        "temperature": options.temperature,
        "top_p": options.top_p,
        "num_predict": options.max_tokens or -1,
    }
    if options.seed is not None:
        sampling["seed"] = options.seed
    if options.stop:
        sampling["stop"] = [*options.stop, *(stop for stop in stops if stop not in options.stop)]
    body: dict[str, Any] = {
        "model": model,
        "messages": _messages(messages),
        "stream": True,
        "truncate": False,
        "options": {**sampling, **runner},
    }
    if keep_alive is not None:
        body |= {"keep_alive": keep_alive, "shift": False}
    if messages and messages[-1].role is Role.ASSISTANT:
        # Templates that open a block of thoughts refuse to continue an answer.
        body["think"] = False
    if options.logprobs:
        body["logprobs"] = True  # since 0.12.11; before, nobody minds
    if options.json_schema is not None:
        body["format"] = options.json_schema
    if options.tools:
        body["tools"] = [_tool(tool) for tool in options.tools]
    return body


def _messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    called = {call.id: call.name for message in messages for call in message.tool_calls}
    written = []
    for message in messages:
        one: dict[str, Any] = {"role": message.role.value, "content": message.content}
        if message.images:
            one["images"] = [b64encode(image.data).decode() for image in message.images]
        if message.tool_calls:
            one["tool_calls"] = [
                {"id": call.id, "function": {"name": call.name, "arguments": _arguments(call.arguments)}}
                for call in message.tool_calls
            ]
        if message.role is Role.TOOL:
            one["tool_call_id"] = message.tool_call_id
            one["tool_name"] = called.get(message.tool_call_id, "")
        written.append(one)
    return written


def _arguments(written: str) -> dict[str, Any]:
    """Ollama takes an object only; what a model wrote may be anything."""
    try:
        value = json.loads(written)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _tool(tool: Tool) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {}, **tool.parameters}
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": parameters},
    }
