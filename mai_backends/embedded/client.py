"""Talks to the engine of a worker over HTTP: replies as events, texts as token counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import httpx

from mai_backends.embedded.failures import refusal
from mai_core.errors import GenerationError, ModelStalled
from mai_core.plugin.interfaces import GenerationEvent
from mai_core.policy.messages import (
    GenerationOptions,
    Message,
    ReasoningDelta,
    ReplyEnd,
    Role,
    StopReason,
    TextDelta,
    Usage,
)

__all__ = ["EngineClient"]

# The engine closes a connection that was idle for 5 s: it must not be taken up again just then.
_LIMITS = httpx.Limits(max_keepalive_connections=2, keepalive_expiry=3.0)


class EngineClient:
    """The engine at ``address``. ``key`` names the model in errors.

    Every method lets ``httpx.TransportError`` through: only who owns the process knows whether it died.
    """

    def __init__(self, address: str, *, api_key: str, key: str) -> None:
        self._key = key
        self._http = httpx.AsyncClient(
            base_url=address,
            headers={"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"},
            timeout=httpx.Timeout(None, connect=5.0),
            limits=_LIMITS,
            trust_env=False,  # a proxy has no business on the loopback
            verify=False,  # there is no TLS on it either, and loading certificates takes a while
        )

    async def stream(
        self, messages: Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[GenerationEvent, None]:
        """A reply, piece by piece; a last message of the assistant is continued. Closing it stops the engine.

        Raises ``ModelStalled``, ``ContextExceeded`` or ``GenerationError``.
        """
        clock = asyncio.get_running_loop().time
        deadline, limit = clock() + options.first_token_deadline, options.first_token_deadline
        tokens_read = 0
        request = self._http.build_request("POST", "/v1/chat/completions", content=_body(messages, options))
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._http.send(request, stream=True)
            try:
                if response.is_error:
                    raise refusal(self._key, _error(await response.aread()))
                async with aclosing(_data(response)) as data:
                    while True:
                        async with asyncio.timeout_at(deadline):
                            chunk = await anext(data, None)
                        if chunk is None:
                            raise GenerationError(f"{self._key} broke off its answer")
                        if "error" in chunk:
                            raise refusal(self._key, chunk["error"])
                        if (read := _tokens_read(chunk)) > tokens_read:
                            tokens_read, deadline = read, clock() + limit  # whoever reads is not silent
                        for event in _events(chunk, options):
                            yield event
                            if isinstance(event, ReplyEnd):
                                return
                            limit = options.token_deadline
                            deadline = clock() + limit
            finally:
                await response.aclose()
        except TimeoutError as error:
            raise ModelStalled(f"{self._key} gave no token for {limit:g} s") from error

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text alone; what looks like a special token counts as the characters it is written with."""
        return [await self._count(text) if text else 0 for text in texts]

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _count(self, text: str) -> int:
        body = _encode({"content": text, "add_special": False, "parse_special": False})
        response = await self._http.post("/tokenize", content=body)
        if response.is_error:
            raise refusal(self._key, _error(response.content))
        return len(response.json()["tokens"])


def _body(messages: Sequence[Message], options: GenerationOptions) -> bytes:
    request: dict[str, Any] = {
        "messages": [{"role": message.role.value, "content": message.content} for message in messages],
        "stream": True,
        # With progress the engine writes after every batch of the prompt, and so notices at once that nobody reads.
        # Without, it looks once a second while it is left alone, and never while others ask it for something.
        "return_progress": True,
        "cache_prompt": True,
        "max_tokens": options.max_tokens or -1,
        "temperature": options.temperature,
        "top_p": options.top_p,
    }
    if messages and messages[-1].role is Role.ASSISTANT:
        # Templates that open a block of thoughts refuse to continue an answer.
        request["chat_template_kwargs"] = {"enable_thinking": False}
    if options.seed is not None:
        request["seed"] = options.seed
    if options.stop:
        request["stop"] = list(options.stop)
    if options.json_schema is not None:
        schema = {"name": "reply", "strict": True, "schema": options.json_schema}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    return _encode(request)


def _encode(request: dict[str, Any]) -> bytes:
    """JSON that the engine's parser takes whatever a person pasted: half a surrogate pair becomes a question mark."""
    return json.dumps(request, ensure_ascii=False).encode("utf-8", "replace")


def _error(body: bytes) -> dict[str, Any]:
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        error = None
    return error if isinstance(error, dict) else {"message": body[:200].decode("utf-8", "replace")}


async def _data(response: httpx.Response) -> AsyncGenerator[dict[str, Any], None]:
    """The ``data:`` of each server-sent event as an object. Comments that keep a connection alive are passed over."""
    rest = b""
    async with aclosing(response.aiter_raw()) as chunks:  # type: ignore[type-var]  # a generator, typed as iterator
        async for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.startswith(b"data:") and (text := line[5:].strip()) != b"[DONE]":
                    yield json.loads(text.decode("utf-8", "replace"))


def _tokens_read(chunk: dict[str, Any]) -> int:
    """How far the engine has come with the prompt, where a chunk tells it."""
    return int((chunk.get("prompt_progress") or {}).get("processed", 0))


def _events(chunk: dict[str, Any], options: GenerationOptions) -> list[GenerationEvent]:
    events: list[GenerationEvent] = []
    for choice in chunk.get("choices", ()):
        delta = choice.get("delta") or {}
        if thought := delta.get("reasoning_content"):
            events.append(ReasoningDelta(thought))
        if text := delta.get("content"):
            events.append(TextDelta(text))
        if finish := choice.get("finish_reason"):
            usage = _usage(chunk.get("timings") or {})
            events.append(ReplyEnd(_stop(finish, usage, options), usage))
    return events


def _stop(finish: str, usage: Usage, options: GenerationOptions) -> StopReason:
    """The engine calls it ``length``, too, when the window is full before the tokens asked for were written."""
    if finish != "length":
        return StopReason.STOP
    asked_for = 0 < options.max_tokens <= usage.completion_tokens
    return StopReason.LENGTH if asked_for else StopReason.CONTEXT


def _usage(timings: dict[str, Any]) -> Usage:
    cached = int(timings.get("cache_n", 0))
    return Usage(
        prompt_tokens=cached + int(timings.get("prompt_n", 0)),
        cached_tokens=cached,
        completion_tokens=int(timings.get("predicted_n", 0)),
        prompt_seconds=float(timings.get("prompt_ms", 0.0)) / 1000,
        completion_seconds=float(timings.get("predicted_ms", 0.0)) / 1000,
    )
