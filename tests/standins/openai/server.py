"""The stand-in itself: a thread with an event loop and a port."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from tests.standins.faults import Fault
from tests.standins.openai.chatting import Chat
from tests.standins.openai.http import Exchange, Request, read_request
from tests.standins.openai.models import Flavour, StandInModel, litellm_row, lm_studio_row, row, tokens_of
from tests.standins.openai.refusals import denied, missing, no_memory
from tests.standins.threads import ServerThread

__all__ = ["OpenAIStandIn"]


class OpenAIStandIn(ServerThread):
    """An OpenAI-compatible server on the loopback. A test may read and change its attributes while it runs.

    models          what it serves; ``loaded`` the keys in memory, all of them where the server loads nothing itself
    key             the API key that opens it; empty lets everybody in
    behind          of a router: the kind of server it starts, which it passes questions on to
    fault           what goes wrong now
    refusals        answers to the coming chat requests: status, headers, content
    drops           how many of the coming chat requests are answered by a closed connection
    refuses         fields of a chat request, of which the first that is there is refused
    forbids         paths that are answered with 403
    redirect        where every request is sent on to, when set
    calls           what was asked: method and path, and the body; ``headers`` of the last request
    generating      replies being written now
    port            0 takes any free one, which ``port`` then is, also after a restart
    starts_after    seconds ``STARTS_SLOWLY`` takes, ``restarts_after`` those of ``RESTARTS_MID_STREAM``
    """

    def __init__(
        self,
        models: Iterable[StandInModel] = (),
        *,
        flavour: Flavour = Flavour.LLAMA_SERVER,
        key: str = "",
        port: int = 0,
    ) -> None:
        self.models = {model.key: model for model in (tuple(models) or (StandInModel(),))}
        self.flavour = Flavour(flavour)
        self.key = key
        self.port = port or _free_port()
        self.behind: Flavour | None = None
        self.fault: Fault | None = None
        self.refusals: list[tuple[int, dict[str, str], object]] = []
        self.drops = 0
        self.refuses: tuple[str, ...] = ()
        self.forbids: tuple[str, ...] = ()
        self.redirect = ""
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.headers: dict[str, str] = {}
        self.generating = 0
        self.loaded: set[str] = set()
        self.starts_after = 0.6
        self.restarts_after = 0.3

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def _main(self, ready: threading.Event) -> None:
        self._began = asyncio.get_running_loop().time()
        self._exchanges: set[Exchange] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._slots = {key: asyncio.Lock() for key in self.models}
        self.loaded = set()
        if self.fault is Fault.HANGS_AT_CONNECT:
            with _full_backlog(self.port):
                ready.set()
                await self._stopping.wait()
            return
        self._server: asyncio.Server | None = await self._listen()
        ready.set()
        await self._stopping.wait()
        await self._drop()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=2**26)

    async def _drop(self) -> None:
        """Everything ends at once."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for exchange in tuple(self._exchanges):
            exchange.reset()
        handlers = self._handlers - {asyncio.current_task()}
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        exchange = Exchange(reader, writer)
        self._exchanges.add(exchange)
        try:
            while (request := await read_request(reader)) is not None:
                await self._answer(request, exchange)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._handlers.discard(task)
            self._exchanges.discard(exchange)
            writer.close()

    async def _answer(self, request: Request, exchange: Exchange) -> None:
        path = unquote(request.path)
        self.calls.append((f"{request.method} {path}", request.json()))
        self.headers = request.headers
        if self.redirect:
            await exchange.send(307, b"", Location=self.redirect + request.path)
        elif self._locked(request):
            await exchange.json(401, denied(self.flavour))
        elif self.fault is Fault.STARTS_SLOWLY and asyncio.get_running_loop().time() < self._began + self.starts_after:
            said = {"message": "Loading model", "type": "unavailable_error", "code": 503}
            await exchange.json(503, {"error": said})
        elif path in self.forbids:
            await exchange.json(403, {"error": {"message": "Forbidden"}})
        elif path == "/v1/chat/completions":
            await self._chat(request.json(), exchange)
        elif path == "/v1/models":
            await self._list(exchange)
        elif (answer := self._own(path, request.json())) is not None:
            await exchange.json(200, answer)
        else:
            await exchange.json(404, {"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}})

    def _locked(self, request: Request) -> bool:
        wrong = bool(self.key) and request.headers.get("authorization") != f"Bearer {self.key}"
        return wrong or self.fault is Fault.WRONG_TOKEN

    async def _list(self, exchange: Exchange) -> None:
        if self.fault is Fault.HANGS_AT_LISTING:
            await asyncio.sleep(3600)
        rows: list[object] = [row(self.flavour, model, loaded=key in self.loaded) for key, model in self.models.items()]
        if self.fault is Fault.MALFORMED_ROWS:
            rows += [None, 7, "text", [], {}, {"id": 3}, {"id": ""}, {"id": ["odd"], "meta": 9, "owned_by": []}]
        if self.fault is Fault.UNKNOWN_FIELDS:
            rows = [
                {**r, "mood": "calm", "meta": {**(r.get("meta") or {}), "x": [1]}} for r in rows if isinstance(r, dict)
            ]
        server = {"Server": "llama.cpp"} if self.flavour is Flavour.LLAMA_SERVER else {}
        await exchange.json(200, {"object": "list", "data": rows}, **server)

    def _own(self, path: str, body: dict[str, Any]) -> object | None:
        """What this kind of server answers besides the protocol; None for what it does not know."""
        first = next(iter(self.models.values()))
        if self.flavour is Flavour.LLAMA_SWAP and self.behind is Flavour.LLAMA_SERVER:
            running = next((key for key in sorted(self.loaded) if path.startswith(f"/upstream/{key}/")), "")
            path = path.removeprefix(f"/upstream/{running}") if running else path
        if Flavour.LLAMA_SERVER in (self.flavour, self.behind):
            if path == "/props":
                settings = {"n_ctx": first.context}
                modalities = {"vision": first.vision, "audio": False}
                return {"default_generation_settings": settings, "total_slots": 1, "modalities": modalities}
            if path == "/tokenize":
                return {"tokens": list(range(len(tokens_of(str(body.get("content", ""))))))}
        if self.flavour is Flavour.VLLM and path == "/tokenize":
            count = len(tokens_of(str(body.get("prompt", ""))))
            return {"count": count, "max_model_len": first.context, "tokens": list(range(count))}
        if self.flavour is Flavour.LLAMA_SWAP and path == "/running":
            running = [{"model": key, "state": "ready", "ttl": 300} for key in sorted(self.loaded)]
            return {"running": running}
        if self.flavour is Flavour.LM_STUDIO and path == "/api/v0/models":
            rows = [lm_studio_row(model, loaded=key in self.loaded) for key, model in self.models.items()]
            return {"object": "list", "data": rows}
        if self.flavour is Flavour.LITELLM and path == "/model/info":
            return {"data": [litellm_row(model) for model in self.models.values()]}
        return None

    async def _chat(self, body: dict[str, Any], exchange: Exchange) -> None:
        if self.refusals:
            status, headers, content = self.refusals.pop(0)
            await exchange.json(status, content, **headers)
            return
        if self.drops:
            self.drops -= 1
            raise ConnectionResetError
        if field := next((field for field in self.refuses if field in body), ""):
            said = f"Unsupported parameter: '{field}' is not supported with this model."
            await exchange.json(400, {"error": {"message": said, "type": "invalid_request_error", "param": field}})
            return
        model = self.models.get(str(body.get("model")))
        if model is None:
            status, content = missing(self.flavour, str(body.get("model")))
            await exchange.json(status, content)
            return
        if self.flavour in (Flavour.LLAMA_SWAP, Flavour.LM_STUDIO) and not await self._load(model, exchange):
            return

        async def trouble(fault: Fault) -> None:
            await self._trouble(fault, model, exchange)

        async with self._slots[model.key]:
            self.generating += 1
            try:
                await Chat(self.behind or self.flavour, model, body, self.fault).write(exchange, trouble)
            finally:
                self.generating -= 1

    async def _load(self, model: StandInModel, exchange: Exchange) -> bool:
        if model.key in self.loaded:
            return True
        if self.fault is Fault.HANGS_AT_LOAD:
            await asyncio.sleep(3600)
        if self.fault is Fault.OUT_OF_MEMORY_AT_LOAD:
            status, content = no_memory(self.flavour, model.key)
            await exchange.json(status, content)
            return False
        await asyncio.sleep(model.load_seconds)
        self.loaded.add(model.key)
        return True

    async def _trouble(self, fault: Fault, model: StandInModel, exchange: Exchange) -> None:
        if fault is Fault.UNLOADS_MID_STREAM:
            self.loaded.discard(model.key)
        exchange.reset()
        if fault is Fault.RESTARTS_MID_STREAM and self._server is not None:
            await self._drop()
            self.loaded = set()
            await asyncio.sleep(self.restarts_after)
            self._server = await self._listen()
        raise ConnectionResetError


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def _full_backlog(port: int) -> Any:
    """A socket that listens and whose queue is full: another connection is neither taken up nor refused."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(0)
        for _ in range(8):
            client = sockets.enter_context(socket.socket())
            client.settimeout(0.05)
            if client.connect_ex(("127.0.0.1", port)) not in (0, errno.EINPROGRESS):
                break
        yield
