"""Every row of the table, played on the real engine: in its process, in its files, and on the wire to it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from embedded_engine import PLAN, MakeBackend, ask, profile_of, said
from failures_of_embedded import FAILURES
from test_embedded_backend import child_with

from mai_backends.embedded.backend import EmbeddedBackend
from mai_backends.embedded.process import WorkerProcess
from mai_core.plugin.interfaces import GenerationEvent
from mai_core.policy.messages import GenerationOptions, TextDelta
from mai_core.policy.models import LoadedModel, ModelProfile
from tests.standins.faults import Fault

pytestmark = pytest.mark.weights

PATIENT = GenerationOptions(temperature=0.0, seed=1, max_tokens=24, first_token_deadline=60.0, token_deadline=60.0)
IMPATIENT = {
    Fault.HANGS_AT_FIRST_TOKEN: replace(PATIENT, first_token_deadline=1.0),
    Fault.HANGS_MID_STREAM: replace(PATIENT, token_deadline=1.0),
}
LEFT_OUT = {Fault.WRONG_TOKEN, Fault.HANGS_AT_AUTH, Fault.HANGS_AT_CONNECT, Fault.HANGS_AT_LISTING}
NO_ENGINE = "raise ImportError('no engine for this machine')"
SLOW_ENGINE = """
import sys, time
for _ in range(5):
    time.sleep(1.0)
    print("still at it", file=sys.stderr, flush=True)
sys.path.remove({folder!r})
del sys.modules["xllamacpp"]
import xllamacpp
"""
MORE_THAN_THERE_IS = replace(PLAN, context=psutil.virtual_memory().total // 11_000)

AT_LOAD = (
    Fault.NOT_INSTALLED,
    Fault.NOT_RUNNING,
    Fault.STARTS_SLOWLY,
    Fault.HANGS_AT_LOAD,
    Fault.OUT_OF_MEMORY_AT_LOAD,
)
IN_THE_PROCESS = (
    Fault.HANGS_AT_FIRST_TOKEN,
    Fault.HANGS_MID_STREAM,
    Fault.RESTARTS_MID_STREAM,
    Fault.UNLOADS_MID_STREAM,
    Fault.OUT_OF_MEMORY_GENERATING,
)
ON_THE_WIRE = (Fault.DROPS_THE_SOCKET, Fault.INVALID_UTF8, Fault.HUGE_LINE)
IN_FILES = (Fault.MALFORMED_ROWS, Fault.UNKNOWN_FIELDS)


class Meddler:
    """Stands between Mai and a worker and passes everything on; ``fault`` is what it does after the first token."""

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self.upstream = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_worker, to_worker = await asyncio.open_connection("127.0.0.1", self.upstream)
        asking = asyncio.create_task(_pass_on(reader, to_worker))
        tokens = 0
        with suppress(ConnectionError):
            while data := await from_worker.read(2**16):
                tokens += b'"content":"' in data
                writer.write(data if tokens < 2 else self.spoilt(data))
                await writer.drain()
                if tokens > 1 and self.fault is Fault.DROPS_THE_SOCKET:
                    writer.transport.abort()
                if tokens > 1 and self.fault is Fault.HUGE_LINE:
                    await _flood(writer)
        asking.cancel()
        for end in (writer, to_worker):
            end.close()

    def spoilt(self, data: bytes) -> bytes:
        """As long as before, or the framing would break."""
        if self.fault is Fault.INVALID_UTF8:
            return re.sub(rb'(?<="content":")([^"\\])', b"\xff", data)
        if self.fault is Fault.UNKNOWN_FIELDS:
            return data.replace(b'"object"', b'"obj\xc3\xa9t"')
        return data


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(2**16):
        writer.write(data)


async def _flood(writer: asyncio.StreamWriter) -> None:
    """100 MB without a line end, as chunks of the HTTP response."""
    for _ in range(100):
        writer.write(b"100000\r\n" + b"x" * 2**20 + b"\r\n")
        await writer.drain()


@asynccontextmanager
async def meddled(patch: pytest.MonkeyPatch) -> AsyncIterator[Meddler]:
    """Workers that load from now on are reached through a meddler."""
    meddler = Meddler()
    start: Callable[..., Awaitable[str]] = WorkerProcess.start
    async with await asyncio.start_server(meddler.serve, "127.0.0.1", 0) as server:

        async def started(self: WorkerProcess, *arguments: Any, **named: Any) -> str:
            meddler.upstream = int((await start(self, *arguments, **named)).rsplit(":", 1)[1])
            return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

        patch.setattr(WorkerProcess, "start", started)
        yield meddler


async def meets(fault: Fault, work: Awaitable[object]) -> None:
    """The row of the table holds: the class of the error, none other, and the time it takes."""
    row = FAILURES[fault]
    began = time.monotonic()
    if row.error is None:
        await work
    else:
        with pytest.raises(row.error) as caught:
            await work
        assert type(caught.value) is row.error
        assert "\n" not in str(caught.value)
    assert time.monotonic() - began < row.bound


async def works(backend: EmbeddedBackend, profile: ModelProfile) -> None:
    """It loads, answers and unloads as if nothing had been."""
    loaded = await backend.load(profile, PLAN)
    assert (await ask(backend, loaded.instance, "What is the capital of France?", max_tokens=8)).text
    await backend.unload(loaded.instance)


async def reply(
    backend: EmbeddedBackend,
    loaded: LoadedModel,
    strike: Callable[[], Awaitable[None]] | None = None,
    options: GenerationOptions = PATIENT,
) -> list[GenerationEvent]:
    """A reply, which is struck after its first piece."""
    collected: list[GenerationEvent] = []
    async with aclosing(backend.generate(loaded.instance, said("Tell a long story."), options)) as events:
        async for event in events:
            collected.append(event)
            if len(collected) == 1 and strike is not None:
                await strike()
    return collected


async def nothing_is_left(backend: EmbeddedBackend, tasks: set[asyncio.Task[Any]]) -> None:
    """No process, no task."""
    await backend.close()
    assert not psutil.Process().children()
    async with asyncio.timeout(20.0):
        while asyncio.all_tasks() - tasks:
            await asyncio.sleep(0.01)


def test_no_fault_is_left_out() -> None:
    assert set(FAILURES) == set(Fault) - LEFT_OUT
    assert set(FAILURES) == {*AT_LOAD, *IN_THE_PROCESS, *ON_THE_WIRE, *IN_FILES}


@pytest.mark.parametrize("fault", AT_LOAD)
async def test_at_load(fault: Fault, make_backend: MakeBackend, profile: ModelProfile, tmp_path: Path) -> None:
    tasks, backend = asyncio.all_tasks(), make_backend(load_timeout=3.0)
    with pytest.MonkeyPatch.context() as patch:
        if fault is Fault.NOT_RUNNING:
            patch.setattr(sys, "executable", str(tmp_path / "no-python"))
        elif fault in (Fault.NOT_INSTALLED, Fault.STARTS_SLOWLY):
            source = NO_ENGINE if fault is Fault.NOT_INSTALLED else SLOW_ENGINE.format(folder=str(tmp_path))
            (tmp_path / "xllamacpp.py").write_text(source)
            patch.setenv("PYTHONPATH", str(tmp_path))
        plan = MORE_THAN_THERE_IS if fault is Fault.OUT_OF_MEMORY_AT_LOAD else PLAN
        loading = asyncio.ensure_future(backend.load(profile, plan))
        if fault is Fault.HANGS_AT_LOAD:
            (await child_with(2**24)).suspend()
        await meets(fault, loading)
    assert len(await backend.loaded()) == (FAILURES[fault].error is None)
    await works(backend, profile)
    await nothing_is_left(backend, tasks)


@pytest.mark.parametrize("fault", IN_THE_PROCESS)
async def test_in_the_process(fault: Fault, make_backend: MakeBackend, profile: ModelProfile) -> None:
    tasks, backend = asyncio.all_tasks(), make_backend()
    loaded = await backend.load(profile, PLAN)
    worker = psutil.Process(loaded.pid)

    async def strike() -> None:
        if fault is Fault.UNLOADS_MID_STREAM:
            await backend.unload(loaded.instance)
        elif fault is Fault.HANGS_MID_STREAM:
            worker.suspend()
        else:
            worker.send_signal(signal.SIGSEGV if fault is Fault.RESTARTS_MID_STREAM else signal.SIGKILL)

    if fault is Fault.HANGS_AT_FIRST_TOKEN:
        worker.suspend()
        await meets(fault, reply(backend, loaded, options=IMPATIENT[fault]))
    else:
        await meets(fault, reply(backend, loaded, strike, IMPATIENT.get(fault, PATIENT)))
    await backend.unload(loaded.instance)
    assert await backend.loaded() == []
    await works(backend, profile)
    await nothing_is_left(backend, tasks)


@pytest.mark.parametrize("fault", ON_THE_WIRE)
async def test_on_the_wire(fault: Fault, make_backend: MakeBackend, profile: ModelProfile) -> None:
    tasks, backend = asyncio.all_tasks(), make_backend()
    with pytest.MonkeyPatch.context() as patch:
        async with meddled(patch) as meddler:
            loaded = await backend.load(profile, PLAN)
            meddler.fault = fault
            answering = asyncio.ensure_future(reply(backend, loaded))
            await meets(fault, answering)
            if fault is Fault.INVALID_UTF8:
                assert "\ufffd" in text_of(answering.result())
            meddler.fault = None
            assert text_of(await reply(backend, loaded)), "the same process is of no use any more"
            await backend.unload(loaded.instance)
    await works(backend, profile)
    await nothing_is_left(backend, tasks)


def text_of(events: list[GenerationEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_malformed_rows(make_backend: MakeBackend, starter_gguf: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "good.gguf").symlink_to(starter_gguf)
    with starter_gguf.open("rb") as file:
        whole = file.read(2**21)
    for name, content in {"empty": b"", "magic": whole[:4], "cut": whole, "noise": os.urandom(2**12)}.items():
        (folder / f"{name}.gguf").write_bytes(content)
    tasks, backend = asyncio.all_tasks(), make_backend(models_dirs=[str(folder)])
    listing = asyncio.ensure_future(backend.models())
    await meets(Fault.MALFORMED_ROWS, listing)
    faults = {model.key: model.fault for model in listing.result()}
    assert faults.pop("good") == ""
    assert all(faults.values())
    assert {"empty", "cut"} <= faults.keys()
    await works(backend, next(model for model in listing.result() if model.key == "good"))
    await nothing_is_left(backend, tasks)


async def test_unknown_fields(make_backend: MakeBackend, starter_gguf: Path, tmp_path: Path) -> None:
    """In the header of a model, and in every piece of a reply."""
    copy = tmp_path / "odd.gguf"
    shutil.copy(starter_gguf, copy)
    with copy.open("r+b") as file:
        place = file.read(2**14).index(b"general.license")
        file.seek(place)
        file.write(b"general.liberty")
    tasks, backend = asyncio.all_tasks(), make_backend(models_dirs=[str(tmp_path)])
    with pytest.MonkeyPatch.context() as patch:
        async with meddled(patch) as meddler:
            meddler.fault = Fault.UNKNOWN_FIELDS

            async def everything() -> None:
                [model] = await backend.models()
                assert not model.fault
                loaded = await backend.load(model, PLAN)
                assert text_of(await reply(backend, loaded))

            await meets(Fault.UNKNOWN_FIELDS, everything())
    await works(backend, profile_of(copy))
    await nothing_is_left(backend, tasks)


@pytest.mark.parametrize("noise", ["hello", "x" * 300_000, "{", "[1]"], ids=["a line", "a huge line", "brace", "list"])
async def test_what_python_itself_prints_is_no_answer(
    noise: str, make_backend: MakeBackend, profile: ModelProfile, tmp_path: Path
) -> None:
    """Start-up files of the person's may print before the worker claims its output."""
    (tmp_path / "sitecustomize.py").write_text(f"print({noise!r}, flush=True)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        await works(make_backend(), profile)
