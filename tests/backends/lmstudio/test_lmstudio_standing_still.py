"""Servers that stand still: told apart from none, from one that answered before, and from one that is busy."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable

import pytest
from lmstudio_home import Home, free_port
from lmstudio_world import KEY, MakeBackend, server_process

from mai_backends.lmstudio import discovery
from mai_core.errors import BackendUnavailable, EngineAbsent, ModelLoadError
from mai_core.policy.models import LoadPlan
from tests.standins.apart import freeze
from tests.standins.faults import Fault
from tests.standins.lmstudio import LMStudioStandIn, StandInModel

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no process can be stopped there")

PLAN = LoadPlan(context=1024)


async def test_one_that_is_only_looked_for(make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """No fault, but not nothing either: what to do about it is told, and told otherwise once it has answered."""
    with server_process() as (address, process):
        monkeypatch.setattr(discovery, "PORTS", (int(address.rpartition(":")[2]),))
        backend = make_backend()
        freeze(process)
        with pytest.raises(EngineAbsent, match=rf"^something listens at {address} but does not answer within 3 s"):
            await backend.models()
        assert list(await backend.loaded()) == []
        process.send_signal(signal.SIGCONT)
        (model,) = await backend.models()
        freeze(process)
        for asking in (backend.models, backend.models, lambda: backend.load(model, PLAN)):
            with pytest.raises(BackendUnavailable) as caught:
                await asking()
            assert type(caught.value) is BackendUnavailable, "neither absent nor gone"
            assert caught.value.remedy == "restart LM Studio"
        assert caught.value.message == f"LM Studio stopped answering at {address}: nothing came within 3 s"
        process.send_signal(signal.SIGCONT)
        assert await backend.models()


async def test_one_that_was_configured(make_backend: MakeBackend) -> None:
    with server_process() as (address, process):
        freeze(process)
        with pytest.raises(BackendUnavailable, match=r"something listens at .*; restart LM Studio") as caught:
            await make_backend(url=address).models()
        assert type(caught.value) is BackendUnavailable


async def test_nothing_is_started_beside_it(
    make_backend: MakeBackend, make_home: Callable[..., Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home()
    with server_process() as (address, process):
        monkeypatch.setattr(discovery, "PORTS", (int(address.rpartition(":")[2]),))
        backend = make_backend(home=str(home.path), autostart_after=0.0)
        freeze(process)
        with pytest.raises(EngineAbsent, match="something listens"):
            await backend.models()
        assert "lmstudio-start" not in [task.get_name() for task in asyncio.all_tasks()]
        assert (home.calls, backend.note) == ([], "")


async def test_a_listener_that_is_not_there_any_more(make_backend: MakeBackend) -> None:
    with server_process() as (address, process):
        backend = make_backend(url=address)
        await backend.models()
        process.kill()
        process.wait()
        with pytest.raises(BackendUnavailable, match=f"LM Studio stopped answering at {address}; start its server"):
            await backend.models()


async def test_a_load_is_given_up_soon_when_the_server_stands_still(make_backend: MakeBackend) -> None:
    with server_process("--load-seconds", "40") as (address, process):
        backend = make_backend(url=address, load_timeout=600.0)
        (model,) = await backend.models()
        began_loading = asyncio.Event()
        load = asyncio.create_task(backend.load(model, PLAN, progress=lambda _: began_loading.set()))
        await began_loading.wait()
        await asyncio.sleep(1.0)
        freeze(process)
        began = time.monotonic()
        with pytest.raises(BackendUnavailable, match=f"at {address} stopped answering while it loaded {KEY}") as caught:
            await load
        assert type(caught.value) is BackendUnavailable
        assert caught.value.remedy == "restart LM Studio"
        assert time.monotonic() - began < 30.0, "waited for load_timeout"


async def test_a_load_that_is_merely_slow_keeps_its_time(make_backend: MakeBackend) -> None:
    """No word for longer than it is waited for one, and the greeting comes: that is a server at work."""
    with LMStudioStandIn([StandInModel(key=KEY, load_seconds=12.0)]) as standin:
        backend = make_backend(url=standin.host, load_timeout=600.0)
        (model,) = await backend.models()
        assert (await backend.load(model, PLAN)).key == KEY
        assert standin.greetings >= 3, "nobody asked whether it lives"


async def test_a_load_without_progress_on_a_server_that_lives_costs_its_time(
    make_backend: MakeBackend, standin: LMStudioStandIn
) -> None:
    backend = make_backend(url=standin.host, load_timeout=9.0)
    (model,) = await backend.models()
    standin.fault = Fault.HANGS_AT_LOAD
    began = time.monotonic()
    with pytest.raises(ModelLoadError, match="no progress for 9 s"):
        await backend.load(model, PLAN)
    assert time.monotonic() - began >= 9.0


async def test_where_nobody_listens_nothing_is_said_to(
    make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "PORTS", (free_port(),))
    with pytest.raises(EngineAbsent, match=r"^LM Studio is not installed, or not running$"):
        await make_backend().models()
