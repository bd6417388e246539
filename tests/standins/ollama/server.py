"""The server itself: a thread with an event loop, a port, and its connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterable

from tests.standins.faults import Fault
from tests.standins.ollama.models import StandInModel
from tests.standins.ollama.routes import Dropped, Restarted, Routes
from tests.standins.ollama.wire import Exchange, read_request
from tests.standins.threads import ServerThread

__all__ = ["OllamaStandIn"]


class OllamaStandIn(ServerThread, Routes):
    """Ollama on the loopback. See ``Machine`` for what a test may read and change.

    port     0 takes any free one, which ``port`` then is, also after a restart
    """

    def __init__(self, models: Iterable[StandInModel] = (), port: int = 0) -> None:
        super().__init__(models or [StandInModel()])
        self.port = port or _free_port()
        self.starts_after = 1.0
        self.restarts_after = 0.2
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """Sockets that are open."""
        return len(self._connections)

    def kill_runner(self, name: str) -> None:
        """Somebody else unloads a model, at once."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._drop(name), self._loop).result(5)

    async def _drop(self, name: str) -> None:
        self.runners = {key: one for key, one in self.runners.items() if one.model.name != name}

    async def _main(self, ready: threading.Event) -> None:
        self._schedule = asyncio.Lock()
        if self.fault is Fault.STARTS_SLOWLY:
            ready.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self.starts_after)
        await self._listen()
        ready.set()
        await self._stopping.wait()
        await self._close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = list(self._connections.values())
        for writer in list(self._connections):
            _cut(writer)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.runners.clear()
        self.generating = self.loading = 0

    async def _come_back(self) -> None:
        await self._close()
        await asyncio.sleep(self.restarts_after)
        if not self._stopping.is_set():
            await self._listen()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[writer] = task
        try:
            while (exchange := await read_request(reader, writer)) is not None:
                if not await self._answered(exchange, reader):
                    break
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._connections.pop(writer, None)
            writer.close()

    async def _answered(self, exchange: Exchange, reader: asyncio.StreamReader) -> bool:
        """Whether the connection can be used again. A client that hangs up stops the work."""
        work = asyncio.create_task(self.handle(exchange))
        hung_up = asyncio.create_task(_end_of(reader))
        try:
            await asyncio.wait({work, hung_up}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                return False
            work.result()
        except Dropped:
            _cut(exchange.writer)
            return False
        except Restarted:
            self._returning = asyncio.get_running_loop().create_task(self._come_back())
            return False
        finally:
            work.cancel()
            hung_up.cancel()
            await asyncio.gather(work, hung_up, return_exceptions=True)
        return exchange.answered


async def _end_of(reader: asyncio.StreamReader) -> None:
    """Returns when the other side has closed; bytes it sends meanwhile are left where they are."""
    while not reader.at_eof():
        if reader.exception() is not None:
            return
        await asyncio.sleep(0.002)


def _cut(writer: asyncio.StreamWriter) -> None:
    """Reset rather than closed: what is on its way is lost."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
