"""One socket of one namespace: who is there, what they ask, and which answers never come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from tests.standins.faults import Fault
from tests.standins.lmstudio.calls import MALFORMED, VOID, calls_of
from tests.standins.lmstudio.loading import get_or_load, load_model
from tests.standins.lmstudio.machine import Machine
from tests.standins.lmstudio.predicting import Severed, predict
from tests.standins.lmstudio.problems import Problem
from tests.standins.lmstudio.quirks import Quirk
from tests.standins.lmstudio.schema import Schema

__all__ = ["NAMESPACES", "Session"]

NAMESPACES = ("llm", "embedding", "system", "files", "repository", "diagnostics", "plugins", "runtime")

_LISTINGS = ("listDownloadedModels", "listLoaded")

AUTHENTICATION_SECONDS = 10.0
"""How long LM Studio waits for the first packet."""

_CHANNELS: dict[str, dict[str, Callable[..., Awaitable[None]]]] = {
    "llm": {"loadModel": load_model, "getOrLoad": get_or_load, "predict": predict},
    "embedding": {"loadModel": load_model, "getOrLoad": get_or_load},
}


SPOILT = "(spoilt)"


class Host(Protocol):
    """What a session needs of the server it belongs to."""

    token: str | None

    @property
    def machine(self) -> Machine:
        """The state everything works on."""

    def sever(self, connection: ServerConnection, how: Fault | Quirk) -> None:
        """Drops this connection, or restarts the whole server."""


class _Channel:
    """One open channel of a session."""

    def __init__(self, session: Session, channel_id: int, endpoint: str) -> None:
        self.session = session
        self.id = channel_id
        self.endpoint = endpoint
        self.domain = session.namespace
        self.cancelled = asyncio.Event()

    async def send(self, packet: dict[str, Any]) -> None:
        self.session.schema.packet(self.session.namespace, self.endpoint, "toClientPacket", packet)
        await self.session.send({"type": "channelSend", "channelId": self.id, "message": packet})

    async def spoil(self, fault: Fault) -> None:
        """Sends the frame no client wants."""
        fragment = {"content": SPOILT, "tokensCount": 1, "containsDrafted": False, "reasoningType": "none"}
        packet = {"type": "fragment", "fragment": fragment | {"isStructural": False}}
        await self.session.spoil(fault, {"type": "channelSend", "channelId": self.id, "message": packet})


class Session:
    """A connection from its first packet to its end."""

    def __init__(self, host: Host, connection: ServerConnection, namespace: str) -> None:
        self.host = host
        self.machine = host.machine
        self.connection = connection
        self.namespace = namespace
        self.schema = Schema(self.machine.violations)
        self.channels: dict[int, _Channel] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.warnings = 0

    async def serve(self) -> None:
        """Until the socket goes. Predictions end with it; loads do not."""
        try:
            if not await self._authenticated():
                return
            async for frame in self.connection:
                message = _parsed(frame)
                if self.schema.from_client(message):
                    self._received(message)
        except ConnectionClosed:
            pass
        finally:
            for channel in self.channels.values():
                if channel.endpoint == "predict":
                    channel.cancelled.set()

    async def send(self, message: dict[str, Any]) -> None:
        """Sends a message; to a client that has gone, nothing."""
        if self.machine.fault is Fault.UNKNOWN_FIELDS:
            message = _with_unknown_fields(message)
        try:
            await self.connection.send(json.dumps(message))
        except ConnectionClosed:
            return

    async def spoil(self, fault: Fault, message: dict[str, Any]) -> None:
        """Sends the message with ``SPOILT`` in it replaced by what is not UTF-8, or by a hundred megabytes."""
        filling = b"\xff\xfe\xc3" if fault is Fault.INVALID_UTF8 else b"x" * self.machine.huge_bytes
        try:
            await self.connection.send(json.dumps(message).encode().replace(SPOILT.encode(), filling), text=True)
        except ConnectionClosed:
            return

    async def _authenticated(self) -> bool:
        try:
            async with asyncio.timeout(AUTHENTICATION_SECONDS):
                packet = await self._introduction()
        except TimeoutError:
            await self._refuse("Authentication timed out")
            return False
        await self.machine.held(Fault.HANGS_AT_AUTH)
        expected = self.host.token
        given = f"sk-lm-{packet.get('clientIdentifier')}:{packet.get('clientPasskey')}"
        if self.machine.strikes(Fault.WRONG_TOKEN) or (expected is not None and given != expected):
            await self._refuse("Invalid passkey for LM Studio API token")
            return False
        await self.send({"success": True})
        return True

    async def _introduction(self) -> dict[str, Any]:
        """The authentication packet. Anything else is passed over without a word."""
        while True:
            packet = _parsed(await self.connection.recv())
            if self.schema.authentication(packet):
                return dict(packet)

    async def _refuse(self, reason: str) -> None:
        await self.send({"success": False, "error": reason})
        await self.connection.close()

    def _received(self, message: Any) -> None:
        """One message of a known shape; others LM Studio passes over without a word."""
        match message:
            case {"type": "rpcCall", "endpoint": str(endpoint), "callId": call_id}:
                self._start(self._call(endpoint, call_id, message.get("parameter")))
            case {"type": "channelCreate", "endpoint": str(endpoint), "channelId": int(channel_id)}:
                self._open(endpoint, channel_id, message.get("creationParameter"))
            case {"type": "channelSend", "channelId": int(channel_id), "message": packet}:
                self._told(channel_id, packet)
            case {"type": "keepAlive"}:
                self._start(self.send({"type": "keepAliveAck"}))
            case {"type": "communicationWarning"}:
                self.machine.violations.append(f"the client warns: {message.get('warning')}")

    def _told(self, channel_id: int, packet: Any) -> None:
        """A packet for an open channel, of which there is only one kind: cancel."""
        channel = self.channels.get(channel_id)
        if channel is not None and not self.schema.packet(self.namespace, channel.endpoint, "toServerPacket", packet):
            self._warn(f"Received invalid message for channel, endpointName = {channel.endpoint}")
            return
        self.machine.calls.append(("cancel", channel_id))
        if channel is None:
            self._warn(f"Received channelSend for unknown channel, channelId = {channel_id}")
        else:
            channel.cancelled.set()

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.machine.violations.append(f"the stand-in itself failed: {error!r}")

    def _warn(self, warning: str) -> None:
        """All that LM Studio says to what it does not understand; after five of them, nothing more."""
        self.warnings += 1
        if self.warnings <= 5:
            self._start(self.send({"type": "communicationWarning", "warning": warning}))

    async def _call(self, endpoint: str, call_id: int, parameter: Any) -> None:
        self.machine.calls.append((endpoint, parameter))
        handler = calls_of(self.namespace).get(endpoint)
        if endpoint == "estimateModelUsage" and Quirk.NO_ESTIMATE in self.machine.quirks:
            handler = None
        elif not self.schema.packet(self.namespace, endpoint, "parameter", parameter) and handler is not None:
            self._warn(f"Received invalid parameter for rpcCall, endpointName = {endpoint}")
            return
        if handler is None:
            self._warn(f"Received rpcCall for unknown endpoint, endpoint = {endpoint}")
            return
        try:
            result = await handler(self.machine, self.namespace, parameter)
        except Problem as problem:
            self.schema.problem(problem.packet)
            await self.send({"type": "rpcError", "callId": call_id, "error": problem.packet})
            return
        self.schema.packet(self.namespace, endpoint, "returns", None if result is VOID else result)
        message = {"type": "rpcResult", "callId": call_id}
        if endpoint in _LISTINGS:
            await self._list(message, [*result, *(self.machine.raw_rows if endpoint == _LISTINGS[0] else ())])
        else:
            await self.send(message if result is VOID else message | {"result": result})

    async def _list(self, message: dict[str, Any], rows: list[Any]) -> None:
        """Rows, good and bad."""
        if self.machine.spoils == "listing":
            for fault in (Fault.INVALID_UTF8, Fault.HUGE_LINE):
                if self.machine.strikes(fault):
                    first = {**rows[0], "displayName": SPOILT} if rows else {"displayName": SPOILT}
                    await self.spoil(fault, message | {"result": [first, *rows[1:]]})
                    return
        if self.machine.fault is Fault.MALFORMED_ROWS:
            rows = [*MALFORMED, *rows]
        await self.send(message | {"result": rows})

    def _open(self, endpoint: str, channel_id: int, parameter: Any) -> None:
        self.machine.calls.append((endpoint, parameter))
        understood = self.schema.packet(self.namespace, endpoint, "creationParameter", parameter)
        handler = _CHANNELS.get(self.namespace, {}).get(endpoint)
        if handler is None:
            self._warn(f"Received channelCreate for unknown endpoint, endpoint = {endpoint}")
        elif not understood:
            self._warn(f"Received invalid creationParameter for channel, endpointName = {endpoint}")
        else:
            channel = self.channels[channel_id] = _Channel(self, channel_id, endpoint)
            self._start(self._run(channel, handler(self.machine, channel, parameter)))

    async def _run(self, channel: _Channel, work: Awaitable[None]) -> None:
        try:
            await work
            await self.send({"type": "channelClose", "channelId": channel.id})
        except Problem as problem:
            self.schema.problem(problem.packet)
            await self.send({"type": "channelError", "channelId": channel.id, "error": problem.packet})
        except Severed as severed:
            if severed.how is Quirk.CLOSES_WITHOUT_SUCCESS:
                await self.send({"type": "channelClose", "channelId": channel.id})
            else:
                self.host.sever(self.connection, severed.how)
        finally:
            self.channels.pop(channel.id, None)


def _parsed(frame: str | bytes) -> Any:
    try:
        return json.loads(frame)
    except ValueError:
        return None


def _with_unknown_fields(value: Any) -> Any:
    if isinstance(value, dict):
        grown = {key: _with_unknown_fields(inner) for key, inner in value.items()}
        return grown | {"fieldOfTheFuture": {"nested": [1, "two", None]}}
    if isinstance(value, list):
        return [_with_unknown_fields(inner) for inner in value]
    return value
