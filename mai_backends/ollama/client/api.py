"""The calls Mai makes to an Ollama server, over the official client."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any

import httpx
from ollama import AsyncClient

from mai_backends.ollama.client.errors import Lost, Refused, Unreadable
from mai_backends.ollama.client.lines import LONGEST_LINE, as_object, objects
from mai_backends.wire.secrecy import Secrets

__all__ = ["Api", "Reply"]

LARGEST_ANSWER = 64 << 20
"""Bytes of an answer that is not streamed."""
_LONGEST_REASON = 500


class Reply:
    """A stream of a chat. Closing it closes the connection, which stops the server.

    Errors hold none of the ``secrets``.
    """

    def __init__(self, response: httpx.Response, *, secrets: Secrets) -> None:
        self._response = response
        self._secrets = secrets
        self._lines = objects(_chunks(response))

    async def next(self) -> dict[str, Any] | None:
        """The next line; None when the stream ended. Raises ``Refused``, ``Unreadable`` or ``Lost``."""
        with _translated(self._secrets):
            line = await anext(self._lines, None)
        if line is not None and "error" in line:
            raise Refused(200, self._secrets.scrub(_text(line["error"])))
        return line

    async def aclose(self) -> None:
        """Hang up."""
        await self._lines.aclose()
        await self._response.aclose()


class Api(AsyncClient):
    """The official client, asked for what its typed methods do not give.

    They know neither ``truncate`` nor ``shift``, drop the ids of tool calls and all of a tool's schema below its first
    level, reject a whole list for one row, split lines at separators that stand within strings, and read without
    bound. So addressing, headers and connections are the official client's, and the bodies are JSON both ways.

    Methods raise ``Refused``, ``Unreadable`` or ``Lost``, which hold none of the ``secrets``. None has a deadline of
    its own.
    """

    def __init__(self, url: str, *, headers: Mapping[str, str], secrets: Secrets, through_proxies: bool) -> None:
        self._secrets = secrets
        super().__init__(
            host=url,
            headers=headers,
            trust_env=through_proxies,
            verify=url.startswith("https:"),  # loading certificates takes a while
            follow_redirects=False,
            timeout=httpx.Timeout(None),
        )
        if "authorization" not in {name.lower() for name in headers}:
            # The official client shows OLLAMA_API_KEY, the key to ollama.com, to whatever server it talks to.
            self._client.headers.pop("authorization", None)

    async def version(self) -> str:
        """The server's version, such as ``0.12.6``."""
        return _text((await self._ask("GET", "/api/version")).get("version", ""))

    async def tags(self) -> list[Any]:
        """The rows of all models on its disk, as they are."""
        return _rows(await self._ask("GET", "/api/tags"))

    async def running(self) -> list[Any]:
        """The rows of all models in its memory, as they are."""
        return _rows(await self._ask("GET", "/api/ps"))

    async def details(self, model: str) -> dict[str, Any]:
        """All that is known of a model, without its tokens."""
        return await self._ask("POST", "/api/show", {"model": model})

    async def load(self, body: Mapping[str, Any]) -> None:
        """A chat without messages: the server loads the model and answers when it is loaded."""
        await self._ask("POST", "/api/chat", body)

    async def expire(self, model: str) -> None:
        """Let the server unload a model as soon as nobody uses it; it answers at once."""
        await self._ask("POST", "/api/chat", {"model": model, "messages": [], "keep_alive": 0, "stream": False})

    async def reply(self, body: Mapping[str, Any]) -> Reply:
        """Begin a reply; returns with its first bytes on the way."""
        request = self._client.build_request("POST", "/api/chat", content=_encoded(body))
        with _translated(self._secrets):
            response = await self._client.send(request, stream=True)
            if response.status_code != httpx.codes.OK:
                async with aclosing(response):
                    raise Refused(response.status_code, _reason(await _whole(response, LONGEST_LINE), self._secrets))
        return Reply(response, secrets=self._secrets)

    async def hang_up(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        content = None if body is None else _encoded(body)
        with _translated(self._secrets):
            async with self._client.stream(method, path, content=content) as response:
                whole = await _whole(response, LARGEST_ANSWER)
        if response.status_code != httpx.codes.OK:
            raise Refused(response.status_code, _reason(whole, self._secrets))
        answer = as_object(whole)
        if "error" in answer:
            raise Refused(response.status_code, self._secrets.scrub(_text(answer["error"])))
        return answer


@contextmanager
def _translated(secrets: Secrets) -> Iterator[None]:
    try:
        yield
    except httpx.DecodingError as error:
        raise Unreadable("bytes in another encoding than it said") from error
    except httpx.RequestError as error:
        connected = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError)
        raise Lost(secrets.describe(error), connected=connected) from error


async def _chunks(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    async for chunk in response.aiter_bytes():
        yield chunk


async def _whole(response: httpx.Response, most: int) -> bytes:
    read = bytearray()
    async for chunk in response.aiter_bytes():
        read += chunk
        if len(read) > most:
            raise Unreadable(f"an answer of more than {most} bytes")
    return bytes(read)


def _encoded(body: Mapping[str, Any]) -> bytes:
    """JSON that any parser takes, whatever a person pasted: half a surrogate pair becomes a question mark."""
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def _rows(answer: Mapping[str, Any]) -> list[Any]:
    rows = answer.get("models")
    if not isinstance(rows, list):
        if rows is None and "models" in answer:  # an empty list of an old server
            return []
        raise Unreadable("no list of models")
    return rows


def _reason(body: bytes, secrets: Secrets) -> str:
    """What an answer that is an error says; a proxy in front of the server may answer in HTML or with nothing."""
    try:
        answer = as_object(body)
    except Unreadable:
        return secrets.scrub(body.decode("utf-8", "replace"))[:_LONGEST_REASON].strip()
    return secrets.scrub(_text(answer.get("error", "")))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
