"""What is in memory is asked anew each time, and a backend that is slow to say slows nobody."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from mai_core.errors import BackendUnavailable, EngineAbsent
from mai_core.policy.models import LoadedModel, LoadPlan
from mai_core.runtime import residents as module
from mai_core.runtime.residents import Residents
from mai_core.testing import FakeBackend, FakeModel


class Slow(FakeBackend):
    """Answers when it is let."""

    let: asyncio.Event
    asked = 0

    async def loaded(self) -> Sequence[LoadedModel]:
        self.asked += 1
        await self.let.wait()
        return await super().loaded()


def slow() -> Slow:
    backend = Slow.of(FakeModel.named("s"), name="slow")
    assert isinstance(backend, Slow)
    backend.let = asyncio.Event()
    return backend


async def load(backend: FakeBackend) -> LoadedModel:
    [model] = await backend.models()
    return await backend.load(model, LoadPlan(context=1024))


async def test_who_is_late_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.5)
    late, fine = slow(), FakeBackend.of(FakeModel.named("f"), name="fine")
    mine, theirs = await load(fine), await load(late)
    residents = Residents({"slow": late, "fine": fine})
    assert await residents.all() == (mine,)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 60.0)
    async with asyncio.timeout(10):
        for _ in range(20):
            assert await residents.all() == (mine,)
    assert late.asked == 1
    late.let.set()
    async with asyncio.timeout(5):
        while theirs not in await residents.all():
            await asyncio.sleep(0.001)
    await residents.close()


async def test_what_was_done_here_is_known_though_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)
    late = slow()
    loaded = await load(late)
    residents = Residents({"slow": late})
    residents.add(loaded)
    residents.add(loaded)
    assert await residents.of("slow") == (loaded,)
    residents.remove(loaded)
    assert await residents.of("slow") == ()
    await residents.close()


async def test_who_fails_has_nothing_loaded(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(FakeBackend):
        error: Exception = BackendUnavailable("gone")

        async def loaded(self) -> Sequence[LoadedModel]:
            raise self.error

    backend = Failing.of(FakeModel.named("a"), name="f")
    residents = Residents({"f": backend})
    residents.add(await load(backend))
    with caplog.at_level(logging.WARNING, logger="mai"):
        assert await residents.all() == ()
        assert await residents.all() == ()
        assert len(caplog.records) == 1, "and is told of once"
        caplog.clear()
        backend.error = EngineAbsent("not installed")
        assert await residents.all() == ()
        assert not caplog.records, "an engine that is not there is no fault"


async def test_a_listing_in_flight_is_too_old_for_who_comes_later() -> None:
    late = slow()
    residents = Residents({"slow": late})
    first = asyncio.create_task(residents.all())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = asyncio.create_task(residents.all())
    await asyncio.sleep(0)
    late.let.set()
    await asyncio.gather(first, second)
    assert late.asked == 2


async def test_who_was_late_and_then_failed_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)

    class Frozen(Slow):
        async def loaded(self) -> Sequence[LoadedModel]:
            await super().loaded()
            raise BackendUnavailable("frozen")

    frozen = Frozen.of(FakeModel.named("s"), name="slow")
    assert isinstance(frozen, Frozen)
    frozen.let = asyncio.Event()
    residents = Residents({"slow": frozen})
    await residents.all()
    frozen.let.set()
    async with asyncio.timeout(10):
        while residents._asking:
            await asyncio.sleep(0.001)
    frozen.let.clear()
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 60.0)
    async with asyncio.timeout(10):
        assert await residents.all() == ()
        await asyncio.sleep(0)
    assert frozen.asked == 2, "it is asked all the same: it may be back"
    await residents.close()


async def test_who_uses_a_backend_waits_for_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)
    late = slow()
    loaded = await load(late)
    residents = Residents({"slow": late})
    assert await residents.of("slow") == ()
    asking = asyncio.create_task(residents.surely_of("slow"))
    await asyncio.sleep(0.02)
    late.let.set()
    assert await asking == (loaded,)


async def test_who_cannot_say_what_it_has_is_out_of_reach_until_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LISTING_SECONDS", 0.05)
    late = slow()
    loaded = await load(late)
    residents = Residents({"slow": late})
    for _ in range(2):
        with pytest.raises(BackendUnavailable, match=r"slow did not say within 0\.05 s"):
            await residents.surely_of("slow")
    monkeypatch.setattr(module, "LISTING_SECONDS", 10.0)
    late.let.set()
    assert await residents.surely_of("slow") == (loaded,)


async def test_a_listing_does_not_forget_what_was_loaded_meanwhile() -> None:
    class Old(FakeBackend):
        async def loaded(self) -> Sequence[LoadedModel]:
            residents.add(here)
            return ()

    backend = Old.of(FakeModel.named("a"), name="old")
    here = await load(backend)
    residents = Residents({"old": backend})
    assert await residents.of("old") == (here,)
