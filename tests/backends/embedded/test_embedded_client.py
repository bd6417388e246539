"""How the client reads what an engine sends: an engine that says exactly what the test wrote."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from mai_backends.embedded import client as client_module
from mai_backends.embedded.client import EngineClient
from mai_core.errors import ContextExceeded, GenerationError, ModelStalled
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

HELLO = [Message(role=Role.USER, content="Hello")]
TIMINGS = {"cache_n": 7, "prompt_n": 3, "prompt_ms": 1500.0, "predicted_n": 5, "predicted_ms": 250.0}
DONE = b"data: [DONE]\n\n"


def delta(**fields: str | None) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": fields}]}, ensure_ascii=False).encode() + b"\n\n"


def reading(tokens: int) -> bytes:
    return b"data: " + json.dumps({"choices": [], "prompt_progress": {"processed": tokens}}).encode() + b"\n\n"


def finish(reason: str = "stop") -> bytes:
    chunk = {"choices": [{"delta": {}, "finish_reason": reason}], "timings": TIMINGS}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n" + DONE


@asynccontextmanager
async def engine(
    *script: bytes | float, status: int = 200, requests: list[bytes] | None = None
) -> AsyncIterator[EngineClient]:
    """A client of a server that writes each piece of its script on its own, and sleeps where it holds a number."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        if requests is not None:
            requests.append(body)
        writer.write(b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n" % status)
        try:
            for piece in script:
                if isinstance(piece, float):
                    await asyncio.sleep(piece)
                    continue
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
                await asyncio.sleep(0.001)
            writer.write(b"0\r\n\r\n")
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = EngineClient(f"http://127.0.0.1:{port}", api_key="secret", key="parrot")
        yield client
        await client.aclose()


async def collect(client: EngineClient, **options: object) -> list[GenerationEvent]:
    return [event async for event in client.stream(HELLO, GenerationOptions(**options))]  # type: ignore[arg-type]


async def test_thoughts_and_text_are_told_apart() -> None:
    async with engine(
        delta(role="assistant", content=None), delta(reasoning_content="Hm."), delta(content="Yes."), finish()
    ) as client:
        events = await collect(client)
    usage = Usage(prompt_tokens=10, cached_tokens=7, completion_tokens=5, prompt_seconds=1.5, completion_seconds=0.25)
    assert events == [ReasoningDelta("Hm."), TextDelta("Yes."), ReplyEnd(StopReason.STOP, usage)]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_the_network_may_cut_anywhere(size: int) -> None:
    whole = (
        delta(content="naïve 🦙") + b": a comment that keeps the connection alive\n\n" + delta(content="é") + finish()
    )
    async with engine(*(whole[i : i + size] for i in range(0, len(whole), size))) as client:
        assert (await collect(client))[:-1] == [TextDelta("naïve 🦙"), TextDelta("é")]


async def test_broken_characters_are_replaced() -> None:
    async with engine(delta(content="@").replace(b"@", b"a\xf0\x9f"), finish()) as client:
        first, _ = await collect(client)
    assert isinstance(first, TextDelta)
    assert first.text.startswith("a�")


@pytest.mark.parametrize(
    ("finished", "asked", "stop"),
    [
        ("stop", 5, StopReason.STOP),
        ("length", 5, StopReason.LENGTH),
        ("length", 6, StopReason.CONTEXT),
        ("length", 0, StopReason.CONTEXT),
    ],
)
async def test_a_full_window_is_not_a_full_measure(finished: str, asked: int, stop: StopReason) -> None:
    async with engine(delta(content="x"), finish(finished)) as client:
        end = (await collect(client, max_tokens=asked))[-1]
    assert isinstance(end, ReplyEnd)
    assert end.stop is stop


async def test_an_error_within_the_stream() -> None:
    error = b'data: {"error": {"message": "Context size has been exceeded.", "type": "server_error"}}\n\n'
    async with engine(delta(content="x"), error) as client:
        with pytest.raises(ContextExceeded):
            await collect(client)


async def test_an_answer_that_breaks_off() -> None:
    async with engine(delta(content="x")) as client:
        with pytest.raises(GenerationError, match="broke off"):
            await collect(client)


async def test_a_refusal_that_is_no_json() -> None:
    async with engine(b"<h1>No</h1>", status=500) as client:
        with pytest.raises(GenerationError, match="<h1>No</h1>"):
            await collect(client)


async def test_a_server_that_is_gone_is_for_the_owner_of_the_process_to_judge() -> None:
    async with engine() as client:
        pass
    client = EngineClient("http://127.0.0.1:1", api_key="secret", key="parrot")
    with pytest.raises(httpx.TransportError):
        await collect(client)
    await client.aclose()


@pytest.mark.parametrize("script", [(), (delta(content="x"),)], ids=["first", "next"])
async def test_comments_and_progress_are_no_tokens(script: tuple[bytes, ...]) -> None:
    """They keep a connection alive, but a person still waits."""
    signs = (b": ping\n\n", 0.1, delta(role="assistant", content=None), 0.1) * 10
    async with engine(*script, *signs, finish()) as client:
        began = asyncio.get_running_loop().time()
        with pytest.raises(ModelStalled, match=r"0\.5 s"):
            await collect(client, first_token_deadline=0.5, token_deadline=0.5)
        assert asyncio.get_running_loop().time() - began < 1.5


async def test_reading_a_long_prompt_is_no_silence() -> None:
    """Ten signs of progress over a second, with half a second allowed between them."""
    steps = [step for n in range(10) for step in (reading(100 * n + 100), 0.1)]
    async with engine(*steps, delta(content="x"), finish()) as client:
        assert await collect(client, first_token_deadline=0.5, token_deadline=0.5)
    stuck = [step for _ in range(10) for step in (reading(100), 0.1)]
    async with engine(*stuck, delta(content="x"), finish()) as client:
        with pytest.raises(ModelStalled):
            await collect(client, first_token_deadline=0.5, token_deadline=0.5)


async def test_says_what_was_asked_for() -> None:
    requests: list[bytes] = []
    async with engine(finish(), requests=requests) as client:
        await collect(client, seed=7, stop=("END",), json_schema={"type": "object"}, temperature=0.0)
    sent = json.loads(requests[0])
    assert sent["messages"] == [{"role": "user", "content": "Hello"}]
    assert (sent["seed"], sent["stop"], sent["temperature"], sent["max_tokens"]) == (7, ["END"], 0.0, -1)
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert "chat_template_kwargs" not in sent


async def test_counting_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "COUNT_SECONDS", 0.2)
    async with engine(60.0) as client:
        with pytest.raises(ModelStalled, match=r"parrot has not counted tokens within 0\.2 s"):
            async with asyncio.timeout(15):
                await client.count_tokens(["one", "two"])
