"""Talks to the engine of a worker over HTTP: replies as events, texts as token counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import httpx

from mai_backends.embedded.failures import refusal
from mai_backends.wire.bodies import encode
from mai_backends.wire.errors import BrokeOff, Refusal, Refused, Silent, Unreadable
from mai_backends.wire.request import chat_request
from mai_backends.wire.stream import send, stream_reply
from mai_core.errors import GenerationError, ModelStalled
from mai_core.plugin.interfaces import GenerationEvent
from mai_core.policy.messages import GenerationOptions, Message, Role

__all__ = ["EngineClient"]

COUNT_SECONDS = 30.0
"""For all texts of a prompt together: an engine that is well counts a million characters a second, busy or not."""

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
            headers={
                "Authorization": f"Bearer {api_key}",
                "Content-Type": "application/json",
                "Accept-Encoding": "identity",
            },
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
        request = self._http.build_request("POST", "/v1/chat/completions", content=_body(messages, options))
        try:
            async with aclosing(stream_reply(self._http, request, options)) as events:
                async for event in events:
                    yield event
        except Refused as error:
            raise refusal(self._key, error.refusal.fields) from error
        except Silent as error:
            raise ModelStalled(f"{self._key} gave no token for {error.seconds:g} s") from error
        except BrokeOff as error:
            raise GenerationError(f"{self._key} broke off its answer") from error
        except Unreadable as error:
            raise GenerationError(f"{self._key} sent what cannot be read: {error}") from error

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text alone; what looks like a special token counts as the characters it is written with.

        Raises ``ModelStalled`` when they are not all counted within ``COUNT_SECONDS``, or ``GenerationError``.
        """
        try:
            async with asyncio.timeout(COUNT_SECONDS):
                return [await self._count(text) if text else 0 for text in texts]
        except TimeoutError as error:
            raise ModelStalled(f"{self._key} has not counted tokens within {COUNT_SECONDS:g} s") from error

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _count(self, text: str) -> int:
        body = encode({"content": text, "add_special": False, "parse_special": False})
        response = await send(self._http, self._http.build_request("POST", "/tokenize", content=body))
        content = await response.aread()
        if response.is_error:
            raise refusal(self._key, Refusal.of_body(response.status_code, content).fields)
        return len(response.json()["tokens"])


def _body(messages: Sequence[Message], options: GenerationOptions) -> bytes:
    request = chat_request(messages, options)
    # With progress the engine writes after every batch of the prompt, and so notices at once that nobody reads.
    # Without, it looks once a second while it is left alone, and never while others ask it for something.
    request["return_progress"] = True
    request["cache_prompt"] = True
    request["max_tokens"] = options.max_tokens or -1
    if messages and messages[-1].role is Role.ASSISTANT:
        # Templates that open a block of thoughts refuse to continue an answer.
        request["chat_template_kwargs"] = {"enable_thinking": False}
    return encode(request)
