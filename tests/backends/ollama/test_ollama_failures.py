"""Every row of the table of failures, played on the real adapter against the stand-in."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from failures_of_ollama import FAILURES
from ollama_talk import QUESTION, SHORT, backend_for, collect, load, settled

from mai_backends.ollama.backend import OllamaBackend
from mai_core.errors import BackendUnavailable, EngineAbsent
from mai_core.policy.messages import GenerationOptions
from tests.standins.faults import Fault, Row
from tests.standins.ollama import OllamaStandIn

IMPATIENT = GenerationOptions(max_tokens=30, first_token_deadline=2.0, token_deadline=2.0)
OPTIONS = {"listing_timeout": 2.5, "load_timeout": 2.5}


async def listing(backend: OllamaBackend) -> None:
    assert await backend.models()


async def loading(backend: OllamaBackend) -> None:
    await load(backend)


async def replying(backend: OllamaBackend) -> None:
    instance = (await load(backend)).instance
    assert (await collect(backend, instance, QUESTION, IMPATIENT))[0]


async def everything(backend: OllamaBackend) -> None:
    await listing(backend)
    await replying(backend)
    assert [one.key for one in await backend.loaded() if one.owned] == ["llama3.2:latest"]


Work = Callable[[OllamaBackend], Awaitable[None]]
WORK: dict[Fault, Work] = {
    **dict.fromkeys((Fault.NOT_RUNNING, Fault.STARTS_SLOWLY, Fault.WRONG_TOKEN), listing),
    **dict.fromkeys((Fault.HANGS_AT_CONNECT, Fault.HANGS_AT_LISTING), listing),
    **dict.fromkeys((Fault.HANGS_AT_LOAD, Fault.OUT_OF_MEMORY_AT_LOAD), loading),
    **dict.fromkeys(
        (
            Fault.HANGS_AT_FIRST_TOKEN,
            Fault.HANGS_MID_STREAM,
            Fault.DROPS_THE_SOCKET,
            Fault.RESTARTS_MID_STREAM,
            Fault.UNLOADS_MID_STREAM,
            Fault.OUT_OF_MEMORY_GENERATING,
            Fault.HUGE_LINE,
        ),
        replying,
    ),
    **dict.fromkeys((Fault.UNKNOWN_FIELDS, Fault.MALFORMED_ROWS, Fault.INVALID_UTF8), everything),
}


def test_the_table_is_whole() -> None:
    assert set(FAILURES) == set(Fault) - {Fault.HANGS_AT_AUTH}
    assert set(WORK) == set(FAILURES) - {Fault.NOT_INSTALLED}


@pytest.mark.parametrize("fault", WORK, ids=lambda fault: fault.name.lower())
async def test_a_failure_is_what_the_table_says(fault: Fault, server: OllamaStandIn, tmp_path: Path) -> None:
    row = FAILURES[fault]
    for model in server.models.values():
        model.token_seconds = 0.001
    tasks = asyncio.all_tasks()
    async with backend_for(server, tmp_path, **OPTIONS) as backend:
        _strike(server, fault)
        before = time.perf_counter()
        await _play(backend, WORK[fault], row)
        assert time.perf_counter() - before < row.bound
        assert await settled(lambda: server.generating == server.loading == 0), "the server still works"
        await _heal(server, fault)
        await everything(backend)
    assert await settled(lambda: server.instances == [] and server.connections == 0), "something is left behind"
    assert asyncio.all_tasks() == tasks


async def _play(backend: OllamaBackend, work: Work, row: Row) -> None:
    if row.error is None:
        await work(backend)
        return
    with pytest.raises(row.error) as caught:
        await work(backend)
    assert type(caught.value) is row.error
    assert len(str(caught.value).splitlines()) == 1


def _strike(server: OllamaStandIn, fault: Fault) -> None:
    if fault in (Fault.NOT_RUNNING, Fault.STARTS_SLOWLY):
        server.stop()
    server.fault = fault
    if fault is Fault.STARTS_SLOWLY:
        server.starts_after = 4.0
        server.start()


async def _heal(server: OllamaStandIn, fault: Fault) -> None:
    server.fault = None
    if fault is Fault.NOT_RUNNING:
        await asyncio.to_thread(server.start)
    if fault in (Fault.STARTS_SLOWLY, Fault.RESTARTS_MID_STREAM):
        assert await settled(lambda: _listens(server))


def _listens(server: OllamaStandIn) -> bool:
    try:
        socket.create_connection(("127.0.0.1", server.port)).close()
    except ConnectionRefusedError:
        return False
    return True


async def test_a_listing_with_bytes_that_are_no_text(server: OllamaStandIn, tmp_path: Path) -> None:
    server.fault, server.spoils = Fault.INVALID_UTF8, "tags"
    async with backend_for(server, tmp_path) as backend:
        assert "llama3.2:latest" in {profile.key for profile in await backend.models()}


async def test_a_listing_of_100_mb(server: OllamaStandIn, tmp_path: Path) -> None:
    server.fault, server.spoils = Fault.HUGE_LINE, "tags"
    async with backend_for(server, tmp_path) as backend:
        with pytest.raises(BackendUnavailable):
            await backend.models()
        server.fault = None
        assert await backend.models()


async def test_a_huge_line_is_not_kept(server: OllamaStandIn, tmp_path: Path) -> None:
    server.fault = Fault.HUGE_LINE
    async with backend_for(server, tmp_path) as backend:
        await load(backend)
        gc.collect()
        tracemalloc.start()
        try:
            with pytest.raises(FAILURES[Fault.HUGE_LINE].error or AssertionError):
                await replying(backend)
            # The stand-in's thread holds a few pieces of 1 MB, too.
            assert tracemalloc.get_traced_memory()[1] < 48 * 2**20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(("on_path", "words"), [(False, "is not installed"), (True, "installed but not running")])
async def test_whoever_never_configured_it_hears_of_an_absent_engine(
    on_path: bool, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if on_path:
        (tmp_path / "ollama").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with OllamaStandIn() as server:
        port = server.port
    monkeypatch.setenv("OLLAMA_HOST", f"0.0.0.0:{port}")
    async with backend_for(None, tmp_path) as backend:
        before = time.perf_counter()
        with pytest.raises(EngineAbsent, match=words):
            await backend.models()
        assert time.perf_counter() - before < FAILURES[Fault.NOT_INSTALLED].bound
        with OllamaStandIn(port=port):
            await everything(backend)
        with pytest.raises(BackendUnavailable) as gone:
            await backend.models()
        assert type(gone.value) is BackendUnavailable, "who was there and is gone is a fault"


async def test_a_frozen_server_delays_nothing_beyond_its_deadlines(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path, load_timeout=20.0) as backend:
        await load(backend)
        server.freeze(10.0)
        await asyncio.sleep(0.05)
        before = time.perf_counter()
        with pytest.raises(BackendUnavailable):
            await backend.loaded()
        assert time.perf_counter() - before < 6.0
        assert await settled(lambda: time.perf_counter() - before > 10.2)
        assert [one.key for one in await backend.loaded()] == ["llama3.2:latest"]
        assert (await collect(backend, (await backend.loaded())[0].instance, QUESTION, SHORT))[0]
