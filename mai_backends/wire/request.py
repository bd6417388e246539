"""The body of a chat-completions request: what every server understands, in its standard form."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from mai_core.policy.messages import GenerationOptions, Image, Message, Tool

__all__ = ["certainty", "chat_request"]


def chat_request(messages: Sequence[Message], options: GenerationOptions, *, model: str = "") -> dict[str, Any]:
    """The request for a streamed reply; what was left open in ``options`` is left out."""
    request: dict[str, Any] = {
        "messages": [_message(message) for message in messages],
        "stream": True,
        "temperature": options.temperature,
        "top_p": options.top_p,
    }
    if model:
        request["model"] = model
    if options.max_tokens:
        request["max_tokens"] = options.max_tokens
    if options.seed is not None:
        request["seed"] = options.seed
    if options.stop:
        request["stop"] = list(options.stop)
    if options.json_schema is not None:
        schema = {"name": "reply", "strict": True, "schema": options.json_schema}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    if options.tools:
        request["tools"] = [_tool(tool) for tool in options.tools]
    return request


def certainty(options: GenerationOptions) -> dict[str, Any]:
    """What asks for the log-probability of each token, of servers known to tell it; others refuse the whole request.

    One candidate a token: without a number llama.cpp sends twenty, eight times the bytes.
    """
    return {"logprobs": True, "top_logprobs": 1} if options.logprobs else {}


def _message(message: Message) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role.value, "content": _content(message)}
    if message.tool_calls:
        written["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        written["tool_call_id"] = message.tool_call_id
    return written


def _content(message: Message) -> str | list[dict[str, Any]]:
    """A text, or parts where there are images: these first, as the models that see were trained."""
    if not message.images:
        return message.content
    text = [{"type": "text", "text": message.content}] if message.content else []
    return [*({"type": "image_url", "image_url": {"url": _data_url(image)}} for image in message.images), *text]


def _data_url(image: Image) -> str:
    """RFC 2397: the image itself, so that no server fetches anything."""
    return f"data:{image.media_type};base64,{b64encode(image.data).decode()}"


def _tool(tool: Tool) -> dict[str, Any]:
    parameters = dict(tool.parameters) or {"type": "object", "properties": {}}
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": parameters},
    }
