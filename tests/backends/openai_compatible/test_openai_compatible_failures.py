"""Every row of the table, played by the stand-in on the real adapter over real sockets."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Awaitable, Callable

import psutil
import pytest
from failures_of_openai_compatible import FAILURES
from openai_serving import QUESTION, backend_for, end_of, reply, text_of

from mai_backends.openai_compatible.backend import OpenAICompatibleBackend
from mai_core.errors import BackendUnavailable, MaiError, OutOfMemory
from mai_core.policy.messages import GenerationOptions, StopReason, TextDelta
from mai_core.policy.models import LoadPlan
from tests.standins.faults import Fault
from tests.standins.openai import Flavour, OpenAIStandIn, StandInModel

PLAN = LoadPlan(context=512)
STARTING = (Fault.NOT_RUNNING, Fault.STARTS_SLOWLY, Fault.HANGS_AT_CONNECT)
LISTING = (Fault.WRONG_TOKEN, Fault.HANGS_AT_LISTING, Fault.MALFORMED_ROWS)
ON_DEMAND = (Fault.HANGS_AT_LOAD, Fault.UNLOADS_MID_STREAM)
MEGABYTES = 24
"""What a hostile line may cost at most: one event's bound, the socket's buffers, and those of the stand-in."""

Step = Callable[[OpenAICompatibleBackend], Awaitable[object]]


def flavour_of(fault: Fault) -> Flavour:
    """The kind of server on which the fault can be."""
    if fault is Fault.OUT_OF_MEMORY_AT_LOAD:
        return Flavour.LM_STUDIO
    if fault is Fault.OUT_OF_MEMORY_GENERATING:
        return Flavour.VLLM
    return Flavour.LLAMA_SWAP if fault in ON_DEMAND else Flavour.LLAMA_SERVER


async def list_models(backend: OpenAICompatibleBackend) -> object:
    models = await backend.models()
    assert [model.key for model in models] == ["tiny"]
    return models


async def load(backend: OpenAICompatibleBackend) -> object:
    (model,) = await backend.models()
    return await backend.load(model, PLAN)


async def answer(backend: OpenAICompatibleBackend) -> object:
    await load(backend)
    events = await reply(backend, first_token_deadline=2.5, token_deadline=2.5)
    assert end_of(events).stop in (StopReason.STOP, StopReason.LENGTH)
    assert text_of(events).startswith("Once upon a")
    return events


def step_of(fault: Fault) -> Step:
    if fault in (*STARTING, *LISTING):
        return list_models
    return load if fault in (Fault.HANGS_AT_LOAD, Fault.OUT_OF_MEMORY_AT_LOAD) else answer


@pytest.mark.parametrize("fault", list(FAILURES), ids=[fault.name for fault in FAILURES])
async def test_every_failure_is_what_the_table_says(fault: Fault) -> None:
    row = FAILURES[fault]
    stand_in = OpenAIStandIn([StandInModel(key="tiny")], flavour=flavour_of(fault))
    backend = backend_for(stand_in.url, deadlines={"connect": 2.5, "listing": 2.5, "load": 2.5})
    process, tasks = psutil.Process(), asyncio.all_tasks()
    stand_in.starts_after = 10.0
    if fault in STARTING:
        stand_in.fault = fault
        if fault is not Fault.NOT_RUNNING:
            stand_in.start()
    else:
        stand_in.start()
        await list_models(backend)
        stand_in.fault = fault
    try:
        began = time.monotonic()
        if row.error is None:
            await step_of(fault)(backend)
        else:
            with pytest.raises(row.error) as caught:
                await step_of(fault)(backend)
            assert type(caught.value) is row.error
            assert len(str(caught.value).splitlines()) == 1
        assert time.monotonic() - began < row.bound
        # What was shown once is never asked for again behind the person's back; a load is one request more.
        asked = [body for path, body in stand_in.calls if "chat" in path and body["max_tokens"] > 1]
        assert len(asked) <= 1
        if fault in STARTING:
            stand_in.stop()
        stand_in.fault = None
        stand_in.start()
        await answer(backend)
        await eventually(lambda: stand_in.generating == 0)
        await backend.close()
        assert asyncio.all_tasks() == tasks
        assert [c for c in process.net_connections("tcp") if c.raddr and c.raddr.port == stand_in.port] == []
    finally:
        await backend.close()
        stand_in.stop()


def test_no_fault_is_forgotten() -> None:
    assert set(Fault) - set(FAILURES) == {Fault.NOT_INSTALLED, Fault.HANGS_AT_AUTH}


@pytest.mark.parametrize(
    "fault", [Fault.HANGS_AT_FIRST_TOKEN, Fault.HANGS_MID_STREAM, Fault.HUGE_LINE], ids=lambda fault: fault.name
)
async def test_the_engine_stops_when_it_is_given_up(fault: Fault) -> None:
    with OpenAIStandIn() as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        stand_in.fault = fault
        with pytest.raises(MaiError):
            await reply(backend, first_token_deadline=0.3, token_deadline=0.3)
        await eventually(lambda: stand_in.generating == 0)
        await backend.close()


async def test_what_was_shown_before_the_trouble_stays_shown() -> None:
    """And what memory ran out for is told by its class, also when it comes within the stream."""
    with OpenAIStandIn(flavour=Flavour.VLLM) as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        stand_in.fault = Fault.OUT_OF_MEMORY_GENERATING
        shown: list[str] = []

        async def read() -> None:
            async for event in backend.generate("tiny", QUESTION, GenerationOptions()):
                assert isinstance(event, TextDelta)
                shown.append(event.text)

        with pytest.raises(OutOfMemory):
            await read()
        assert "".join(shown) == "Once upon a"
        await backend.close()


async def test_a_huge_line_takes_no_memory() -> None:
    with OpenAIStandIn() as stand_in:
        backend = backend_for(stand_in.url)
        await answer(backend)
        stand_in.fault = Fault.HUGE_LINE
        tracemalloc.start()
        try:
            with pytest.raises(MaiError):
                await reply(backend)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < MEGABYTES * 2**20, f"{peak / 2**20:.0f} MB"
        await backend.close()


async def test_a_server_that_does_not_come_back_is_unavailable() -> None:
    with OpenAIStandIn() as stand_in:
        stand_in.restarts_after = 3600.0
        backend = backend_for(stand_in.url)
        await backend.models()
        stand_in.fault = Fault.RESTARTS_MID_STREAM
        began = time.monotonic()
        with pytest.raises(BackendUnavailable):
            await reply(backend)
        assert time.monotonic() - began < 15.0, "it waited for a token"
        await backend.close()


@pytest.mark.parametrize("fault", [Fault.HANGS_AT_CONNECT, Fault.HANGS_AT_LISTING, Fault.NOT_RUNNING])
async def test_a_turn_hears_soon_that_nothing_is_known_to_be_loaded(fault: Fault) -> None:
    stand_in = OpenAIStandIn()
    with stand_in:
        backend = backend_for(stand_in.url, deadlines={"connect": 60.0, "listing": 60.0})
        await backend.models()
        assert len(await backend.loaded()) == 1
    stand_in.fault = fault
    if fault is not Fault.NOT_RUNNING:
        stand_in.start()
    began = time.monotonic()
    assert list(await backend.loaded()) == []
    assert time.monotonic() - began < 15.0, "a listing has 60 s"
    stand_in.stop()
    await backend.close()


async def eventually(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        await asyncio.sleep(0.01)
