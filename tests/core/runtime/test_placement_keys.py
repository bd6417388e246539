"""A placement's key says who offers it: it keeps it when others come and go, and its past is nobody else's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from mai_core import AsyncMai
from mai_core.errors import ModelStalled
from mai_core.policy.features import TaskFeatures
from mai_core.policy.messages import Message, Role, Usage
from mai_core.policy.models import ModelProfile
from mai_core.policy.selection import Move
from mai_core.runtime import catalog
from mai_core.testing.backend import FakeBackend
from tests.core.runtime.test_several_backends import Plugin, backend
from tests.core.runtime.worlds import model, running

FAST = Usage(prompt_tokens=1000, prompt_seconds=1.0, completion_tokens=1000, completion_seconds=1.0)


class Away(FakeBackend):
    """Not there when Mai starts."""

    away = True

    async def models(self) -> Sequence[ModelProfile]:
        self.available = not self.away
        return await super().models()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "GRACE_SECONDS", 0.1)


async def test_who_comes_late_takes_nobodys_key(tmp_path: Path) -> None:
    away = Plugin("away", Away)
    others = {"first": {"type": "away", "models": [model("m")]}, "second": {"models": [model("m")]}}
    async with running(tmp_path, plugins=[away], others=others) as (mai, _, _):
        assert (await mai.process_message("hello")).message.model == "m"
        assert ("load", "m") in backend(mai, "second").calls
        first = backend(mai, "first")
        assert isinstance(first, Away)
        first.away = False
        await mai._parts.catalog.refresh()
        assert [(m.key, m.backend, m.model) for m in mai._parts.catalog.models if m.installed] == [
            ("m", "second", "m"),
            ("first/m", "first", "m"),
        ]
        assert (await mai.process_message("and now?")).message.model == "m"
        assert first.calls == [], "the model in use is still the same, and loaded already"
        await mai.switch("first/m")
        assert (await mai.process_message("you?")).message.model == "first/m"
        assert first.calls[0] == ("load", "m")


async def speed(mai: AsyncMai, key: str) -> float:
    decision = (await mai.explain("hello there")).decision
    found = decision.candidate(key)
    assert found is not None
    return found.tokens_per_second


async def test_what_was_measured_of_one_placement_is_not_believed_of_another(tmp_path: Path) -> None:
    async with running(tmp_path, others={"two": {"models": [model("m")]}}) as (mai, _, _):
        mai.store.record_reply(key="m", backend="two", usage=FAST, first_token_seconds=1.0)
        assert await speed(mai, "m") == 1000.0
    async with running(tmp_path, model("m"), others={"two": {"models": [model("m")]}}) as (mai, _, _):
        await mai.models()
        assert await speed(mai, "two/m") == 1000.0
        situation = await mai.manager._decider.situation(TaskFeatures(), current=None, pinned=None)
        assert set(situation.speeds) == {"two/m"}, "of the other it tells only what the machine can do"
        await mai.switch("two/m")
        await mai.process_message("hello")
        assert {(key, name) for key, name, *_ in mai.store.loads()} == {("m", "two")}


async def test_one_placement_is_not_kept_out_for_what_another_did(tmp_path: Path) -> None:
    async with running(tmp_path, others={"two": {"models": [model("m")]}}) as (mai, _, _):
        await mai.models()
        for _ in range(2):
            await mai.manager._decider.failed("m", "two", ModelStalled("silent"))
        [row] = await mai.models()
        assert row.best.candidate is None
    async with running(tmp_path, model("m"), others={"two": {"models": [model("m")]}}) as (mai, _, _):
        [row] = await mai.models()
        assert {p.profile.key: p.candidate is not None for p in row.placements} == {"m": True, "two/m": False}
        await mai.switch("two/m")
        assert (await mai.process_message("hello")).message.model == "two/m"
    async with running(tmp_path, others={"two": {"models": [model("m")]}}) as (mai, _, _):
        assert (await mai.models())[0].best.candidate is not None, "forgiven under whatever key"


async def test_a_pin_nobody_knows_is_waited_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "PATIENCE_SECONDS", 3.0)
    monkeypatch.setattr(catalog, "LISTING_SECONDS", 60.0)

    class Silent(FakeBackend):
        async def models(self) -> Sequence[ModelProfile]:
            await asyncio.sleep(3600)
            return []

    plugin = Plugin("silent", Silent)
    async with running(tmp_path, model("m"), plugins=[plugin], others={"silent": {"type": "silent"}}) as (mai, _, _):
        mai.manager.pinned = "gone"
        waited = []
        for _ in range(3):
            started = time.monotonic()
            await mai.manager._decider.situation(
                mai._parts.turns.features(Message(role=Role.USER, content="hi"), ()), current=None, pinned="gone"
            )
            waited.append(time.monotonic() - started)
        assert waited[0] > 1.0
        assert waited[0] > 2 * min(waited[1:])


async def test_a_pin_of_a_key_is_no_pin_of_another_backend_that_could_be_called_so(tmp_path: Path) -> None:
    others = {
        "gateway": {"models": [model("vllm/tiny", 0.2)]},
        "vllm": {"models": [model("tiny", 0.9, size_bytes=2**29)]},
    }
    async with running(tmp_path, others=others) as (mai, _, _):
        await mai.models()
        await mai.switch("vllm/tiny")
        assert (await mai.process_message("hello")).message.model == "vllm/tiny"
        assert [(row.model, row.pinned) for row in await mai.models()] == [("vllm/tiny", True), ("tiny", False)]
        backend(mai, "gateway").available = False
        await mai._parts.catalog.refresh()
        reply = await mai.process_message("and now?")
        assert (reply.message.model, reply.decision.move) != ("tiny", Move.PIN), "its own was meant, and is away"
