"""What each failure looks like through the real SDK, as it was measured: the stand-in behaves the same."""

from __future__ import annotations

import asyncio
import functools
import socket
import time
from collections.abc import Callable

import lmstudio
import lmstudio._ws_impl
import msgspec
import pytest

from tests.standins.faults import Fault
from tests.standins.lmstudio import LMStudioStandIn, Quirk, StandInModel

KEY = "qwen2.5-0.5b-instruct"
SOON = 15.0
PRERELEASE = not lmstudio.__version__.startswith("1.5.")


@pytest.fixture
def slow(standin: LMStudioStandIn) -> StandInModel:
    """A model that takes a minute to say what it has to say."""
    model = standin.models["slow"] = StandInModel(key="slow", reply="word " * 3000, token_seconds=0.02)
    return model


def test_a_guardrail_is_a_server_error_with_its_text(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    standin.memory = 1024
    with pytest.raises(lmstudio.LMStudioServerError, match="insufficient system resources") as caught:
        client.llm.load_new_instance(KEY)
    assert caught.value.server_error is not None
    assert "insufficient system resources" in caught.value.server_error.title
    assert not standin.instances


def test_an_engine_that_cannot_load_is_a_server_error(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    standin.quirks.add(Quirk.FAILS_TO_LOAD)
    with pytest.raises(lmstudio.LMStudioServerError) as caught:
        client.llm.load_new_instance(KEY)
    assert caught.value.server_error is not None
    assert "architecture" in caught.value.server_error.cause


def test_an_unknown_key_is_path_not_found(client: lmstudio.Client) -> None:
    with pytest.raises(lmstudio.LMStudioServerError) as caught:
        client.llm.load_new_instance("never-downloaded")
    expected = lmstudio.LMStudioModelNotFoundError if PRERELEASE else lmstudio.LMStudioServerError
    assert type(caught.value) is expected
    assert caught.value.server_error is not None
    assert caught.value.server_error.display_data["code"] == "generic.pathNotFound"


def test_a_handle_of_an_unloaded_model_is_not_found(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    model = client.llm.load_new_instance(KEY)
    standin.instances.clear()
    with pytest.raises(lmstudio.LMStudioModelNotFoundError):
        model.respond("hello")


def test_a_second_unload_finds_no_identifier(client: lmstudio.Client) -> None:
    model = client.llm.load_new_instance(KEY)
    model.unload()
    with pytest.raises(lmstudio.LMStudioServerError) as caught:
        model.unload()
    assert caught.value.server_error is not None
    assert caught.value.server_error.display_data["code"] == "generic.identifierNotFound"


def test_an_embedding_model_is_no_llm(client: lmstudio.Client) -> None:
    with pytest.raises(lmstudio.LMStudioServerError) as caught:
        client.llm.load_new_instance("nomic-embed")
    assert caught.value.server_error is not None
    assert caught.value.server_error.display_data["code"] == "generic.domainMismatch"


@pytest.mark.parametrize("cause", [Quirk.CRASHES_MID_STREAM, Fault.OUT_OF_MEMORY_GENERATING])
def test_a_crash_in_mid_stream_is_a_server_error_but_no_prediction_error(
    standin: LMStudioStandIn, client: lmstudio.Client, cause: Quirk | Fault
) -> None:
    model = client.llm.model(KEY)
    if isinstance(cause, Fault):
        standin.fault = cause
    else:
        standin.quirks.add(cause)
    got: list[str] = []
    with pytest.raises(lmstudio.LMStudioServerError, match="crashed") as caught:
        got.extend(part.content for part in model.respond_stream("hello"))
    assert not isinstance(caught.value, lmstudio.LMStudioPredictionError)
    assert len(got) == standin.after_pieces
    assert not standin.instances
    assert standin.generating == 0


def test_a_channel_closed_without_success_is_a_runtime_error(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    model = client.llm.model(KEY)
    standin.quirks.add(Quirk.CLOSES_WITHOUT_SUCCESS)
    with pytest.raises(lmstudio.LMStudioRuntimeError):
        model.respond("hello")


def test_a_model_unloaded_in_mid_stream_raises_nothing(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    model = client.llm.model(KEY)
    standin.fault = Fault.UNLOADS_MID_STREAM
    result = model.respond("hello")
    assert result.stats.stop_reason == "modelUnloaded"
    assert result.content
    assert not standin.instances


def test_somebody_unloading_in_mid_stream_looks_the_same(
    standin: LMStudioStandIn, client: lmstudio.Client, slow: StandInModel
) -> None:
    stream = client.llm.model("slow").respond_stream("hello")
    for number, _ in enumerate(stream):
        if number == 3:
            standin.instances.clear()
    assert stream.result().stats.stop_reason == "modelUnloaded"


@pytest.mark.parametrize("how", [Fault.DROPS_THE_SOCKET, Fault.RESTARTS_MID_STREAM, Quirk.CLOSES_THE_SOCKET])
def test_a_lost_socket_is_noticed_at_once_and_the_session_stays_lost(
    standin: LMStudioStandIn, quick: None, how: Fault | Quirk, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    lmstudio.set_sync_api_timeout(60)
    with lmstudio.Client(standin.host) as client:
        model = client.llm.model(KEY)
        if isinstance(how, Fault):
            standin.fault, standin.fault_times = how, 1
        else:
            standin.quirks.add(how)
        began = time.monotonic()
        with pytest.raises(lmstudio.LMStudioWebsocketError):
            model.respond("hello")
        assert time.monotonic() - began < SOON
        standin.quirks.clear()
        eventually(lambda: listens(standin.port))
        with pytest.raises(lmstudio.LMStudioWebsocketError):
            client.llm.list_loaded()
        client.llm.disconnect()
        client.llm.connect()
        client.llm.list_loaded()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_frozen_server_is_noticed_by_ping(
    standin: LMStudioStandIn, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK pings every 20 s and waits 20 s; here both are short, and the stand-in's loop stands still."""
    hurried = functools.partial(
        lmstudio._ws_impl.aconnect_ws, keepalive_ping_interval_seconds=0.5, keepalive_ping_timeout_seconds=1.5
    )
    monkeypatch.setattr(lmstudio._ws_impl, "aconnect_ws", hurried)
    lmstudio.set_sync_api_timeout(30)
    with lmstudio.Client(standin.host) as client:
        client.llm.list_loaded()
        standin.freeze(10.0)
        with pytest.raises(lmstudio.LMStudioWebsocketError):
            client.llm.list_loaded()


@pytest.mark.parametrize("fault", [Fault.HANGS_AT_FIRST_TOKEN, Fault.HANGS_MID_STREAM])
def test_silence_is_an_empty_timeout_for_sync_clients(
    standin: LMStudioStandIn, client: lmstudio.Client, fault: Fault
) -> None:
    model = client.llm.model(KEY)
    standin.fault = fault
    with pytest.raises(lmstudio.LMStudioTimeoutError) as caught:
        model.respond("hello")
    assert str(caught.value) == ""
    assert standin.generating == 1


async def test_silence_is_for_ever_for_async_clients(standin: LMStudioStandIn) -> None:
    async with lmstudio.AsyncClient(standin.host) as client:
        standin.fault = Fault.HANGS_AT_LISTING
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.llm.list_loaded(), 1)
        standin.fault = None
        assert await client.llm.list_loaded() == []


async def test_an_auth_reply_that_never_comes_is_waited_for(standin: LMStudioStandIn) -> None:
    standin.fault = Fault.HANGS_AT_AUTH
    waiting = asyncio.ensure_future(lmstudio.AsyncClient(standin.host).__aenter__())
    done, _ = await asyncio.wait([waiting], timeout=1)
    assert not done
    standin.fault = None
    client = await waiting
    await client.__aexit__(None, None, None)


@pytest.mark.parametrize("how", ["fault", "token"])
def test_a_refusal_differs_between_versions(quick: None, how: str) -> None:
    token = "sk-lm-abcdefgh:abcdefghijklmnopqrst" if how == "token" else None
    with LMStudioStandIn(token=token) as standin:
        standin.fault = Fault.WRONG_TOKEN if how == "fault" else None
        client = lmstudio.Client(standin.host)
        with pytest.raises(lmstudio.LMStudioServerError if PRERELEASE else ValueError):
            client.llm.list_loaded()
        client.close()
        assert standin.violations == []


@pytest.mark.skipif(not PRERELEASE, reason="lmstudio 1.5 knows no API token")
def test_the_right_token_opens(quick: None) -> None:
    token = "sk-lm-abcdefgh:abcdefghijklmnopqrst"
    with LMStudioStandIn(token=token) as standin, lmstudio.Client(standin.host, api_token=token) as client:
        assert client.llm.list_loaded() == []


def test_a_dead_host_is_a_client_error(standin: LMStudioStandIn, quick: None) -> None:
    standin.stop()
    with pytest.raises(lmstudio.LMStudioClientError), lmstudio.Client(standin.host) as client:
        client.llm.list_loaded()


def test_a_newer_config_value_spoils_the_end_of_a_reply(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    model = client.llm.model(KEY)
    standin.quirks.add(Quirk.NEWER_CONFIG_VALUE)
    got: list[str] = []
    with pytest.raises(msgspec.ValidationError):
        got.extend(part.content for part in model.respond_stream("hello"))
    assert "".join(got) == standin.models[KEY].reply


def test_cancelling_stops_the_server(
    standin: LMStudioStandIn,
    client: lmstudio.Client,
    slow: StandInModel,
    eventually: Callable[[Callable[[], bool]], None],
) -> None:
    stream = client.llm.model("slow").respond_stream("hello")
    for number, _ in enumerate(stream):
        if number == 3:
            stream.cancel()
    assert stream.result().stats.stop_reason == "userStopped"
    eventually(lambda: standin.generating == 0)
    assert standin.calls[-1][0] == "cancel"


def test_breaking_off_sends_nothing_and_the_server_goes_on(
    standin: LMStudioStandIn, client: lmstudio.Client, slow: StandInModel
) -> None:
    stream = client.llm.model("slow").respond_stream("hello")
    for number, _ in enumerate(stream):
        if number == 3:
            break
    stream.close()
    time.sleep(0.3)
    assert standin.generating == 1
    assert not [call for call in standin.calls if call[0] == "cancel"]


async def test_a_cancelled_task_sends_nothing_and_the_server_goes_on(
    standin: LMStudioStandIn, slow: StandInModel
) -> None:
    async with lmstudio.AsyncClient(standin.host) as client:
        model = await client.llm.model("slow")
        task = asyncio.ensure_future(model.respond("hello"))
        async with asyncio.timeout(20):
            while not standin.generating:
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.3)
        assert standin.generating == 1


def test_a_load_that_times_out_finishes_later(
    standin: LMStudioStandIn, client: lmstudio.Client, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    standin.fault = Fault.HANGS_AT_LOAD
    with pytest.raises(lmstudio.LMStudioTimeoutError):
        client.llm.load_new_instance(KEY, "orphan")
    assert not standin.instances
    standin.fault = None
    eventually(lambda: "orphan" in standin.instances)
    assert not [call for call in standin.calls if call[0] == "cancel"]


def test_a_ttl_of_nought_gets_no_reply(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    with pytest.raises(lmstudio.LMStudioTimeoutError):
        client.llm.load_new_instance(KEY, ttl=0)
    assert not standin.instances
    (violation,) = standin.violations
    assert "ttlMs" in violation
    standin.violations.clear()


def test_an_unknown_endpoint_gets_no_reply(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    with pytest.raises(lmstudio.LMStudioTimeoutError):
        client.llm.remote_call("teleport")
    assert standin.violations.pop() == "llm.teleport.parameter: unknown endpoint"
    assert not standin.violations


def test_an_older_server_never_answers_an_estimate(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    from lmstudio._sdk_models import LlmChannelLoadModelCreationParameter as Parameter

    standin.quirks.add(Quirk.NO_ESTIMATE)
    asked = Parameter._from_any_api_dict({"modelKey": KEY, "loadConfigStack": {"layers": []}})
    with pytest.raises(lmstudio.LMStudioTimeoutError):
        client.llm.remote_call("estimateModelUsage", asked)
    standin.violations.clear()


@pytest.mark.parametrize(
    "row",
    [
        {"type": "drafter", "modelKey": "d", "format": "gguf", "displayName": "d", "path": "d", "sizeBytes": 1},
        {"type": "llm", "modelKey": "p", "format": "pte", "displayName": "p", "path": "p", "sizeBytes": 1},
    ],
    ids=["an unknown type", "an unknown format"],
)
def test_one_strange_row_fails_the_typed_listing_whole(
    standin: LMStudioStandIn, client: lmstudio.Client, row: dict[str, object]
) -> None:
    standin.raw_rows.append(row)
    with pytest.raises((lmstudio.LMStudioClientError, msgspec.ValidationError)):
        client.list_downloaded_models()
    assert row in client.system.remote_call("listDownloadedModels")
