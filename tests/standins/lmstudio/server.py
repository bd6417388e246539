"""The server itself: a thread with an event loop, a port, and everything that happens before the first packet."""

from __future__ import annotations

import asyncio
import http
import json
import socket
import struct
import threading
from collections.abc import Iterable
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from tests.standins.faults import Fault
from tests.standins.lmstudio.machine import Machine
from tests.standins.lmstudio.models import StandInModel
from tests.standins.lmstudio.quirks import Quirk
from tests.standins.lmstudio.session import NAMESPACES, Session
from tests.standins.threads import ServerThread

__all__ = ["LMStudioStandIn"]


class LMStudioStandIn(ServerThread, Machine):
    """LM Studio on the loopback. See ``Machine`` for what a test may read and change.

    port     0 takes any free one, which ``port`` then is, also after a restart
    token    ``sk-lm-<8>:<20>``; other clients are refused. None lets everybody in
    """

    def __init__(self, models: Iterable[StandInModel] = (), port: int = 0, token: str | None = None) -> None:
        super().__init__(models or [StandInModel(key="qwen2.5-0.5b-instruct")])
        self.port = port or _free_port()
        self.token = token
        self.starts_after = 1.0
        self.restarts_after = 0.2
        self._server: Server | None = None
        self._connections: set[ServerConnection] = set()
        self._sessions: set[Session] = set()

    @property
    def machine(self) -> Machine:
        """Itself."""
        return self

    @property
    def host(self) -> str:
        """``127.0.0.1:port``, as the SDK takes it."""
        return f"127.0.0.1:{self.port}"

    def sever(self, connection: ServerConnection, how: Fault | Quirk) -> None:
        """Resets the connection, closes it politely, or restarts everything."""
        if how is Fault.RESTARTS_MID_STREAM:
            self._background(self._restart_in_place())
        elif how is Quirk.CLOSES_THE_SOCKET:
            self._background(connection.close(1001, "going away"))
        else:
            _reset(connection)

    async def _main(self, ready: threading.Event) -> None:
        self._tasks: set[asyncio.Future[Any]] = set()
        if self.fault is Fault.STARTS_SLOWLY:
            ready.set()
            await asyncio.wait([asyncio.ensure_future(self._stopping.wait())], timeout=self.starts_after)
        if not self._stopping.is_set():
            await self._listen()
        ready.set()
        await self._stopping.wait()
        await self._silence()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _listen(self) -> None:
        self._server = await serve(
            self._connected,
            "127.0.0.1",
            self.port,
            process_request=self._requested,
            compression=None,
            ping_interval=None,
            open_timeout=None,
            close_timeout=1,
            max_size=None,
            server_header=None,
        )

    async def _silence(self) -> None:
        """Closes the port and resets every connection; what was loaded and being done is lost."""
        if self._server is not None:
            self._server.close(close_connections=False)
        for connection in list(self._connections):
            _reset(connection)
        for session in list(self._sessions):
            for task in list(session.tasks):
                task.cancel()
        self.instances.clear()
        await asyncio.sleep(0)

    async def _restart_in_place(self) -> None:
        await self._silence()
        await asyncio.sleep(self.restarts_after)
        await self._listen()

    def _background(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _requested(self, connection: ServerConnection, request: Request) -> Response | None:
        self._connections.add(connection)
        await self.held(Fault.HANGS_AT_CONNECT)
        path = request.path.partition("?")[0]
        if path == "/lmstudio-greeting":
            self.greetings += 1
            future: dict[str, Any] = {"fieldOfTheFuture": []} if self.fault is Fault.UNKNOWN_FIELDS else {}
            return _json({"lmstudio": True, **future})
        if "Upgrade" not in request.headers:
            return _json({"error": f"Unexpected endpoint or method. (GET {path})"})
        if path.removeprefix("/") not in NAMESPACES:
            await asyncio.Event().wait()
        return None

    async def _connected(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        session = Session(self, connection, connection.request.path.partition("?")[0].removeprefix("/"))
        self._sessions.add(session)
        try:
            await session.serve()
        finally:
            self._connections.discard(connection)
            if not session.tasks:
                self._sessions.discard(session)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _json(body: dict[str, Any]) -> Response:
    status = http.HTTPStatus.OK
    content = json.dumps(body).encode()
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(content)), "Connection": "close"})
    return Response(status.value, status.phrase, headers, content)


def _reset(connection: ServerConnection) -> None:
    """A TCP reset: nothing of what waits to be sent arrives."""
    transport = connection.transport
    plain = transport.get_extra_info("socket")
    if plain is not None and plain.fileno() != -1:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
