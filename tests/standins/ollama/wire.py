"""HTTP/1.1 as far as the stand-in needs it: keep-alive, JSON answers, and streams in chunks."""

from __future__ import annotations

import asyncio
import http
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Exchange", "read_request"]

Twist = Callable[[Any], bytes]


@dataclass(eq=False)
class Exchange:
    """A request and its answer. ``encode`` turns an answer into bytes, and may spoil it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    writer: asyncio.StreamWriter
    encode: Twist = field(default=lambda answer: json.dumps(answer, ensure_ascii=False).encode())
    streaming: bool = False
    answered: bool = False

    async def answer(self, status: int, answer: Any) -> None:
        """All of it, with its length."""
        body = self.encode(answer)
        self._head(status, "application/json; charset=utf-8", f"Content-Length: {len(body)}")
        self.writer.write(body)
        self.answered = True
        await self.writer.drain()

    async def line(self, answer: Any) -> None:
        """One line of a stream, at once."""
        await self.raw(self.encode(answer) + b"\n")

    async def raw(self, piece: bytes) -> None:
        """Bytes of a stream."""
        if not self.streaming:
            self._head(200, "application/x-ndjson", "Transfer-Encoding: chunked")
            self.streaming = True
        self.writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        await self.writer.drain()

    async def end(self) -> None:
        """The end of a stream."""
        if not self.streaming:
            self._head(200, "application/x-ndjson", "Transfer-Encoding: chunked")
        self.writer.write(b"0\r\n\r\n")
        self.answered = True
        await self.writer.drain()

    def _head(self, status: int, kind: str, length: str) -> None:
        phrase = http.HTTPStatus(status).phrase
        self.writer.write(f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {kind}\r\n{length}\r\n\r\n".encode())


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange | None:
    """The next request of a connection; None when it is closed."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Exchange(method, path, headers, body, writer)
