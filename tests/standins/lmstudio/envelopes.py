"""The messages that carry packets, as ``lms-communication`` of the JavaScript SDK defines them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

__all__ = ["Authentication", "FromClient", "FromServer"]

_Short = Annotated[str, msgspec.Meta(max_length=256)]


class Authentication(msgspec.Struct, forbid_unknown_fields=True):
    """The first packet on every socket."""

    authVersion: Literal[1]
    clientIdentifier: _Short
    clientPasskey: _Short


class _Message(msgspec.Struct, tag_field="type", forbid_unknown_fields=True):
    pass


class _Call(_Message, tag="rpcCall"):
    endpoint: str
    callId: int
    parameter: Any = None


class _Create(_Message, tag="channelCreate"):
    endpoint: str
    channelId: int
    creationParameter: Any = None


class _Send(_Message, tag="channelSend"):
    channelId: int
    message: Any
    ackId: int | None = None


class _Ack(_Message, tag="channelAck"):
    channelId: int
    ackId: int


class _KeepAlive(_Message, tag="keepAlive"):
    pass


class _KeepAliveAck(_Message, tag="keepAliveAck"):
    pass


class _Warning(_Message, tag="communicationWarning"):
    warning: str
    kind: str | None = None


class _Close(_Message, tag="channelClose"):
    channelId: int


class _ChannelError(_Message, tag="channelError"):
    channelId: int
    error: dict[str, Any]


class _Result(_Message, tag="rpcResult"):
    callId: int
    result: Any = None


class _CallError(_Message, tag="rpcError"):
    callId: int
    error: dict[str, Any]


class _Subscribe(_Message, tag="signalSubscribe"):
    endpoint: str
    subscribeId: int
    creationParameter: Any = None


class _Unsubscribe(_Message, tag="signalUnsubscribe"):
    subscribeId: int


FromClient = _Call | _Create | _Send | _Ack | _KeepAlive | _Warning | _Subscribe | _Unsubscribe
FromServer = _Result | _CallError | _Send | _Ack | _Close | _ChannelError | _KeepAliveAck | _Warning
