"""Every fault, as a client meets it on the wire or through the real SDK."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import httpx
import lmstudio
import msgspec
import pytest

from tests.standins.faults import Fault
from tests.standins.lmstudio import LMStudioStandIn, StandInModel

KEY = "qwen2.5-0.5b-instruct"


def test_hanging_at_connect_takes_the_connection_and_says_nothing(standin: LMStudioStandIn) -> None:
    standin.fault = Fault.HANGS_AT_CONNECT
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"http://{standin.host}/lmstudio-greeting", timeout=0.3)
    standin.fault = None
    assert httpx.get(f"http://{standin.host}/lmstudio-greeting").json() == {"lmstudio": True}


def test_starting_slowly_refuses_until_it_listens(eventually: Callable[[Callable[[], bool]], None]) -> None:
    standin = LMStudioStandIn()
    standin.fault, standin.starts_after = Fault.STARTS_SLOWLY, 4.0
    with standin:
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://{standin.host}/lmstudio-greeting")
        eventually(lambda: _greets(standin))


def _greets(standin: LMStudioStandIn) -> bool:
    try:
        return httpx.get(f"http://{standin.host}/lmstudio-greeting").is_success
    except httpx.ConnectError:
        return False


@pytest.mark.parametrize("namespace", ["system", "llm"])
def test_hanging_at_listing_holds_the_rows_back(
    standin: LMStudioStandIn, client: lmstudio.Client, namespace: str
) -> None:
    standin.fault = Fault.HANGS_AT_LISTING
    ask = client.system.list_downloaded_models if namespace == "system" else client.llm.list_loaded
    with pytest.raises(lmstudio.LMStudioTimeoutError):
        ask()
    standin.fault = None
    ask()


@pytest.mark.parametrize("fault", [Fault.HANGS_AT_FIRST_TOKEN, Fault.HANGS_MID_STREAM])
async def test_a_cancel_is_obeyed_in_a_hang_but_not_answered(standin: LMStudioStandIn, fault: Fault) -> None:
    async with lmstudio.AsyncClient(standin.host) as client:
        model = await client.llm.model(KEY)
        standin.fault = fault
        got: list[object] = []
        stream = await model.respond_stream("hello", on_prediction_fragment=got.append)
        reading = asyncio.ensure_future(stream.wait_for_result())
        expected = standin.after_pieces if fault is Fault.HANGS_MID_STREAM else 0
        await comes_true(lambda: (standin.generating, len(got)) == (1, expected))
        await stream.cancel()
        done, _ = await asyncio.wait([reading], timeout=0.5)
        assert not done
        await comes_true(lambda: standin.generating == 0)
        assert not reading.done()
        standin.fault = None
        assert (await reading).stats.stop_reason == "userStopped"


async def comes_true(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def test_out_of_memory_at_load_leaves_nothing_loaded(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    standin.fault = Fault.OUT_OF_MEMORY_AT_LOAD
    with pytest.raises(lmstudio.LMStudioServerError, match="insufficient system resources"):
        client.llm.load_new_instance(KEY)
    assert (standin.instances, standin.loading) == ({}, 0)


def test_a_smaller_window_fits_where_a_larger_did_not(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    standin.memory = standin.models[KEY].memory(8192)
    with pytest.raises(lmstudio.LMStudioServerError):
        client.llm.load_new_instance(KEY, config=lmstudio.LlmLoadModelConfig(context_length=16384))
    client.llm.load_new_instance(KEY, config=lmstudio.LlmLoadModelConfig(context_length=8192))


def test_unknown_fields_are_everywhere_and_the_sdk_passes_over_them(standin: LMStudioStandIn, quick: None) -> None:
    standin.fault = Fault.UNKNOWN_FIELDS
    assert "fieldOfTheFuture" in httpx.get(f"http://{standin.host}/lmstudio-greeting").json()
    with lmstudio.Client(standin.host) as client:
        model = client.llm.load_new_instance(KEY, config=lmstudio.LlmLoadModelConfig(context_length=2048))
        assert all("fieldOfTheFuture" in row for row in client.system.remote_call("listDownloadedModels"))
        assert model.respond("hello").content == standin.models[KEY].reply


def test_malformed_rows_stand_beside_good_ones(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    standin.fault = Fault.MALFORMED_ROWS
    rows = client.system.remote_call("listDownloadedModels")
    assert {row["modelKey"] for row in rows if isinstance(row, dict) and "publisher" in row} == set(standin.models)
    assert len(rows) > len(standin.models) + 5
    with pytest.raises((AttributeError, lmstudio.LMStudioError, msgspec.ValidationError)):
        client.list_downloaded_models()


@pytest.mark.parametrize("stage", ["predict", "listing"])
@pytest.mark.parametrize("fault", [Fault.INVALID_UTF8, Fault.HUGE_LINE])
def test_a_spoilt_frame_comes_where_it_is_wanted(
    standin: LMStudioStandIn, quick: None, fault: Fault, stage: str
) -> None:
    standin.spoils, standin.huge_bytes = stage, 20_000_000
    lmstudio.set_sync_api_timeout(60)
    with lmstudio.Client(standin.host) as client:
        model = client.llm.model(KEY)
        standin.fault, standin.fault_times = fault, 1
        if fault is Fault.INVALID_UTF8:
            with pytest.raises(lmstudio.LMStudioWebsocketError):
                model.respond("hello") if stage == "predict" else client.llm.list_loaded()
        elif stage == "predict":
            assert len(model.respond("hello").content) > standin.huge_bytes
        else:
            (row,) = client.llm.remote_call("listLoaded")
            assert len(row["displayName"]) == standin.huge_bytes


def test_a_fault_may_strike_a_counted_number_of_times(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    model = client.llm.model(KEY)
    standin.fault, standin.fault_times = Fault.OUT_OF_MEMORY_AT_LOAD, 2
    for _ in range(2):
        with pytest.raises(lmstudio.LMStudioServerError):
            client.llm.load_new_instance(KEY)
    client.llm.load_new_instance(KEY)
    assert standin.fault is None
    assert model.identifier in standin.instances


def test_a_restart_loses_what_was_loaded_and_keeps_the_port(standin: LMStudioStandIn, quick: None) -> None:
    standin.load(KEY)
    port = standin.port
    standin.restart()
    assert (standin.port, standin.instances) == (port, {})
    with lmstudio.Client(standin.host) as client:
        assert client.llm.list_loaded() == []


def test_a_client_that_goes_ends_its_predictions_but_not_its_loads(
    standin: LMStudioStandIn, quick: None, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    standin.fault = Fault.HANGS_AT_LOAD
    with lmstudio.Client(standin.host) as client, pytest.raises(lmstudio.LMStudioTimeoutError):
        client.llm.load_new_instance(KEY, "orphan")
    standin.fault = None
    eventually(lambda: "orphan" in standin.instances)
    standin.models["slow"] = StandInModel(key="slow", reply="word " * 3000, token_seconds=0.02)
    with lmstudio.Client(standin.host) as client:
        stream = client.llm.model("slow").respond_stream("hello")
        next(iter(stream))
        assert standin.generating == 1
        client.llm.disconnect()
        eventually(lambda: standin.generating == 0)
        stream.close()


def test_nobody_waits_for_a_server_that_stops(standin: LMStudioStandIn, quick: None) -> None:
    standin.fault = Fault.HANGS_AT_LISTING
    with lmstudio.Client(standin.host) as client:
        with pytest.raises(lmstudio.LMStudioTimeoutError):
            client.llm.list_loaded()
        began = time.monotonic()
        standin.stop()
        assert time.monotonic() - began < 15
