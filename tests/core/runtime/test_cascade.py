"""A second opinion: first words are held back, and where they are doubted nobody ever reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from mai_core import hookimpl
from mai_core.errors import ModelLoadError
from mai_core.plugin.interfaces import SelectionStrategy
from mai_core.policy.doubt import JUDGED_TOKENS
from mai_core.policy.messages import TextDelta
from mai_core.policy.selection import Proposal, SelectionRequest
from mai_core.runtime.turn import FellBack, ModelChosen, Retracted, TurnEnd, TurnEvent
from mai_core.settings.model import CostSettings, SelectionSettings
from mai_core.testing.machine import FakeMachine
from tests.core.runtime.worlds import events_of, model, running

GIB = 2**30
LONG = " ".join(f"word{number * 37 % 101}" for number in range(100))


@dataclass(frozen=True)
class SmallFirst:
    name: ClassVar[str] = "small-first"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        return [Proposal(c.key, 1.0 - c.quality, "small", -1.0) for c in request.candidates]


class Plugin:
    @hookimpl
    def mai_register_strategies(self) -> list[type[SelectionStrategy]]:
        return [SmallFirst]


SELECTION = SelectionSettings(strategies=("small-first",))


def shown(events: Sequence[TurnEvent]) -> str:
    return "".join(e.text for e in events if isinstance(e, TextDelta))


@pytest.mark.parametrize("reply", ["I guess it is Lyon or so", LONG])
async def test_who_is_not_sure_is_never_read(tmp_path: Path, reply: str) -> None:
    small, large = model("small", 0.3, reply=reply, logprob=-3.0), model("large", 0.9, reply="Paris.")
    async with running(tmp_path, small, large, plugins=(Plugin(),), selection=SELECTION) as (mai, _, _):
        events = await events_of(mai, "What is the capital of France?")
        assert shown(events) == "Paris."
        assert not any(isinstance(e, Retracted) for e in events)
        end = events[-1]
        assert isinstance(end, TurnEnd)
        assert (end.reply.message.model, end.reply.message.earlier) == ("large", ())
        assert end.reply.decision.choice == "small"
        assert end.reply.decision.doubt_below == -1.0


@pytest.mark.parametrize("reply", ["Paris it is.", LONG])
@pytest.mark.parametrize("logprob", [-0.2, None])
async def test_who_is_sure_or_cannot_tell_is_read_whole(tmp_path: Path, reply: str, logprob: float | None) -> None:
    small, large = model("small", 0.3, reply=reply, logprob=logprob), model("large", 0.9)
    async with running(tmp_path, small, large, plugins=(Plugin(),), selection=SELECTION) as (mai, backend, _):
        events = await events_of(mai, "What is the capital of France?")
        assert shown(events) == reply
        assert ("generate", "large") not in backend.calls


async def test_nobody_better_means_nothing_is_held_back(tmp_path: Path) -> None:
    small = model("small", 0.3, reply=LONG, logprob=-3.0, token_seconds=0.002)
    worse = model("worse", 0.1)
    async with running(tmp_path, small, worse, plugins=(Plugin(),), selection=SELECTION) as (mai, _, _):
        await mai.switch("small")
        assert shown(await events_of(mai, "Hello?")) == LONG, "a pinned model answers, sure or not"


async def test_where_the_better_one_fails_the_first_is_asked_again_to_the_end(tmp_path: Path) -> None:
    small = model("small", 0.3, reply="Perhaps it is Lyon", logprob=-3.0)
    large = model("large", 0.9, load_failures=[ModelLoadError("no")] * 9)
    async with running(tmp_path, small, large, plugins=(Plugin(),), selection=SELECTION) as (mai, _, _):
        events = await events_of(mai, "What is the capital of France?")
        assert shown(events) == "Perhaps it is Lyon"
        assert [e.key for e in events if isinstance(e, FellBack)] == ["small", "large"]


async def test_a_second_opinion_is_done_without_where_memory_went_away_meanwhile(tmp_path: Path) -> None:
    machine = FakeMachine(total=8 * GIB)
    small = model("small", 0.3, reply="Perhaps it is Lyon", logprob=-3.0)
    large = model("large", 0.9, size_bytes=4 * GIB)
    async with running(
        tmp_path, small, large, machine=machine, plugins=(Plugin(),), selection=SELECTION, preload={"enabled": False}
    ) as (mai, backend, _):
        events: list[TurnEvent] = []
        async for event in mai.stream("What is the capital of France?"):
            events.append(event)
            if isinstance(event, ModelChosen):
                machine.others = 3 * GIB  # four are left beside the small one, and no headroom
        assert shown(events) == "Perhaps it is Lyon"
        assert [e.key for e in events if isinstance(e, FellBack)] == ["small", "large"]
        assert ("load", "large") not in backend.calls
        machine.others = 0
        end = (await events_of(mai, "And of Spain?"))[-1]
        assert isinstance(end, TurnEnd)
        assert end.reply.message.model == "large"
        large_then = end.reply.decision.candidate("large")
        assert large_then is not None
        assert large_then.health == 1.0, "it did nothing wrong"


async def test_what_is_broken_off_while_it_is_held_back_is_kept(tmp_path: Path) -> None:
    small = model("small", 0.3, reply=LONG, logprob=-3.0, token_seconds=0.05)
    async with running(tmp_path, small, model("large", 0.9), plugins=(Plugin(),), selection=SELECTION) as (mai, _, _):
        async with aclosing(mai.stream("Hello?")) as stream:

            async def heard() -> None:
                async for _ in stream:
                    pass

            listening = asyncio.create_task(heard())
            await asyncio.sleep(0.05 * JUDGED_TOKENS / 3)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        said = (await mai.get_conversation_history()).messages
        assert said[-1].model == "small"
        assert LONG.startswith(said[-1].content)


async def test_both_answers_are_paid(tmp_path: Path) -> None:
    priced = [model("small", 0.3, reply="I guess so maybe", logprob=-3.0), model("large", 0.9, reply="Paris.")]
    for one in priced:
        one.profile = replace(one.profile, price_in=1.0, price_out=1000.0)
    cost = CostSettings(budget_day=50.0)
    async with running(tmp_path, *priced, plugins=(Plugin(),), selection=SELECTION, cost=cost) as (mai, _, _):
        reply = await mai.process_message("What is the capital of France?")
        assert reply.message.model == "large"
        spent = (await mai.get_status()).budget
        assert spent.open == 0
        assert 5_000_000 <= spent.today < 6_000_000, "four tokens and one, a thousandth each, and two prompts"
