"""Frames as they were heard between a client and a server, kept one to a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tests.standins.lmstudio.schema import Schema

__all__ = ["Frame", "Heard", "Listener", "check", "read_frames"]


@dataclass(frozen=True)
class Frame:
    """One frame. ``at`` in seconds since the recording began; ``socket`` numbers the connections."""

    at: float
    socket: int
    namespace: str
    sender: Literal["client", "server"]
    message: Any

    def line(self) -> str:
        """The frame as it is kept."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":")) + "\n"


def read_frames(path: Path) -> list[Frame]:
    """The frames of a recording. Raises ``ValueError`` with the line that holds none."""
    frames = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    frames.append(Frame(**json.loads(line)))
                except (ValueError, TypeError):
                    raise ValueError(f"line {number} is no frame") from None
    return frames


@dataclass(frozen=True)
class Heard:
    """What a frame says, with the endpoint it belongs to; ``side`` may also be authentication, error or message."""

    namespace: str
    endpoint: str
    side: str
    data: Any


class Listener:
    """Follows the calls and channels of all sockets, so that each answer is known by its question."""

    def __init__(self) -> None:
        self._asked: dict[tuple[int, str, int], str] = {}
        self._introduced: set[int] = set()

    def hear(self, frame: Frame) -> Heard:
        """What this frame is about."""
        message, socket = frame.message, frame.socket

        def about(endpoint: str, side: str, data: Any) -> Heard:
            return Heard(frame.namespace, endpoint, side, data)

        if frame.sender == "client" and socket not in self._introduced:
            self._introduced.add(socket)
            return about("", "authentication", message)
        match message:
            case {"type": "rpcCall", "endpoint": endpoint, "callId": call}:
                self._asked[socket, "call", call] = endpoint
                return about(endpoint, "parameter", message.get("parameter"))
            case {"type": "channelCreate", "endpoint": endpoint, "channelId": channel}:
                self._asked[socket, "channel", channel] = endpoint
                return about(endpoint, "creationParameter", message.get("creationParameter"))
            case {"type": "channelSend", "channelId": channel, "message": packet}:
                side = "toServerPacket" if frame.sender == "client" else "toClientPacket"
                return about(self._asked.get((socket, "channel", channel), "?"), side, packet)
            case {"type": "rpcResult", "callId": call}:
                return about(self._asked.get((socket, "call", call), "?"), "returns", message.get("result"))
            case {"type": "rpcError", "callId": call, "error": error}:
                return about(self._asked.get((socket, "call", call), "?"), "error", error)
            case {"type": "channelError", "channelId": channel, "error": error}:
                return about(self._asked.get((socket, "channel", channel), "?"), "error", error)
        return about("", "message", message)


def check(frames: Iterable[Frame]) -> Iterator[str]:
    """What does not keep to the schema the stand-in is held to."""
    violations: list[str] = []
    schema, listener = Schema(violations), Listener()
    for frame in frames:
        heard = listener.hear(frame)
        match heard.side:
            case "authentication":
                schema.authentication(heard.data)
                continue
            case "error":
                schema.problem(heard.data)
            case "message":
                pass
            case side:
                schema.packet(heard.namespace, heard.endpoint, side, heard.data)
        if isinstance(frame.message, dict) and "success" not in frame.message:
            (schema.from_client if frame.sender == "client" else schema.from_server)(frame.message)
        yield from (f"{frame.sender}: {violation}" for violation in violations)
        violations.clear()
