"""Headers from servers: right ones without the weights, and a short word for everything else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from gguf_bytes import Numbers, Strings, header, write
from range_server import RangeServer

from mai_backends.embedded.ahead import look_ahead
from mai_backends.embedded.sources import Access
from mai_backends.gguf.reader import read_header
from mai_backends.gguf.remote import read_remote
from mai_backends.transport import Patience, open_client
from mai_core.errors import FetchError, ModelFileError, Offline

METADATA = {
    "general.architecture": "llama",
    "general.name": "Far Away",
    "llama.block_count": 2,
    "llama.context_length": 4096,
    "llama.embedding_length": 256,
    "llama.feed_forward_length": 512,
    "llama.attention.head_count": 4,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": Strings(30_000),
    "tokenizer.ggml.scores": Numbers(30_000),
    "tokenizer.ggml.merges": Strings(20_000, 300),
    "tokenizer.chat_template": "{{ x }}" * 2000,
}
ROWS = [("token_embd.weight", (256, 30_000), "Q8_0"), *((f"blk.{i}.attn_q.weight", (256, 256), "F16") for i in (0, 1))]
HEADER, SIZE = header(METADATA, ROWS)
# The header is nearly 7 MB, the weights another 8: as a server has them, zeros.


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with open_client(Patience(connect_timeout=2.0, read_timeout=5.0)) as opened:
        yield opened


def same(path: Path) -> object:
    return read_header(write(path / "here.gguf", METADATA, ROWS))


async def test_it_is_the_header_the_file_would_have_here(
    server: RangeServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    url = server.serve("/far.gguf", HEADER, size=SIZE)
    found = await read_remote(client, url)
    assert found == same(tmp_path)
    assert found.size == SIZE


@pytest.mark.parametrize("ranges", [True, False])
async def test_reading_stops_where_the_header_does(
    server: RangeServer, client: httpx.AsyncClient, ranges: bool
) -> None:
    """Also without ranges, from a file of a terabyte: what is on its way when the connection closes is all."""
    rows = [("token_embd.weight", (256, 30_000), "Q8_0"), ("blk.0.ffn_up.weight", (1 << 20, 1 << 19), "F16")]
    written, size = header(METADATA, rows)
    url = server.serve("/far.gguf", written, size=size, ranges=ranges)
    found = await read_remote(client, url)
    assert found.size == size > 1 << 40
    assert len(server.requests) == 1
    await asyncio.sleep(0.1)
    assert server.sent < len(written) + (16 << 20)


async def test_a_server_without_lengths_leaves_the_size_open(server: RangeServer, client: httpx.AsyncClient) -> None:
    url = server.serve("/far.gguf", HEADER, size=SIZE, ranges=False, length=False)
    assert (await read_remote(client, url)).size == 0
    assert (await read_remote(client, url, size=SIZE)).size == SIZE


async def test_what_can_be_skipped_is_not_sent(server: RangeServer, client: httpx.AsyncClient) -> None:
    written, size = header({"bulk": Numbers(50 << 20, kind=0), **METADATA}, ROWS)
    url = server.serve("/far.gguf", written, size=size)
    assert (await read_remote(client, url)).lengths["bulk"] == 50 << 20
    assert len(server.requests) == 2
    assert server.requests[1][1]["range"].startswith(f"bytes={50 << 20}"[:9])
    await asyncio.sleep(0.1)
    assert server.sent < len(HEADER) + (12 << 20)


async def test_a_broken_connection_is_taken_up_where_it_broke(
    server: RangeServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    url = server.serve("/far.gguf", HEADER, size=SIZE, drops=[100_000, 1_000_000, 10])
    assert await read_remote(client, url) == same(tmp_path)
    starts = [int(headers["range"][6:].partition("-")[0]) for _, headers in server.requests]
    assert len(starts) == 4
    assert starts[0] == 0
    assert 90_000 < starts[1] <= 100_000
    assert starts == sorted(starts)


async def test_a_server_that_begins_anew_is_read_on(
    server: RangeServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    """Without ranges a broken connection means the whole again, of which what is known is passed over."""
    url = server.serve("/far.gguf", HEADER, size=SIZE, ranges=False, drops=[100_000, 1_000_000])
    assert await read_remote(client, url) == same(tmp_path)


async def test_short_parts_are_put_together(server: RangeServer, client: httpx.AsyncClient, tmp_path: Path) -> None:
    url = server.serve("/far.gguf", HEADER, size=SIZE, shorten=(16 << 20) - 1_000_000)
    assert await read_remote(client, url) == same(tmp_path)
    assert len(server.requests) == 7


@pytest.mark.parametrize(
    "told", ["bytes 5-100/200", "bytes */200", "five to ten", "bytes 1-15728639/15728640"], ids=str
)
async def test_a_part_that_was_not_asked_for_is_refused(
    server: RangeServer, client: httpx.AsyncClient, told: str
) -> None:
    url = server.serve("/far.gguf", HEADER, size=SIZE, content_range=told)
    with pytest.raises(FetchError, match="another part"):
        await read_remote(client, url)


async def test_a_file_that_changes_meanwhile_is_refused(server: RangeServer, client: httpx.AsyncClient) -> None:
    url = server.serve("/far.gguf", HEADER, size=SIZE, drops=[100_000], etags=['"v1"', '"v2"'])
    with pytest.raises(FetchError, match="changed while it was read"):
        await read_remote(client, url)


async def test_a_passing_refusal_is_asked_again(server: RangeServer, client: httpx.AsyncClient, tmp_path: Path) -> None:
    url = server.serve("/far.gguf", HEADER, size=SIZE, status=[503, 429])
    assert await read_remote(client, url) == same(tmp_path)


@pytest.mark.parametrize(("status", "message"), [(403, "does not let you"), (404, "has no"), (400, "answered 400")])
async def test_a_refusal_is_told(server: RangeServer, client: httpx.AsyncClient, status: int, message: str) -> None:
    url = server.serve("/far.gguf", HEADER, status=[status])
    with pytest.raises(FetchError, match=message):
        await read_remote(client, url)


async def test_a_server_that_sends_nothing_is_given_up(server: RangeServer, client: httpx.AsyncClient) -> None:
    url = server.serve("/far.gguf", HEADER, size=SIZE, drops=[0] * 10)
    with pytest.raises(Offline):
        await read_remote(client, url)
    assert len(server.requests) == 3


async def test_nobody_there(client: httpx.AsyncClient) -> None:
    with pytest.raises(Offline):
        await read_remote(client, "http://127.0.0.1:1/far.gguf")


async def test_a_slow_server_is_not_waited_for(server: RangeServer, client: httpx.AsyncClient) -> None:
    url = server.serve("/far.gguf", HEADER, size=SIZE, pace=0.05)
    started = time.monotonic()
    with pytest.raises(Offline, match="did not send the header"):
        await read_remote(client, url, deadline=0.5)
    assert time.monotonic() - started < 2.0


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated"),
        (b"GGUF", "truncated"),
        (HEADER[:1_000_000], "truncated"),
        (HEADER[:-40], "truncated"),
        (b"<!doctype html><title>Log in</title>", "not a GGUF file"),
    ],
    ids=["empty", "magic", "tokens", "tensors", "page"],
)
async def test_what_is_no_whole_header_is_refused(
    server: RangeServer, client: httpx.AsyncClient, content: bytes, message: str, length: bool
) -> None:
    url = server.serve("/far.gguf", content, length=length, ranges=length)
    with pytest.raises(ModelFileError, match=message) as caught:
        await read_remote(client, url)
    assert caught.value.remedy == "choose another source"


async def test_a_file_without_its_weights_is_refused(server: RangeServer, client: httpx.AsyncClient) -> None:
    url = server.serve("/far.gguf", HEADER)
    with pytest.raises(ModelFileError, match="truncated: tensor"):
        await read_remote(client, url)


async def test_an_endless_header_ends(server: RangeServer, client: httpx.AsyncClient) -> None:
    written, size = header({"tokenizer.ggml.tokens": Strings(1_000_000, 100)})
    url = server.serve("/far.gguf", written, size=size)
    with pytest.raises(FetchError, match="longer than 64 MiB"):
        await read_remote(client, url)


async def test_a_token_does_not_follow_a_redirect_to_another_host(
    server: RangeServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    target = server.serve("/real.gguf", HEADER, size=SIZE).replace("127.0.0.1", "localhost")
    url = server.serve("/far.gguf", b"", location=target)
    assert await read_remote(client, url, headers={"Authorization": "Bearer secret"}) == same(tmp_path)
    (_, first), (_, second) = server.requests
    assert first["authorization"] == "Bearer secret"
    assert "authorization" not in second
    assert second["range"].startswith("bytes=0-")


async def test_redirects_without_end(server: RangeServer, client: httpx.AsyncClient) -> None:
    url = server.serve("/far.gguf", b"", location="/far.gguf")
    with pytest.raises(FetchError, match="cannot be read"):
        await read_remote(client, url)


def access(tmp_path: Path) -> Access:
    return Access(environment={}, home=tmp_path)


async def test_a_source_is_looked_into(server: RangeServer, tmp_path: Path) -> None:
    url = server.serve("/far.gguf", HEADER, size=SIZE)
    found = await look_ahead(url, access(tmp_path), Patience())
    assert (found.filename, found.size, found.facts.name) == ("far.gguf", SIZE, "Far Away")
    assert found.facts.architecture is not None
    assert found == await look_ahead(str(write(tmp_path / "far.gguf", METADATA, ROWS)), access(tmp_path), Patience())


async def test_a_source_that_is_no_model_is_refused(server: RangeServer, tmp_path: Path) -> None:
    url = server.serve("/page.gguf", b"<!doctype html>")
    with pytest.raises(FetchError, match="no usable model"):
        await look_ahead(url, access(tmp_path), Patience())
