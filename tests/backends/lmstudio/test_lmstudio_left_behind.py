"""What Mai loaded stays Mai's through silence and broken connections, and is unloaded in the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from lmstudio_world import KEY, MakeBackend

from mai_backends.lmstudio import discovery, engine, loading
from mai_backends.lmstudio.backend import LMStudioBackend
from mai_core.errors import BackendUnavailable
from mai_core.policy.models import LoadedModel, LoadPlan
from tests.standins.lmstudio import LMStudioStandIn

PLAN = LoadPlan(context=2048)


async def load(backend: LMStudioBackend) -> LoadedModel:
    (model,) = await backend.models()
    return await backend.load(model, PLAN)


async def test_what_a_frozen_server_held_is_still_ours_when_it_goes_on(
    make_backend: MakeBackend, standin: LMStudioStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "PORTS", (standin.port,))
    monkeypatch.setattr(engine, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(engine, "LOADED_SECONDS", 1.0)
    backend = make_backend(autostart=False)
    mine = await load(backend)
    standin.freeze(12.0)
    for asked in (backend.loaded, backend.loaded, lambda: backend.unload(mine.instance)):
        with pytest.raises(BackendUnavailable):
            await asked()
    listed: Sequence[LoadedModel] = ()
    async with asyncio.timeout(60):
        while not listed:
            await asyncio.sleep(0.1)
            with suppress(BackendUnavailable):
                listed = await backend.loaded()
    assert [(one.instance, one.owned) for one in listed] == [(mine.instance, True)]
    await backend.close()
    assert standin.instances == {}


async def test_closing_unloads_over_a_new_connection(make_backend: MakeBackend, standin: LMStudioStandIn) -> None:
    backend = make_backend(url=standin.host)
    await load(backend)
    assert backend._engine is not None
    async with backend._engine._connection.link() as link:
        backend._engine._connection.retire(link)
    await backend.close()
    assert standin.instances == {}


async def test_a_load_given_up_while_its_window_is_read_back(
    make_backend: MakeBackend, standin: LMStudioStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = asyncio.Event()

    async def silence(*_: Any) -> int:
        reading.set()
        await asyncio.sleep(60)
        return 0

    monkeypatch.setattr(loading.Loader, "_context", silence)
    backend = make_backend(url=standin.host)
    task = asyncio.create_task(load(backend))
    await reading.wait()
    assert standin.instances
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert standin.instances == {}


async def test_a_silent_server_is_not_taken_for_an_old_one(
    make_backend: MakeBackend, standin: LMStudioStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = make_backend(url=standin.host, load_timeout=30.0)
    (model,) = await backend.models()
    await backend.load(model, PLAN)
    with monkeypatch.context() as hurried:
        hurried.setattr(loading, "ESTIMATE_SECONDS", 0.2)
        hurried.setattr(loading, "ALIVE_SECONDS", 0.2)
        standin.freeze(12.0)
        began = time.monotonic()
        with pytest.raises(BackendUnavailable):
            await backend.load(model, PLAN)
        assert time.monotonic() - began < 9.0
    await asyncio.sleep(12.0)
    await backend.load(model, PLAN)
    assert [name for name, _ in standin.calls].count("estimateModelUsage") == 3


async def test_counting_that_failed_goes_on_for_nobody(make_backend: MakeBackend, standin: LMStudioStandIn) -> None:
    backend = make_backend(url=standin.host, rpc_timeout=1.5)
    mine = await load(backend)
    standin.freeze(8.0)
    with pytest.raises(BackendUnavailable):
        await backend.count_tokens(mine.instance, [f"text {number}" for number in range(60)])
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if "Engine.count_tokens" in repr(task.get_coro())]
    await asyncio.sleep(6.5)


async def test_mapped_weights_are_told_apart_from_memory(make_backend: MakeBackend, standin: LMStudioStandIn) -> None:
    """What evicting a model gives back is its private memory: its mapped weights count as available already."""
    takes = (await load(make_backend(url=standin.host))).footprint
    model = standin.models[KEY]
    assert takes.total == model.memory(PLAN.context)
    assert takes.file_backed == model.size_bytes


@pytest.mark.parametrize(
    ("total", "gpu", "expected"),
    [(1000, 0, (200, 800, 0)), (1000, 500, (100, 400, 500)), (1000, 1000, (0, 0, 1000)), (600, 0, (0, 600, 0))],
)
def test_the_share_of_the_weights_that_is_not_on_a_gpu(total: int, gpu: int, expected: tuple[int, int, int]) -> None:
    takes = loading.Estimate(total, gpu).footprint(800)
    assert (takes.anonymous, takes.file_backed, takes.devices.get("gpu", 0)) == expected
