"""Backends that know of no LM Studio but the one of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from lmstudio_home import Home
from lmstudio_world import KEY, REPLY, MakeBackend

from mai_backends.lmstudio import discovery, engine, loading
from mai_backends.lmstudio.backend import LMStudioBackend
from mai_core.plugin.interfaces import BackendContext
from tests.standins.lmstudio import LMStudioStandIn, StandInModel


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No port of this machine is looked at, and no token of the person's is used."""
    monkeypatch.setattr(discovery, "PORTS", ())
    for name in ("LM_API_TOKEN", "LMSTUDIO_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines that run tests are shared: who answers at all is late now and then, and no test is to fail for that."""
    assert discovery.find.__kwdefaults__ is not None
    monkeypatch.setitem(discovery.find.__kwdefaults__, "seconds", 3.0)
    monkeypatch.setattr(discovery, "SEARCH_SECONDS", 3.0)
    monkeypatch.setattr(engine, "LOADED_SECONDS", 3.0)
    monkeypatch.setattr(engine, "LOADED_WITH_CONNECTING_SECONDS", 10.0)
    monkeypatch.setattr(loading, "ALIVE_SECONDS", 10.0)
    monkeypatch.setattr(loading, "STOP_SECONDS", 5.0)


@pytest.fixture
def standin() -> Iterator[LMStudioStandIn]:
    """A running server with one model; nothing it was sent may be against the protocol."""
    with LMStudioStandIn([StandInModel(key=KEY, reply=REPLY, token_seconds=0.002)]) as server:
        yield server
        assert server.violations == []


@pytest_asyncio.fixture
async def make_backend(tmp_path: Path) -> AsyncIterator[MakeBackend]:
    """Backends with short deadlines and their folders below the test's; closed after the test."""
    made: list[LMStudioBackend] = []

    def make(**options: Any) -> LMStudioBackend:
        given = {
            "home": str(tmp_path / "no-lmstudio"),
            "connect_timeout": 10.0,
            "rpc_timeout": 2.0,
            "start_wait": 60.0,
            "load_timeout": 2.5,
            **options,
        }
        folders = {name: tmp_path / name for name in ("data_dir", "cache_dir", "state_dir")}
        made.append(LMStudioBackend(BackendContext(name="mine", options=given, **folders)))
        return made[-1]

    yield make
    for backend in made:
        await backend.close()


@pytest.fixture
def make_home(tmp_path: Path) -> Iterator[Callable[..., Home]]:
    """Folders of LM Studio; servers started from them are ended after the test."""
    made: list[Home] = []

    def make(**plan: Any) -> Home:
        made.append(Home(tmp_path, **plan))
        return made[-1]

    yield make
    for home in made:
        home.clean()
