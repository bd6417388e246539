"""What others loaded where Mai's own model was is theirs, however much it looks like Mai's."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ollama_talk import QUESTION, SHORT, backend_for, collect, load, settled

from mai_backends.ollama.backend import OllamaBackend
from mai_backends.ollama.client.rows import Running
from mai_backends.ollama.residency import Residency
from mai_core.policy.messages import ReplyEnd
from tests.standins.ollama import OllamaStandIn, StandInModel

KEY = "llama3.2:latest"
BRIEF = 2.0
"""Seconds: what is loaded is listed before they are over, however busy the machine is."""
TODAY = datetime(2026, 11, 22, tzinfo=UTC)
ROW = Running(name=KEY, digest="d", size=1000, on_devices=0, context=2048, expires_at=None)


async def somebody_loads_the_same(server: OllamaStandIn, *, keep_alive: float = 600.0) -> None:
    """With the window Mai's had, once Ollama has unloaded that."""

    await _until_unloaded(server)
    body = {"model": KEY, "messages": [], "options": {"num_ctx": 2048}, "keep_alive": keep_alive}
    async with httpx.AsyncClient(trust_env=False) as theirs:
        (await theirs.post(f"{server.url}/api/chat", json=body)).raise_for_status()
    assert server.instances == [KEY]


async def test_what_others_loaded_after_ours_expired_is_left_to_them_at_the_end(
    server: OllamaStandIn, tmp_path: Path
) -> None:
    async with backend_for(server, tmp_path, keep_alive=BRIEF) as backend:
        assert (await load(backend)).owned
        await somebody_loads_the_same(server)
    assert server.instances == [KEY]


async def test_it_is_not_unloaded_when_asked_either(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path, keep_alive=BRIEF) as backend:
        loaded = await load(backend)
        await somebody_loads_the_same(server)
        await backend.unload(loaded.instance)
        assert server.instances == [KEY]


async def test_what_others_loaded_with_another_window_is_left_to_them(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path) as backend:
        await load(backend)
        body = {"model": KEY, "messages": [], "options": {"num_ctx": 4096}}
        async with httpx.AsyncClient(trust_env=False) as theirs:
            await theirs.post(f"{server.url}/api/chat", json=body)
    assert server.instances == [KEY]


async def test_it_is_listed_as_theirs_and_goes_on_answering(server: OllamaStandIn, tmp_path: Path) -> None:
    """As it is: neither loaded anew, nor kept for longer than they wanted."""
    async with backend_for(server, tmp_path, keep_alive=BRIEF) as backend:
        loaded = await load(backend)
        await somebody_loads_the_same(server)
        text, *_ = await collect(backend, loaded.instance, QUESTION, SHORT)
        assert text
        assert [(one.owned, one.key) for one in await backend.loaded()] == [(False, KEY)]
        assert len(server.loads) == 2, "Mai's and theirs"
        assert server.runners[server.models[KEY].weights].keep_alive == 600.0
    assert server.instances == [KEY]


async def test_a_shorter_stay_than_ours_is_somebody_elses(server: OllamaStandIn, tmp_path: Path) -> None:
    """Unloaded by hand and loaded again, all within our time: only its end tells."""
    async with backend_for(server, tmp_path, keep_alive=3600) as backend:
        await load(backend)
        server.kill_runner(KEY)
        await somebody_loads_the_same(server, keep_alive=300)
        assert [one.owned for one in await backend.loaded()] == [False]
    assert server.instances == [KEY]


async def test_other_weights_under_the_name_are_somebody_elses(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path, keep_alive=300) as backend:
        await load(backend)
        server.kill_runner(KEY)
        server.models[KEY] = StandInModel(name=KEY, weights="0" * 64)  # pulled anew
        await somebody_loads_the_same(server, keep_alive=3600)
        assert [one.owned for one in await backend.loaded()] == [False]
    assert server.instances == [KEY]


async def test_what_another_mai_loaded_anew_is_its_own(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path) as theirs:
        async with backend_for(server, tmp_path) as mine:
            await load(mine)
            borrowed = await load(theirs)
            assert not borrowed.owned
            await collect(theirs, borrowed.instance)
            assert len(server.loads) == 2
        assert server.instances == [KEY]


async def test_use_keeps_it_ours(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path, keep_alive=300) as backend:
        loaded = await load(backend)
        for _ in range(3):
            await collect(backend, loaded.instance, QUESTION, SHORT)
            assert [(one.owned, one.instance) for one in await backend.loaded()] == [(True, loaded.instance)]
    assert server.instances == []


async def test_a_reply_longer_than_its_stay_keeps_it_ours(server: OllamaStandIn, tmp_path: Path) -> None:
    server.models[KEY].token_seconds = 0.3
    async with backend_for(server, tmp_path, keep_alive=BRIEF) as backend:
        loaded = await load(backend)
        async for event in backend.generate(loaded.instance, QUESTION, replace(SHORT, max_tokens=10)):
            if isinstance(event, ReplyEnd):
                assert all(one.owned for one in await backend.loaded())
        # On a slow machine it is gone by now, and never somebody else's.
        assert all(one.owned for one in await backend.loaded())
        await _until_unloaded(server)
        assert await backend.loaded() == []


async def _until_unloaded(server: OllamaStandIn) -> None:
    def gone() -> bool:
        server.sweep()
        return server.instances == []

    assert await settled(gone)


async def test_a_server_that_says_nothing_is_still_told_to_unload(
    server: OllamaStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with backend_for(server, tmp_path) as backend:
        loaded = await load(backend)
        silent = OllamaBackend._running

        async def late(self: OllamaBackend, seconds: float | None = None) -> list[Running]:
            server.ps_seconds = 60.0
            try:
                return await silent(self, 0.2)
            finally:
                server.ps_seconds = 0.0

        monkeypatch.setattr(OllamaBackend, "_running", late)
        await backend.unload(loaded.instance)
        assert server.instances == []


def row(seconds: float, **fields: object) -> Running:
    """Listed at second 0 of the clock, to end so many later."""
    return replace(ROW, expires_at=TODAY + timedelta(seconds=seconds), **fields)  # type: ignore[arg-type]


def goes_on(residency: Residency, shown: Running, at: float) -> bool:
    return residency.goes_on(shown, asked=at, now=at, today=TODAY + timedelta(seconds=at))


@given(keep_alive=st.floats(1, 1e5), uses=st.lists(st.floats(0, 0.99), max_size=8))
def test_whatever_is_used_in_time_stays_ours(keep_alive: float, uses: list[float]) -> None:
    """By Mai or by others, who keep it for no shorter."""
    at = 0.0
    residency = Residency(row(keep_alive), keep_alive=keep_alive, now=at)
    for share in uses:
        at += share * keep_alive
        residency.used(at)
        assert goes_on(residency, row(at + keep_alive), at)


@given(keep_alive=st.floats(1, 1e5), late=st.floats(0.1, 1e6), theirs=st.floats(0, 1e6))
def test_whatever_is_there_beyond_its_time_is_not_ours(keep_alive: float, late: float, theirs: float) -> None:
    residency = Residency(row(keep_alive), keep_alive=keep_alive, now=0.0)
    at = keep_alive + late
    assert not goes_on(residency, row(at + theirs), at)


def test_others_who_are_seen_to_prolong_it_keep_it_ours() -> None:
    residency = Residency(row(100), keep_alive=100, now=0.0)
    assert goes_on(residency, row(190), 90)
    assert goes_on(residency, row(280), 180)
    assert not goes_on(residency, row(400), 290)


def test_a_wrong_clock_elsewhere_prolongs_nothing_for_ever() -> None:
    residency = Residency(row(100 + 9999), keep_alive=100, now=0.0)
    assert goes_on(residency, row(100 + 9999), 50)
    assert not goes_on(residency, row(400 + 9999), 151)


@pytest.mark.parametrize(
    ("shown", "ours"),
    [
        (row(3600), True),
        (row(3599.5), True),
        (row(3590), False),
        (row(9999), True),
        (replace(row(3600), digest="e"), False),
        (replace(row(3600), digest=""), True),
        (replace(row(3600), size=1040), True),
        (replace(row(3600), size=1500), False),
        (replace(row(3600), on_devices=900), False),
        (ROW, True),
    ],
)
def test_what_tells_stays_apart(shown: Running, ours: bool) -> None:
    assert goes_on(Residency(row(3600), keep_alive=3600, now=0.0), shown, 10) is ours


def test_for_ever_ends_when_somebody_says_when() -> None:
    residency = Residency(replace(ROW, expires_at=TODAY + timedelta(days=365 * 200)), keep_alive=-1, now=0.0)
    assert goes_on(residency, replace(ROW, expires_at=TODAY + timedelta(days=365 * 200)), 1e7)
    assert not goes_on(residency, row(2e7), 1e7 + 1)


def test_an_older_row_that_comes_late_says_nothing() -> None:
    residency = Residency(row(100), keep_alive=100, now=0.0)
    assert goes_on(residency, row(190), 90)
    assert residency.goes_on(row(100), asked=80, now=95, today=TODAY)
    assert goes_on(residency, row(190), 96)
