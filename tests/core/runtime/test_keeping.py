"""What an engine has read of a conversation is kept when its model leaves and given back when it returns."""

from __future__ import annotations

import asyncio
import logging

import pytest

from mai_core.policy.feasibility import Limits
from mai_core.policy.models import LoadPlan
from mai_core.policy.resources import Host, ResourceSnapshot
from mai_core.runtime import keeping
from mai_core.runtime.keeping import forget
from mai_core.runtime.pool import Pool
from mai_core.testing import FakeBackend, FakeModel

PLAN = LoadPlan(context=4096)


class Keeper(FakeBackend):
    """Writes down what it was asked to keep and to give back."""

    fault: Exception | None = None
    hangs = False

    async def save_state(self, instance: str, conversation: str) -> int:
        return await self._asked("save", conversation)

    async def restore_state(self, instance: str, conversation: str) -> int:
        return await self._asked("restore", conversation)

    async def forget_state(self, conversation: str) -> None:
        await self._asked("forget", conversation)

    async def _asked(self, what: str, conversation: str) -> int:
        self.calls.append((what, conversation))
        if self.hangs:
            await asyncio.Event().wait()
        if self.fault is not None:
            raise self.fault
        return 100


def pool_of(backend: FakeBackend) -> Pool:
    async def snapshot() -> ResourceSnapshot:
        return ResourceSnapshot((Host(pools=backend.machine.reading().pools),))

    return Pool({backend.name: backend}, snapshot=snapshot, limits=Limits())


async def talk(pool: Pool, backend: FakeBackend, *conversations: str) -> None:
    [model] = await backend.models()
    for conversation in conversations:
        async with pool.acquire(model, PLAN, conversation=conversation):
            backend.calls.append(("answer", conversation))


async def test_a_conversation_is_restored_after_a_load_and_kept_before_its_model_leaves() -> None:
    pool = pool_of(backend := Keeper.of(FakeModel.named("m")))
    await talk(pool, backend, "a", "a")
    await pool.unload("m")
    await talk(pool, backend, "a")
    assert backend.calls == [
        ("load", "m"),
        ("restore", "a"),
        ("answer", "a"),
        ("answer", "a"),
        ("save", "a"),
        ("unload", "m"),
        ("load", "m"),
        ("restore", "a"),
        ("answer", "a"),
    ]


async def test_the_pool_knows_what_need_not_be_read_again() -> None:
    pool = pool_of(backend := Keeper.of(FakeModel.named("m")))
    await talk(pool, backend, "a")
    pool.has_read("m", "a", 700)
    assert (pool.read("a"), pool.read("b")) == ({"m": 700}, {})
    await pool.unload("m")
    assert pool.read("a") == {"m": 700}, "it was kept"
    await talk(pool, backend, "a")
    pool.has_read("m", "a", 900)
    backend.fault = OSError("no space left on device")
    await pool.unload("m")
    assert pool.read("a") == {}


async def test_what_an_engine_that_keeps_nothing_has_read_is_gone_with_it() -> None:
    pool = pool_of(backend := FakeBackend.of(FakeModel.named("m")))
    await talk(pool, backend, "a")
    pool.has_read("m", "a", 700)
    assert pool.read("a") == {"m": 700}
    await talk(pool, backend, "b")
    assert pool.read("a") == {}


async def test_what_would_be_long_in_reading_is_saved_before_a_crash_and_not_at_every_turn() -> None:
    pool = pool_of(backend := Keeper.of(FakeModel.named("m")))
    saved = []
    for read in (500, 1000, 2000, 2200, 2900):
        await talk(pool, backend, "a")
        pool.has_read("m", "a", read)
        await pool.checkpoint("m", reading=100.0)
        saved.append(backend.calls.count(("save", "a")))
    assert saved == [0, 1, 2, 2, 2]
    [instance] = await backend.loaded()
    backend.crash(instance.instance)
    await talk(pool, backend, "a")
    assert ("restore", "a") in backend.calls[-3:]
    assert pool.read("a") == {"m": 100}, "as much as the engine says"


async def test_conversations_that_take_turns_on_one_model_are_kept_in_between() -> None:
    pool = pool_of(backend := Keeper.of(FakeModel.named("m")))
    await talk(pool, backend, "a", "b")
    kept = [call for call in backend.calls if call[0] in ("save", "restore")]
    assert kept == [("restore", "a"), ("save", "a"), ("restore", "b")]


async def test_what_is_idle_at_the_end_is_kept_for_the_next_time() -> None:
    pool = pool_of(backend := Keeper.of(FakeModel.named("m")))
    await talk(pool, backend, "a")
    await pool.close()
    assert backend.calls[-1] == ("save", "a")


async def test_whoever_shares_an_engine_with_another_conversation_leaves_it_alone() -> None:
    pool = pool_of(backend := Keeper.of(FakeModel.named("m")))
    [model] = await backend.models()
    async with pool.acquire(model, PLAN, conversation="a"), pool.acquire(model, PLAN, conversation="b"):
        assert [call for call in backend.calls if call[0] in ("save", "restore")] == [("restore", "a")]


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_backend_that_cannot_keep_costs_nothing_else(
    hangs: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keeping, "SAVE_SECONDS", 0.05)
    monkeypatch.setattr(keeping, "RESTORE_SECONDS", 0.05)
    pool = pool_of(backend := Keeper.of(FakeModel.named("m")))
    backend.hangs, backend.fault = hangs, None if hangs else OSError("broken")
    with caplog.at_level(logging.WARNING, "mai.keeping"):
        await talk(pool, backend, "a")
        assert await pool.unload("m") == 1
    assert "a conversation was not restored" in caplog.text
    assert "a conversation was not saved" in caplog.text


async def test_a_conversation_is_forgotten_by_all_that_keep() -> None:
    keeper, plain = Keeper.of(FakeModel.named("m")), FakeBackend.of(FakeModel.named("n"))
    await forget([keeper, plain], ["a", "b"])
    assert keeper.calls == [("forget", "a"), ("forget", "b")]
