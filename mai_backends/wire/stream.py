"""One streamed reply over HTTP, under deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import httpx

from mai_backends.wire.bodies import parse_json
from mai_backends.wire.errors import BrokeOff, Refusal, Refused, Silent, Unreadable
from mai_backends.wire.reply import ReplyReader
from mai_backends.wire.sse import EventStream
from mai_core.plugin.interfaces import GenerationEvent
from mai_core.policy.messages import GenerationOptions

__all__ = ["LONGEST_BODY", "read_body", "send", "stream_reply"]

LONGEST_BODY = 16 * 2**20
"""Bytes of a response that is read whole: lists of some thousand models, refusals."""

USAGE_SECONDS = 2.0
"""After the finish reason: usage comes at once, or not at all."""

CLOSING_SECONDS = 0.2
"""After ``[DONE]``: the end of the response, which lets the connection be used again."""

_DONE = "[DONE]"


async def stream_reply(
    http: httpx.AsyncClient,
    request: httpx.Request,
    options: GenerationOptions,
    *,
    deadline: float | None = None,
    again: bool = True,
    scrub: Callable[[str], str] = str,
) -> AsyncGenerator[GenerationEvent, None]:
    """A reply, event by event, up to its one ``ReplyEnd``. Closing it closes the connection, which stops the engine.

    ``deadline`` is the loop's time for the first token, ``options.first_token_deadline`` from now unless given. A sign
    of life is what the model writes, and what an engine tells of its progress with the prompt; comments that keep a
    connection alive are none, as a person still waits. ``again`` is what ``send`` does by itself when a connection is
    dropped; ``scrub`` strikes secrets out of what the server says.

    Raises a ``WireError``, and lets ``httpx.TransportError`` through: what that means only who knows the server can
    say.
    """
    watch = _Watch(asyncio.get_running_loop().time, options, deadline)
    reader = ReplyReader(options, scrub=scrub)
    try:
        async with asyncio.timeout_at(watch.deadline):
            response = await send(http, request) if again else await http.send(request, stream=True)
        try:
            if not response.is_success:
                async with asyncio.timeout_at(watch.deadline):
                    body = await read_body(response)
                raise Refused(Refusal.of_body(response.status_code, body, dict(response.headers), scrub=scrub))
            async with aclosing(_data(response)) as events:
                while (data := await _next(events, watch)) is not None:
                    if data == _DONE:
                        watch.end(CLOSING_SECONDS)
                        continue
                    for chunk in _objects(data):
                        for event in reader.read(chunk):
                            yield event
                        watch.see(reader)
        finally:
            await response.aclose()
    except TimeoutError as error:
        raise Silent(watch.limit) from error
    if not watch.ended:
        raise BrokeOff("the reply ended without an end")
    for event in reader.end(prompt_seconds=watch.prompt_seconds, completion_seconds=watch.completion_seconds):
        yield event


async def send(http: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """Send it and wait for the head of the response, whose body the caller reads and closes.

    A connection that is dropped before a word was said is tried once more: an idle one may be closed just as it is
    taken up again, and llama.cpp's server, when a client hangs up, now and then (1 in 100) closes the next connection
    instead.
    """
    try:
        return await http.send(request, stream=True)
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
        return await http.send(request, stream=True)


async def read_body(response: httpx.Response, *, limit: int = LONGEST_BODY) -> bytes:
    """The whole body. Raises ``Unreadable`` as soon as it is clear that it is longer than ``limit`` bytes."""
    _check_encoding(response)
    announced = response.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise Unreadable(f"a response of {announced} bytes")
    body = bytearray()
    async with aclosing(response.aiter_raw()) as pieces:  # type: ignore[type-var]  # a generator, typed as iterator
        async for piece in pieces:
            body += piece
            if len(body) > limit:
                raise Unreadable(f"a response of more than {limit} bytes")
    return bytes(body)


class _Watch:
    """When the next sign of life is due, and when those before came."""

    def __init__(self, clock: Callable[[], float], options: GenerationOptions, deadline: float | None) -> None:
        self._clock = clock
        self._options = options
        self._began = clock()
        self._first = self._last = 0.0
        self._seen = (0, 0)
        self.limit = options.first_token_deadline
        self.deadline = self._began + self.limit if deadline is None else deadline
        self.ended = False

    @property
    def prompt_seconds(self) -> float:
        """From the request to the first token."""
        return self._first - self._began if self._first else 0.0

    @property
    def completion_seconds(self) -> float:
        """From the first token to the last."""
        return self._last - self._first

    def see(self, reader: ReplyReader) -> None:
        """Take note of what a chunk held."""
        tokens, read = self._seen
        self._seen = reader.tokens, reader.prompt_read
        now = self._clock()
        if reader.tokens > tokens:
            self._first, self._last = self._first or now, now
            self.limit = self._options.token_deadline
        if self._seen != (tokens, read):
            self.deadline = now + self.limit
        if reader.finished and not self.ended:
            self.end(USAGE_SECONDS)

    def end(self, seconds: float) -> None:
        """The reply is whole: what may still follow is waited for so long."""
        self.ended = True
        self.deadline = self._clock() + seconds


async def _next(events: AsyncGenerator[str, None], watch: _Watch) -> str | None:
    """The next event's data; None at the end of the stream, and when nothing follows the end of the reply."""
    try:
        async with asyncio.timeout_at(watch.deadline):
            return await anext(events, None)
    except (TimeoutError, httpx.TransportError):
        if watch.ended:
            return None
        raise


async def _data(response: httpx.Response) -> AsyncGenerator[str, None]:
    """The data of each event; of a server that does not stream, its one answer."""
    _check_encoding(response)
    if response.headers.get("content-type", "").startswith("application/json"):
        yield (await read_body(response)).decode("utf-8", "replace")
        yield _DONE
        return
    stream = EventStream()
    async with aclosing(response.aiter_raw()) as pieces:  # type: ignore[type-var]  # a generator, typed as iterator
        async for piece in pieces:
            for data in stream.feed(piece):
                yield data
    for data in stream.close():
        yield data


def _objects(data: str) -> list[dict[str, Any]]:
    """The chunk in an event, or the chunks, one a line, of a server that leaves out blank lines; of others nothing."""
    for parts in ([data], data.splitlines()):
        chunks = [part for part in parts if part.lstrip().startswith("{")]
        try:
            return [parse_json(chunk) for chunk in chunks]
        except ValueError:
            continue
    raise Unreadable("a piece of the reply is no JSON")


def _check_encoding(response: httpx.Response) -> None:
    """A compressed body has no bound before it is unpacked; none was asked for."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise Unreadable("a compressed response, which was not asked for")
