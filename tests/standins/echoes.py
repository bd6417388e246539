"""A server that repeats what it should not, in every place of a response there is."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

__all__ = ["SHAPES", "echoing", "told"]


def _response(status: int, kind: bytes, body: bytes, more: bytes = b"") -> bytes:
    head = b"HTTP/1.1 %d X\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n" % (status, kind, len(body), more)
    return head + body


def _json(content: object) -> bytes:
    return json.dumps(content).encode()


SHAPES: Mapping[str, Callable[[int, str], bytes]] = {
    "message": lambda status, said: _response(status, b"application/json", _json({"error": {"message": said}})),
    "error": lambda status, said: _response(status, b"application/json", _json({"error": said})),
    "type": lambda status, said: _response(
        status, b"application/json", _json({"error": {"type": said, "code": said, "param": said}})
    ),
    "nested": lambda status, said: _response(status, b"application/json", _json({"error": {"why": [said]}})),
    "text": lambda status, said: _response(status, b"text/html", said.encode()),
    "bytes": lambda status, said: _response(status, b"text/html", b"\xff" + said.encode()),
    "broken": lambda _, said: _response(200, b"application/json", _json({"error": said})[:-2]),
    "event": lambda _, said: _response(
        200, b"text/event-stream", b"data: " + _json({"error": {"message": said}}) + b"\n\n"
    ),
    "line": lambda _, said: _response(200, b"application/x-ndjson", _json({"error": said}) + b"\n"),
    "header": lambda status, said: _response(status, b"text/html", b"", b"X-Said: %b\r\n" % said.encode()),
    "location": lambda _, said: _response(307, b"text/html", b"", b"Location: http://x/?%b\r\n" % said.encode()),
    "no status": lambda _, said: said.encode() + b"\r\n\r\n",
    "no header": lambda _, said: b"HTTP/1.1 200 OK\r\n" + said.encode() + b"\r\n\r\n",
    "no length": lambda _, said: b"HTTP/1.1 200 OK\r\nContent-Length: " + said.encode() + b"\r\n\r\n",
}
"""How something is said: from a status and what is said to all bytes of a response."""


@asynccontextmanager
async def echoing(healthy: Mapping[str, object], answer: bytes) -> AsyncIterator[str]:
    """Answers the paths of ``healthy`` with their JSON, all others so; its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        writer.write(_response(200, b"application/json", _json(healthy[path])) if path in healthy else answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def told(error: BaseException) -> str:
    """All that an error can be made to say: with its causes, their fields, and theirs."""
    said = ["".join(traceback.format_exception(error))]
    links: list[BaseException | None] = [error]
    while links:
        if (link := links.pop()) is not None:
            said += [repr(link), repr(link.args), repr(vars(link))]
            links += [link.__cause__, link.__context__]
    return "\n".join(said)
