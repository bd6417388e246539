"""``python -m tests.standins.lmstudio.record``: hears a real LM Studio, to replace what the stand-in guesses.

A proxy on the loopback: point any SDK at ``--listen``. What people and models wrote is left out unless ``--content`` is
given; what a client proves itself with is left out always.
"""

from __future__ import annotations

import argparse
import asyncio
import http
import itertools
import json
import time
from pathlib import Path
from typing import Any, Literal, TextIO

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.standins.lmstudio.frames import Frame
from tests.standins.lmstudio.redact import redacted, without_secrets

__all__ = ["Recorder", "main"]


class Recorder:
    """Passes everything on, and writes it down."""

    def __init__(self, server: str, out: TextIO, *, content: bool = False) -> None:
        self.server = server
        self._out = out
        self._content = content
        self._sockets = itertools.count(1)
        self._began = time.monotonic()

    async def serve(self, port: int, listening: asyncio.Event | None = None) -> None:
        """On the loopback, until cancelled."""
        async with serve(
            self._connected, "127.0.0.1", port, process_request=self._requested, compression=None, max_size=None
        ):
            if listening is not None:
                listening.set()
            await asyncio.Event().wait()

    async def _requested(self, connection: ServerConnection, request: Request) -> Response | None:
        if "Upgrade" in request.headers:
            return None
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"http://{self.server}{request.path}")
        headers = Headers({"Content-Length": str(len(answer.content)), "Connection": "close"})
        headers["Content-Type"] = answer.headers.get("Content-Type", "application/octet-stream")
        return Response(answer.status_code, http.HTTPStatus(answer.status_code).phrase, headers, answer.content)

    async def _connected(self, near: ServerConnection) -> None:
        assert near.request is not None
        path, number = near.request.path, next(self._sockets)
        namespace = path.partition("?")[0].strip("/")
        async with connect(f"ws://{self.server}{path}", compression=None, max_size=None, ping_interval=None) as far:
            up = asyncio.ensure_future(self._pump(near, far, number, namespace, "client"))
            down = asyncio.ensure_future(self._pump(far, near, number, namespace, "server"))
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            await near.close()
            await far.close()
            await asyncio.gather(up, down)

    async def _pump(
        self,
        source: ServerConnection | ClientConnection,
        sink: ServerConnection | ClientConnection,
        number: int,
        namespace: str,
        sender: Literal["client", "server"],
    ) -> None:
        try:
            async for data in source:
                self._write(number, namespace, sender, data)
                await sink.send(data)
        except ConnectionClosed:
            return

    def _write(self, number: int, namespace: str, sender: Literal["client", "server"], data: str | bytes) -> None:
        message: Any
        try:
            message = without_secrets(json.loads(data))
        except ValueError:
            message = {"notJson": len(data)}
        if not self._content:
            message = redacted(message)
        self._out.write(Frame(round(time.monotonic() - self._began, 4), number, namespace, sender, message).line())
        self._out.flush()


def main() -> None:
    """Records until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.standins.lmstudio.record", description=__doc__)
    parser.add_argument("--listen", type=int, required=True, metavar="PORT")
    parser.add_argument("--server", required=True, metavar="HOST:PORT", help="where LM Studio listens")
    parser.add_argument("--out", type=Path, required=True, metavar="FRAMES.jsonl")
    parser.add_argument("--content", action="store_true", help="keep what people and models wrote")
    given = parser.parse_args()

    async def record(out: TextIO) -> None:
        listening = asyncio.Event()
        serving = asyncio.ensure_future(
            Recorder(given.server, out, content=given.content).serve(given.listen, listening)
        )
        await asyncio.wait([serving, asyncio.ensure_future(listening.wait())], return_when=asyncio.FIRST_COMPLETED)
        if listening.is_set():
            print(f"127.0.0.1:{given.listen} -> {given.server}, written to {given.out}", flush=True)
        await serving

    with given.out.open("w", encoding="utf-8") as out:
        try:
            asyncio.run(record(out))
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
