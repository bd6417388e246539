"""Talks to the engine of a worker over HTTP: replies as events, texts as token counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx

from mai_backends.embedded.failures import refusal
from mai_backends.wire.bodies import encode
from mai_backends.wire.errors import BrokeOff, Refusal, Refused, Silent, Unreadable
from mai_backends.wire.request import certainty, chat_request
from mai_backends.wire.stream import send, stream_reply
from mai_core.errors import GenerationError, ModelStalled
from mai_core.plugin.interfaces import GenerationEvent
from mai_core.policy.messages import GenerationOptions, Message, Role

__all__ = ["EngineClient", "SlotMove"]

COUNT_SECONDS = 30.0
"""For all texts of a prompt together: an engine that is well counts a million characters a second, busy or not."""

# The engine closes a connection that was idle for 5 s: it must not be taken up again just then.
_LIMITS = httpx.Limits(max_keepalive_connections=2, keepalive_expiry=3.0)


@dataclass(frozen=True, slots=True)
class SlotMove:
    """What a save or a restore moved: tokens, bytes, and the seconds the engine took."""

    tokens: int
    size: int
    seconds: float


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
        request = self._http.build_request("POST", "/v1/chat/completions", content=encode(_request(messages, options)))
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

    async def held_tokens(self) -> int:
        """Tokens of the latest prompt and its reply that the engine holds."""
        (slot,) = await self._ask("GET", "/slots")
        return int(slot.get("n_prompt_tokens", 0))

    async def save_slot(self, name: str) -> SlotMove:
        """Have what the engine holds written to a file of its folder. Raises ``GenerationError``."""
        done = await self._ask("POST", "/slots/0?action=save", {"filename": name})
        return SlotMove(int(done["n_saved"]), int(done["n_written"]), done["timings"]["save_ms"] / 1000)

    async def restore_slot(self, name: str) -> SlotMove:
        """Have it read back; what the engine held is gone, also when this fails. Raises ``GenerationError``."""
        done = await self._ask("POST", "/slots/0?action=restore", {"filename": name})
        return SlotMove(int(done["n_restored"]), int(done["n_read"]), done["timings"]["restore_ms"] / 1000)

    async def prompt_tokens(self, messages: Sequence[Message], options: GenerationOptions) -> list[int]:
        """The prompt the engine makes of a request, as tokens. Raises ``GenerationError``."""
        prompt = (await self._ask("POST", "/apply-template", _request(messages, options)))["prompt"]
        asked = {"content": prompt, "add_special": True, "parse_special": True}
        return [int(token) for token in (await self._ask("POST", "/tokenize", asked))["tokens"]]

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _count(self, text: str) -> int:
        asked = {"content": text, "add_special": False, "parse_special": False}
        return len((await self._ask("POST", "/tokenize", asked))["tokens"])

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The engine's answer to a short question. Raises ``GenerationError`` when it refuses."""
        content = None if body is None else encode(dict(body))
        response = await send(self._http, self._http.build_request(method, path, content=content))
        answer = await response.aread()
        if response.is_error:
            raise refusal(self._key, Refusal.of_body(response.status_code, answer).fields)
        return response.json()


def _request(messages: Sequence[Message], options: GenerationOptions) -> dict[str, Any]:
    request = chat_request(messages, options)
    # With progress the engine writes after every batch of the prompt, and so notices at once that nobody reads.
    # Without, it looks once a second while it is left alone, and never while others ask it for something.
    request["return_progress"] = True
    request["cache_prompt"] = True
    request["max_tokens"] = options.max_tokens or -1
    request |= certainty(options)
    if messages and messages[-1].role is Role.ASSISTANT:
        # Templates that open a block of thoughts refuse to continue an answer.
        request["chat_template_kwargs"] = {"enable_thinking": False}
    return request
