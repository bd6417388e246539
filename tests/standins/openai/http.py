"""As much HTTP/1.1 as a server of replies needs, with hands on the socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from dataclasses import dataclass
from typing import Any

__all__ = ["Exchange", "Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body, where it is an object."""
        try:
            content = json.loads(self.body)
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection; None when it is over."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    method, path, _ = first.split(" ", 2)
    return Request(method, path, headers, body)


class Exchange:
    """The answer to one request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.streaming = False

    @property
    def gone(self) -> bool:
        """Whether the client has hung up."""
        return self._reader.at_eof() or self._writer.is_closing()

    async def send(self, status: int, body: bytes, **headers: str) -> None:
        """A whole response."""
        self._head(status, {"Content-Length": str(len(body)), **headers})
        self._writer.write(body)
        await self._drain()

    async def json(self, status: int, content: object, **headers: str) -> None:
        """A whole response in JSON."""
        await self.send(status, json.dumps(content).encode(), **{"Content-Type": "application/json", **headers})

    async def start(self) -> None:
        """Begin a stream of events."""
        self.streaming = True
        self._head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        await self._drain()

    async def event(self, content: object) -> None:
        """An event with an object."""
        await self.raw(b"data: " + json.dumps(content, ensure_ascii=False).encode() + b"\n\n")

    async def raw(self, data: bytes) -> None:
        """Bytes of the stream."""
        self._writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self._drain()

    async def end(self) -> None:
        """End the stream in an orderly way."""
        self._writer.write(b"0\r\n\r\n")
        await self._drain()

    def reset(self) -> None:
        """Drop the socket, as a process that dies does."""
        sock = self._writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def _head(self, status: int, headers: dict[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} X", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
        self._writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def _drain(self) -> None:
        if self.gone:
            raise ConnectionResetError
        await self._writer.drain()
