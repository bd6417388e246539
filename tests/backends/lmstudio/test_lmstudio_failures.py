"""Every row of the table, played by the stand-in on the real adapter and the real SDK."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

import pytest
from failures_of_lmstudio import FAILURES
from lmstudio_home import Home
from lmstudio_world import KEY, REPLY, MakeBackend, noted, sockets_to

from mai_backends.lmstudio.backend import LMStudioBackend
from mai_core.plugin.interfaces import GenerationEvent
from mai_core.policy.messages import GenerationOptions, Message, ReplyEnd, Role, TextDelta
from mai_core.policy.models import LoadedModel, LoadPlan
from tests.standins.faults import Fault
from tests.standins.lmstudio import LMStudioStandIn

PLAN = LoadPlan(context=1024)
OPTIONS = GenerationOptions(first_token_deadline=2.0, token_deadline=2.0)
QUESTION = (Message(role=Role.USER, content="Tell me everything.", id=1),)
ABSENT = (Fault.NOT_INSTALLED, Fault.NOT_RUNNING, Fault.STARTS_SLOWLY)
LISTING = (
    Fault.WRONG_TOKEN,
    Fault.HANGS_AT_CONNECT,
    Fault.HANGS_AT_AUTH,
    Fault.HANGS_AT_LISTING,
    Fault.UNKNOWN_FIELDS,
    Fault.MALFORMED_ROWS,
)
LOADING = (Fault.HANGS_AT_LOAD, Fault.OUT_OF_MEMORY_AT_LOAD)
STREAMING = tuple(fault for fault in Fault if fault not in (*ABSENT, *LISTING, *LOADING))


async def load(backend: LMStudioBackend) -> LoadedModel:
    model = next(model for model in await backend.models() if model.key == KEY)
    return await backend.load(model, PLAN)


async def reply(backend: LMStudioBackend, instance: str, options: GenerationOptions = OPTIONS) -> list[GenerationEvent]:
    async with aclosing(backend.generate(instance, QUESTION, options)) as stream:
        return [event async for event in stream]


async def works(backend: LMStudioBackend) -> None:
    """It lists, loads and answers as if nothing had been."""
    loaded = await load(backend)
    assert loaded.instance in [entry.instance for entry in await backend.loaded()]
    *deltas, end = await reply(backend, loaded.instance)
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == REPLY
    assert isinstance(end, ReplyEnd)


async def meets(fault: Fault, work: Callable[[], Awaitable[object]]) -> None:
    """The row of the table holds: the class of the error, none other, and the time it takes."""
    row = FAILURES[fault]
    began = time.monotonic()
    if row.error is None:
        await work()
    else:
        with pytest.raises(row.error) as caught:
            await work()
        assert type(caught.value) is row.error
        assert "\n" not in str(caught.value)
    assert time.monotonic() - began < row.bound


async def nothing_is_left(standin: LMStudioStandIn, tasks: set[asyncio.Task[Any]]) -> None:
    """Tasks and sockets here, predictions, loads and instances there."""
    async with asyncio.timeout(20.0):
        while asyncio.all_tasks() - tasks:
            await asyncio.sleep(0.01)
        while standin.generating or standin.loading or standin.instances or sockets_to(standin.port):
            await asyncio.sleep(0.05)


def test_no_fault_is_left_out() -> None:
    assert set(FAILURES) == set(Fault)


@pytest.mark.parametrize("fault", [*LISTING, *LOADING, *STREAMING])
async def test_what_is_done_about(fault: Fault, standin: LMStudioStandIn, make_backend: MakeBackend) -> None:
    tasks = asyncio.all_tasks()
    # A connection is five sockets, each with certificates of its own to read: a while, on a machine that is shared.
    backend = make_backend(url=standin.host, connect_timeout=3.5 if fault is Fault.HANGS_AT_AUTH else 10.0)
    if fault in LISTING:
        standin.fault = fault
        await meets(fault, lambda: works(backend) if FAILURES[fault].error is None else backend.models())
    elif fault in LOADING:
        await backend.models()
        standin.fault = fault
        await meets(fault, lambda: load(backend))
        assert await backend.loaded() == []
    else:
        instance = (await load(backend)).instance
        standin.fault, standin.fault_times = fault, 1
        # Bytes are no tokens: what takes longer to arrive than a token may is silence.
        patient = replace(OPTIONS, token_deadline=20.0) if fault is Fault.HUGE_LINE else OPTIONS
        await meets(fault, lambda: reply(backend, instance, patient))
    standin.fault = None
    if fault is Fault.RESTARTS_MID_STREAM:
        await eventually_back(standin)
    if fault is Fault.HANGS_AT_LOAD:
        await eventually_free(standin)
    await works(backend)
    await backend.close()
    await nothing_is_left(standin, tasks)


async def eventually_back(standin: LMStudioStandIn) -> None:
    """A server that restarts listens again."""
    async with asyncio.timeout(20.0):
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", standin.port)
                writer.close()
                return await writer.wait_closed()
            await asyncio.sleep(0.01)


async def eventually_free(standin: LMStudioStandIn) -> None:
    """A load that was given up, and finished all the same, is found and unloaded."""
    async with asyncio.timeout(20.0):
        while standin.loading or standin.instances:
            await asyncio.sleep(0.01)


async def test_not_installed(make_backend: MakeBackend) -> None:
    backend = make_backend()
    await meets(Fault.NOT_INSTALLED, backend.models)
    assert await backend.loaded() == ()
    assert backend.note == ""


async def test_not_running(make_backend: MakeBackend, make_home: Callable[..., Home]) -> None:
    backend = make_backend(home=str(make_home().path), autostart_after=60)
    await meets(Fault.NOT_RUNNING, backend.models)


async def test_starts_slowly(make_backend: MakeBackend, make_home: Callable[..., Home]) -> None:
    tasks = asyncio.all_tasks()
    home = make_home(delay=1.0, arguments=("--reply", REPLY, "--model", KEY, "--fault", "STARTS_SLOWLY"))
    backend = make_backend(home=str(home.path), autostart_after=0)
    with pytest.raises(FAILURES[Fault.NOT_RUNNING].error or Exception):
        await backend.models()

    async def wanted() -> None:
        while True:
            try:
                return await works(backend)
            except Exception as error:
                if type(error) is not FAILURES[Fault.NOT_RUNNING].error:
                    raise
                await asyncio.sleep(0.1)

    await meets(Fault.STARTS_SLOWLY, wanted)
    await noted(backend, "started by Mai")
    await backend.close()
    assert home.calls == ["daemon up --json", "daemon down"]
    assert home.server is None
    assert asyncio.all_tasks() == tasks
