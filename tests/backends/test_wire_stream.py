"""A streamed reply over a real socket: where it ends, what it waits for, and what it takes for no reply."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import httpx
import pytest

from mai_backends.wire import stream
from mai_backends.wire.errors import BrokeOff, Refused, Silent, Unreadable
from mai_backends.wire.stream import stream_reply
from mai_core.plugin.interfaces import GenerationEvent
from mai_core.policy.messages import GenerationOptions, ReplyEnd, StopReason, TextDelta

DONE = b"data: [DONE]\n\n"
OPTIONS = GenerationOptions(first_token_deadline=60.0, token_deadline=60.0)


def event(text: str = "", finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


@asynccontextmanager
async def server(*script: bytes | float, head: bytes = b"", close: bool = True) -> AsyncIterator[str]:
    """Answers anything with the script: bytes as they are, numbers as pauses; a body without a length."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + (head or b"200 OK") + b"\r\n\r\n")
        for piece in script:
            if isinstance(piece, float):
                await asyncio.sleep(piece)
            else:
                writer.write(piece)
        if not close:
            await reader.read()  # until the client has enough
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


async def read(url: str, options: GenerationOptions = OPTIONS, deadline: float | None = None) -> list[GenerationEvent]:
    async with httpx.AsyncClient(trust_env=False, timeout=None) as http:
        request = http.build_request("POST", url)
        async with aclosing(stream_reply(http, request, options, deadline=deadline)) as events:
            return [found async for found in events]


@pytest.mark.parametrize("rest", [(), (DONE,)], ids=["reason", "done"])
async def test_a_server_that_never_closes_is_not_waited_for(
    rest: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "USAGE_SECONDS", 0.2)
    async with server(event("a"), event(finish="stop"), *rest, close=False) as url:
        began = time.monotonic()
        text, end = await read(url, GenerationOptions(first_token_deadline=30.0, token_deadline=30.0))
        assert time.monotonic() - began < 15.0
    assert text == TextDelta("a")
    assert isinstance(end, ReplyEnd)


@pytest.mark.parametrize("rest", [(), (DONE,), (0.1, b'data: {"choices": [], "usage": {"prompt_tokens": 7}}\n\n')])
async def test_usage_after_the_end_is_not_missed(rest: tuple[bytes | float, ...]) -> None:
    async with server(event("a"), event(finish="stop"), *rest) as url:
        end = (await read(url))[-1]
    assert isinstance(end, ReplyEnd)
    assert end.usage.prompt_tokens == (7 if len(rest) == 2 else 0)


async def test_an_end_without_a_reason_is_an_end() -> None:
    async with server(event("a"), DONE) as url:
        end = (await read(url))[-1]
    assert isinstance(end, ReplyEnd)
    assert end.stop is StopReason.STOP


async def test_no_end_at_all_is_none() -> None:
    async with server(event("a")) as url:
        with pytest.raises(BrokeOff):
            await read(url)


async def test_a_server_that_does_not_stream() -> None:
    whole = {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}}
    head = b"200 OK\r\nContent-Type: application/json"
    async with server(json.dumps(whole, indent=2).encode(), head=head) as url:
        text, end = await read(url)
    assert text == TextDelta("a")
    assert isinstance(end, ReplyEnd)
    assert end.usage.prompt_tokens == 3


async def test_chunks_without_blank_lines_and_lines_that_are_no_chunks() -> None:
    lines = event("a").strip() + b"\n" + event("b").strip() + b"\n\ndata: ping\n\n"
    async with server(lines, event(finish="stop"), DONE) as url:
        assert (await read(url))[:-1] == [TextDelta("a"), TextDelta("b")]


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"200 OK", b'data: {"choices": [\n\n'),
        (b"200 OK\r\nContent-Encoding: gzip", gzip.compress(event("a"))),
        (b"200 OK\r\nContent-Type: application/json", b"x" * (17 * 2**20)),
        (b"500 No\r\nContent-Length: 99999999999", b""),
        (b"200 OK", b"data: {" + b"[" * 200_000 + b"\n\n"),
    ],
    ids=["no-json", "compressed", "long", "announced", "deep"],
)
async def test_what_cannot_be_read(head: bytes, body: bytes) -> None:
    async with server(body, head=head) as url:
        with pytest.raises(Unreadable):
            await read(url)


async def test_refusals_keep_their_status_and_headers() -> None:
    async with server(b'{"error": {"message": "no"}}', head=b"429 Slow\r\nRetry-After: 7") as url:
        with pytest.raises(Refused) as caught:
            await read(url)
    refusal = caught.value.refusal
    assert (refusal.status, refusal.message, refusal.headers["retry-after"]) == (429, "no", "7")


@pytest.mark.parametrize(
    "script", [(), (b": ping\n\n",), (event(),), (event("a"),)], ids=["nothing", "comment", "role", "token"]
)
async def test_silence(script: tuple[bytes, ...]) -> None:
    async with server(*script, close=False) as url:
        with pytest.raises(Silent) as caught:
            await read(url, GenerationOptions(first_token_deadline=2.0, token_deadline=0.5))
    assert caught.value.seconds == (0.5 if script[:1] == (event("a"),) else 2.0)


async def test_the_deadline_can_be_another_than_from_now() -> None:
    async with server(close=False) as url:
        began = time.monotonic()
        options = GenerationOptions(first_token_deadline=30.0, token_deadline=30.0)
        with pytest.raises(Silent):
            await read(url, options, deadline=asyncio.get_running_loop().time() + 0.1)
        assert time.monotonic() - began < 15.0


@pytest.mark.parametrize("drops", [1, 2])
async def test_a_connection_that_is_dropped_without_a_word_is_tried_once_more(drops: int) -> None:
    taken = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        taken += 1
        await reader.readuntil(b"\r\n\r\n")
        if taken > drops:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + event("a") + event(finish="stop") + DONE)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        if drops == 1:
            assert (await read(url))[0] == TextDelta("a")
        else:
            with pytest.raises(httpx.RemoteProtocolError):
                await read(url)
    assert taken == 2


async def test_pieces_of_a_tool_call_are_a_sign_of_life() -> None:
    def piece(arguments: str) -> bytes:
        call = {"index": 0, "function": {"name": "f", "arguments": arguments}}
        return b"data: " + json.dumps({"choices": [{"delta": {"tool_calls": [call]}}]}).encode() + b"\n\n"

    script = [step for _ in range(6) for step in (piece("1"), 0.6)]
    async with server(*script, event(finish="tool_calls"), DONE) as url:
        events = await read(url, GenerationOptions(first_token_deadline=2.5, token_deadline=2.5))
    assert isinstance(events[-1], ReplyEnd)
    assert events[-1].stop is StopReason.TOOLS
