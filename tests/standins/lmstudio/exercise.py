"""One conversation with the stand-in that touches everything it can say, as frames."""

from __future__ import annotations

import itertools
import json
import time
from contextlib import ExitStack
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.standins.lmstudio.frames import Frame
from tests.standins.lmstudio.models import StandInModel, ToolUse
from tests.standins.lmstudio.server import LMStudioStandIn

__all__ = ["exercise"]

_MODELS = (
    StandInModel(key="talker", reply="<think>hm</think>Well said."),
    StandInModel(key="caller", reply=ToolUse("add", {"a": 1}), load_seconds=0.02),
    StandInModel(key="fumbler", reply=ToolUse("add", None)),
    StandInModel(key="embedder", type="embedding"),
)
_ME: dict[str, Any] = {"type": "query", "query": {"identifier": "one"}}
_EMPTY: dict[str, Any] = {"layers": []}
_SAID: dict[str, Any] = {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]}
_STACK: dict[str, Any] = {
    "layers": [
        {"layerName": "apiOverride", "config": {"fields": [{"key": "llm.load.contextLength", "value": 2048}]}},
    ]
}


class _Talk:
    """A client of one namespace that writes down what it hears."""

    def __init__(self, socket: ClientConnection, namespace: str, number: int, frames: list[Frame]) -> None:
        self._about = (number, namespace)
        self._frames = frames
        self._ids = itertools.count(1)
        self._socket = socket
        self.send({"authVersion": 1, "clientIdentifier": "exercise", "clientPasskey": "exercise"})
        self.hear()

    def send(self, message: dict[str, Any]) -> None:
        self._frames.append(Frame(time.monotonic(), *self._about, "client", message))
        self._socket.send(json.dumps(message))

    def hear(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv(timeout=5))
        self._frames.append(Frame(time.monotonic(), *self._about, "server", message))
        return message

    def call(self, endpoint: str, parameter: Any = None) -> None:
        number = next(self._ids)
        message = {"type": "rpcCall", "endpoint": endpoint, "callId": number}
        self.send(message if parameter is None else message | {"parameter": parameter})
        while self.hear().get("callId") != number:  # a channel that was cancelled late may still be heard of
            pass

    def channel(self, endpoint: str, parameter: Any, *, cancel: bool = False) -> None:
        number = next(self._ids)
        self.send({"type": "channelCreate", "endpoint": endpoint, "channelId": number, "creationParameter": parameter})
        cancelling = {"type": "channelSend", "channelId": number, "message": {"type": "cancel"}}
        if cancel:
            self.send(cancelling)
        while self.hear()["type"] not in ("channelClose", "channelError"):
            pass
        if cancel:  # again: whether the first came in time is a matter of luck, and the warning is to be heard always
            self.send(cancelling)
            while self.hear()["type"] != "communicationWarning":
                pass


def exercise() -> list[Frame]:
    """Frames of a fresh, healthy stand-in."""
    frames: list[Frame] = []
    with LMStudioStandIn(models=_MODELS) as standin, ExitStack() as sockets:
        system, llm, embedding = (
            _Talk(sockets.enter_context(connect(f"ws://{standin.host}/{name}", compression=None)), name, number, frames)
            for number, name in enumerate(("system", "llm", "embedding"))
        )
        system.call("listDownloadedModels")
        system.call("version")
        system.call("info")
        llm.call("estimateModelUsage", {"modelKey": "talker", "loadConfigStack": _STACK})
        llm.channel("loadModel", {"modelKey": "talker", "identifier": "one", "ttlMs": 9000, "loadConfigStack": _STACK})
        llm.channel("loadModel", {"modelKey": "absent", "loadConfigStack": _EMPTY})
        for key in ("caller", "caller", "fumbler"):
            llm.channel("getOrLoad", {"identifier": key, "loadTtlMs": 9000, "loadConfigStack": _EMPTY})
        llm.call("listLoaded")
        llm.call("getModelInfo", {"specifier": _ME, "throwIfNotFound": True})
        llm.call("getLoadConfig", {"specifier": _ME})
        llm.call("getInstanceProcessingState", {"specifier": _ME, "throwIfNotFound": True})
        llm.call("tokenize", {"specifier": _ME, "inputString": "hello"})
        llm.call("countTokens", {"specifier": _ME, "inputString": "hello"})
        template = {"specifier": _ME, "history": _SAID, "predictionConfigStack": _EMPTY, "opts": {}}
        llm.call("applyPromptTemplate", template)
        for name in ("one", "one", "fumbler", "absent"):
            who = {"type": "query", "query": {"identifier": name}}
            llm.channel("predict", {"modelSpecifier": who, "history": _SAID, "predictionConfigStack": _STACK})
        llm.channel("getOrLoad", {"identifier": "caller", "loadConfigStack": _EMPTY})
        who = {"type": "query", "query": {"identifier": "caller"}}
        llm.channel("predict", {"modelSpecifier": who, "history": _SAID, "predictionConfigStack": _EMPTY})
        again = {"modelSpecifier": _ME, "history": _SAID, "predictionConfigStack": _EMPTY}
        llm.channel("predict", again, cancel=True)
        embedding.channel("loadModel", {"modelKey": "embedder", "loadConfigStack": _EMPTY})
        embedding.channel("getOrLoad", {"identifier": "embedder", "loadConfigStack": _EMPTY})
        who = {"type": "query", "query": {"identifier": "embedder"}}
        embedding.call("embedString", {"modelSpecifier": who, "inputString": "hello"})
        embedding.call("listLoaded")
        embedding.call("unloadModel", {"identifier": "embedder"})
        embedding.channel("getOrLoad", {"identifier": "embedder", "loadConfigStack": _EMPTY})
        llm.call("unloadModel", {"identifier": "one"})
        llm.call("unloadModel", {"identifier": "one"})
    return frames
