"""``python -m tests.standins.lmstudio.record``: hears a real LM Studio, to replace what the stand-in guesses.

A proxy on the loopback that passes on and writes down what Mai, or any program with LM Studio's SDK, and LM Studio say
to each other. What people and models wrote is left out unless --content is given; tokens and passkeys always are.
"""

from __future__ import annotations

import argparse
import asyncio
import http
import itertools
import json
import os
import re
import socket
import time
from pathlib import Path
from typing import Any, Literal, TextIO

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.http11 import Request, Response

from tests.standins.lmstudio.frames import Frame
from tests.standins.lmstudio.redact import redacted, without_secrets

__all__ = ["SCRIPT", "Recorder", "main"]

SCRIPT = """\
mai config set backends.lmstudio.url 127.0.0.1:1235     # Mai talks to the recorder
mai models && mai status
mai switch lmstudio/MODEL                               # a small one, as `mai models` calls it
mai chat "Count from one to twenty."                    # a load, and a reply
mai chat -c "And now backwards."
timeout -s INT 20 mai chat "Write a very long story."   # a reply that is stopped
mai switch lmstudio/OTHER && mai chat -c "Once more."   # another model, best one that thinks
mai switch auto; mai config unset backends.lmstudio.url
"""
"""Commands that have LM Studio say nearly all Mai ever hears from it."""

_MANUAL = f"""\
what to do:
  1. Have LM Studio's server run, with two small models downloaded (`lms server start` names its port, mostly 1234).
  2. In one terminal, leave the recorder running until all is done, then press Ctrl-C:
       python -m tests.standins.lmstudio.record --server 127.0.0.1:1234 --listen 1235 --out frames.jsonl
  3. In another one, with MODEL and OTHER replaced:
{"".join(f"       {line}" for line in SCRIPT.splitlines(keepends=True))}\
  4. See where LM Studio and the stand-in differ:
       python -m tests.standins.lmstudio.compare frames.jsonl
  5. Look through frames.jsonl (text is gone, names of models and files are not), name it after the version of LM
     Studio, such as lmstudio-0.4.2.jsonl, and attach it with what `compare` printed to an issue of the project. Whoever
     takes it up mends the stand-in until `compare` agrees.
"""


class Recorder:
    """Passes everything on, and writes it down."""

    def __init__(self, server: str, out: TextIO, *, content: bool = False) -> None:
        self.server = server
        self._out = out
        self._content = content
        self._sockets = itertools.count(1)
        self._began = time.monotonic()

    async def serve(self, listener: socket.socket) -> None:
        """Whoever connects there, until cancelled."""
        async with serve(
            self._connected, sock=listener, process_request=self._requested, compression=None, max_size=None
        ):
            await asyncio.Event().wait()

    async def _requested(self, connection: ServerConnection, request: Request) -> Response | None:
        if "Upgrade" in request.headers:
            return None
        try:
            async with httpx.AsyncClient() as client:
                answer = await client.get(f"http://{self.server}{request.path}")
        except httpx.HTTPError as error:
            print(f"{self.server} does not answer: {type(error).__name__}", flush=True)
            return connection.respond(http.HTTPStatus.BAD_GATEWAY, f"{self.server} does not answer\n")
        headers = Headers({"Content-Length": str(len(answer.content)), "Connection": "close"})
        headers["Content-Type"] = answer.headers.get("Content-Type", "application/octet-stream")
        return Response(answer.status_code, http.HTTPStatus(answer.status_code).phrase, headers, answer.content)

    async def _connected(self, near: ServerConnection) -> None:
        assert near.request is not None
        path, number = near.request.path, next(self._sockets)
        namespace = path.partition("?")[0].strip("/")
        try:
            far = await connect(f"ws://{self.server}{path}", compression=None, max_size=None, ping_interval=None)
        except (OSError, TimeoutError, WebSocketException) as error:
            print(f"{self.server} takes no connection: {type(error).__name__}", flush=True)
            return
        async with far:
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
    parser = argparse.ArgumentParser(
        prog="python -m tests.standins.lmstudio.record",
        description=__doc__,
        epilog=_MANUAL,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--listen", type=_port, required=True, metavar="PORT", help="a free port of this machine")
    parser.add_argument("--server", type=_address, required=True, metavar="HOST:PORT", help="where LM Studio listens")
    parser.add_argument("--out", type=Path, required=True, metavar="FRAMES.jsonl", help="a new file")
    parser.add_argument("--content", action="store_true", help="keep what people and models wrote")
    given = parser.parse_args()
    try:
        listener = socket.create_server(("127.0.0.1", given.listen))
    except OSError as error:
        parser.exit(2, f"port {given.listen} cannot be listened at: {_why(error)}\n")
    with listener:
        try:
            out = given.out.open("x", encoding="utf-8")
        except OSError as error:
            parser.exit(2, f"{given.out} cannot be written anew: {_why(error)}\n")
        with out:
            print(f"127.0.0.1:{given.listen} -> {given.server}, written to {given.out}", flush=True)
            try:
                asyncio.run(Recorder(given.server, out, content=given.content).serve(listener))
            except KeyboardInterrupt:
                return


def _why(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


def _port(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text} is no port")
    return int(text)


def _address(text: str) -> str:
    found = re.fullmatch(r"(?:(?:http|ws)://)?([\w.-]+|\[[0-9a-fA-F:.]+\]):(\d+)/?", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text} is no HOST:PORT, such as 127.0.0.1:1234")
    return f"{found[1]}:{_port(found[2])}"


if __name__ == "__main__":
    main()
