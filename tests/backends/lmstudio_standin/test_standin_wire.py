"""What no SDK would send or could tell apart: the wire itself."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.standins.faults import Fault
from tests.standins.lmstudio import LMStudioStandIn, session

ME = {"authVersion": 1, "clientIdentifier": "me", "clientPasskey": "me"}


@pytest.fixture
def llm(standin: LMStudioStandIn) -> Iterator[ClientConnection]:
    """A bare socket of the namespace, let in."""
    with connect(f"ws://{standin.host}/llm", compression=None) as wire:
        tell(wire, ME)
        assert heard(wire) == {"success": True}
        yield wire


def tell(wire: ClientConnection, message: Any) -> None:
    wire.send(message if isinstance(message, str) else json.dumps(message))


def heard(wire: ClientConnection, seconds: float = 20) -> Any:
    return json.loads(wire.recv(timeout=seconds))


def call(number: int, endpoint: str, **more: Any) -> dict[str, Any]:
    return {"type": "rpcCall", "endpoint": endpoint, "callId": number, **more}


def test_five_warnings_are_given_and_no_more(standin: LMStudioStandIn, llm: ClientConnection) -> None:
    for number in range(8):
        tell(llm, call(number, "teleport"))
    tell(llm, call(99, "listLoaded"))
    got = [heard(llm) for _ in range(6)]
    assert sorted(message["type"] for message in got) == ["communicationWarning"] * 5 + ["rpcResult"]
    with pytest.raises(TimeoutError):
        heard(llm, 0.2)
    standin.violations.clear()


@pytest.mark.parametrize("nonsense", ["not json", "[]", '{"type":"dance"}', '{"type":"rpcCall","endpoint":7}'])
def test_nonsense_is_passed_over_without_a_word(standin: LMStudioStandIn, llm: ClientConnection, nonsense: str) -> None:
    tell(llm, nonsense)
    tell(llm, call(1, "listLoaded"))
    assert heard(llm) == {"type": "rpcResult", "callId": 1, "result": []}
    assert standin.violations
    standin.violations.clear()


def test_a_parameter_where_none_is_expected_gets_a_warning_only(
    standin: LMStudioStandIn, llm: ClientConnection
) -> None:
    tell(llm, call(1, "listLoaded", parameter={}))
    assert heard(llm)["type"] == "communicationWarning"
    with pytest.raises(TimeoutError):
        heard(llm, 0.2)
    assert standin.violations.pop() == "llm.listLoaded.parameter: nothing is expected here"


def test_a_void_result_has_no_result(standin: LMStudioStandIn, llm: ClientConnection) -> None:
    standin.load("vision-7b", "there")
    tell(llm, call(1, "unloadModel", parameter={"identifier": "there"}))
    assert heard(llm) == {"type": "rpcResult", "callId": 1}


def test_keep_alives_are_answered(llm: ClientConnection) -> None:
    tell(llm, {"type": "keepAlive"})
    assert heard(llm) == {"type": "keepAliveAck"}


def test_nobody_is_let_in_without_introduction(standin: LMStudioStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "AUTHENTICATION_SECONDS", 2.0)
    with connect(f"ws://{standin.host}/llm", compression=None) as wire:
        tell(wire, "who, me?")
        assert heard(wire) == {"success": False, "error": "Authentication timed out"}
        with pytest.raises(ConnectionClosed):
            wire.recv(timeout=20)
    standin.violations.clear()


def test_a_namespace_nobody_knows_is_never_answered(standin: LMStudioStandIn) -> None:
    with pytest.raises(TimeoutError):
        connect(f"ws://{standin.host}/astral", open_timeout=0.4).__enter__()


def test_a_dropped_socket_is_a_reset_and_not_a_farewell(standin: LMStudioStandIn) -> None:
    """A reset throws away what was on its way; the FIN of a process that ends does not."""
    standin.load("qwen2.5-0.5b-instruct", "mine")
    plain = socket.create_connection(("127.0.0.1", standin.port))
    standin.fault = Fault.DROPS_THE_SOCKET
    with connect(f"ws://{standin.host}/llm", sock=plain, compression=None) as wire:
        tell(wire, ME)
        heard(wire)
        who = {"type": "query", "query": {"identifier": "mine"}}
        said = {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]}
        parameter = {"modelSpecifier": who, "history": said, "predictionConfigStack": {"layers": []}}
        tell(wire, {"type": "channelCreate", "endpoint": "predict", "channelId": 1, "creationParameter": parameter})
        with pytest.raises(ConnectionClosed) as caught:
            list(iter(lambda: heard(wire), None))
        assert isinstance(caught.value.__cause__, ConnectionResetError)
