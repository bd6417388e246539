"""Summaries the loaded model writes when nobody waits."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mai_core.errors import ModelCrashed
from mai_core.policy.context import ContextState, SummaryWanted
from mai_core.policy.messages import Message, Role
from mai_core.policy.models import LoadPlan
from mai_core.runtime.store import Store
from mai_core.runtime.summaries import improve
from mai_core.testing.backend import FakeBackend, FakeModel

TOLD = "My sister Ilse lives in Tromsø, and the invoice for her roof was 3,720 euros. " * 4
SUMMARY = "Ilse, the sister, lives in Tromsø. Her roof cost 3,720 euros."
KEPT = "Ilse, the sister, lives in Tromsø.\nHer roof cost 3,720 euros."


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "mai.db", now=itertools.count(1.0).__next__)
    yield opened
    opened.close()


class Turn:
    """A turn that was just answered, and the model that did it."""

    def __init__(self, store: Store, summary: str = SUMMARY, **script: Any) -> None:
        self.store = store
        self.name = store.new_conversation().id
        asked = store.append(self.name, Message(role=Role.USER, content=TOLD))
        store.append(self.name, Message(role=Role.ASSISTANT, content="I see.", model="small"))
        self.read: list[Message] = []

        def answer(messages: Any) -> str:
            self.read = list(messages)
            return summary

        self.model = FakeModel.named("small")
        self.model.reply = answer
        for name, value in script.items():
            setattr(self.model, name, value)
        self.backend = FakeBackend.of(self.model)
        self.wanted = SummaryWanted(messages=(asked,), instruction="Summarise.", tokens=90, covers=asked.id)

    async def improve(self, seconds: float = 60.0) -> bool:
        instance = await self.backend.load(self.model.profile, LoadPlan(context=2048))
        return await improve(self.name, self.wanted, instance, self.backend, self.store, seconds=seconds)

    @property
    def state(self) -> ContextState | None:
        return self.store.context_state(self.name)


async def test_the_summary_is_kept_for_the_next_compression(store: Store) -> None:
    turn = Turn(store)
    store.save_context_state(turn.name, ContextState(covered=7, kept=(1,), summary="notes"))
    assert await turn.improve()
    assert turn.state == ContextState(covered=7, kept=(1,), summary="notes", digest=KEPT, digested=2)


async def test_the_prompt_goes_on_from_what_the_engine_has_read(store: Store) -> None:
    turn = Turn(store)
    await turn.improve()
    assert [(m.role, m.content) for m in turn.read] == [
        (Role.USER, TOLD),
        (Role.ASSISTANT, "I see."),
        (Role.USER, "Summarise."),
    ]
    assert [what for what, _ in turn.backend.calls] == ["load", "generate"]


async def test_what_a_model_invents_is_not_kept(store: Store) -> None:
    turn = Turn(store, summary="The roof of Rosalind cost 9,999 euros, which is a great deal of money.")
    assert not await turn.improve()
    assert turn.state is None


async def test_nothing_is_written_when_somebody_spoke_since(store: Store) -> None:
    turn = Turn(store)
    store.append(turn.name, Message(role=Role.USER, content="And now?"))
    assert not await turn.improve()
    assert turn.read == []


async def test_a_model_elsewhere_is_not_asked(store: Store) -> None:
    turn = Turn(store)
    turn.backend.remote = True
    assert not await turn.improve()
    assert turn.read == []


async def test_who_speaks_interrupts_it_at_once(store: Store) -> None:
    turn = Turn(store, token_seconds=60.0)
    task = asyncio.create_task(turn.improve())
    while not turn.read:
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait([task], timeout=10.0)
    assert task.cancelled()
    assert turn.state is None


async def test_it_takes_no_longer_than_it_may(store: Store) -> None:
    assert not await Turn(store, token_seconds=60.0).improve(seconds=0.05)


@pytest.mark.parametrize("failure", [ModelCrashed("gone"), RuntimeError("a third party's mistake")])
async def test_failures_cost_nothing_but_the_summary(store: Store, failure: Any) -> None:
    turn = Turn(store, failures={1: failure})
    assert not await turn.improve()
    assert turn.state is None


async def test_no_wish_no_work(store: Store) -> None:
    turn = Turn(store)
    instance = await turn.backend.load(turn.model.profile, LoadPlan(context=2048))
    assert not await improve(turn.name, None, instance, turn.backend, store)
    assert turn.read == []
