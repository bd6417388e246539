"""Whole turns in which a model struggles: what was shown stays, another goes on, and every turn ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mai_core import AsyncMai, hookimpl
from mai_core.errors import GenerationError, MaiError, ModelFileError, ModelStalled, ModelStruggles
from mai_core.plugin.interfaces import GenerationEvent, SelectionStrategy
from mai_core.policy.messages import GenerationOptions, Message, Role, StopReason, TextDelta
from mai_core.policy.selection import Proposal, SelectionRequest
from mai_core.policy.struggle import Struggle
from mai_core.runtime import guarding
from mai_core.runtime.turn import FellBack, Reply, Retracted, TurnEnd, TurnEvent
from mai_core.settings.model import ContextSettings, GenerationSettings, SelectionSettings
from mai_core.testing.backend import FakeBackend
from mai_core.testing.clock import FakeClock
from tests.core.runtime.worlds import events_of, model, running

LOOP = "It begins well. " + "I am here to help you. " * 60
SENTENCE = "one two three four five six seven eight nine ten "


def screen(events: Sequence[TurnEvent]) -> str:
    """What a terminal shows of the answer in the end."""
    text = ""
    for event in events:
        if isinstance(event, TextDelta):
            text += event.text
        elif isinstance(event, Retracted):
            text = text[: -event.characters]
    return text


def replied(events: Sequence[TurnEvent]) -> Reply:
    assert isinstance(events[-1], TurnEnd)
    return events[-1].reply


def handovers(events: Sequence[TurnEvent]) -> list[tuple[str, MaiError, str | None]]:
    return [(e.key, e.error, e.next) for e in events if isinstance(e, FellBack)]


def struggles(events: Sequence[TurnEvent]) -> list[tuple[str, str, str | None]]:
    return [
        (key, error.struggle.value, following)
        for key, error, following in handovers(events)
        if isinstance(error, ModelStruggles)
    ]


async def health(mai: AsyncMai, key: str) -> float:
    candidate = (await mai.explain("hello")).decision.candidate(key)
    assert candidate is not None
    return candidate.health


async def test_a_loop_is_taken_back_and_the_next_model_goes_on(tmp_path: Path) -> None:
    spare = model("spare", 0.4, reply=lambda messages: " And so on after: " + messages[-1].content[-12:])
    async with running(tmp_path, model("looper", 0.9, reply=LOOP), spare) as (mai, backend, _):
        events = await events_of(mai, "go on")
        reply = replied(events)
        assert reply.text == screen(events)
        assert reply.text == "It begins well. And so on after: begins well.", "nothing of the loop is left to fall into"
        assert (reply.message.model, reply.message.stop) == ("spare", StopReason.STOP)
        assert reply.message.earlier == ("looper",)
        assert struggles(events) == [("looper", "looped", "spare")]
        assert [key for call, key in backend.calls if call == "generate"] == ["looper", "spare"]
        assert await health(mai, "looper") == 0.9, "one loop is no broken model"


async def test_where_nobody_is_left_a_loop_ends_the_answer(tmp_path: Path) -> None:
    async with running(tmp_path, model("looper", reply=LOOP)) as (mai, _, _):
        events = await events_of(mai, "go on")
        reply = replied(events)
        assert reply.message.stop is StopReason.REPEATED
        assert reply.text == screen(events)
        assert handovers(events) == []


async def test_a_loop_that_is_cut_leaves_no_piece_of_the_next_round(tmp_path: Path) -> None:
    rest = "nce upon a time there was a knight, and " + "then there was another one, and " * 8 + "so on and on, "
    reply = "They say: o" + rest + ("O" + rest) * 6
    async with running(tmp_path, model("looper", reply=reply)) as (mai, _, _):
        events = await events_of(mai, "tell me a story")
        stored = (await mai.get_conversation_history()).messages[-1]
    assert stored.stop is StopReason.REPEATED
    assert stored.content == screen(events) == "They say: o" + rest


async def test_an_answer_changes_hands_twice_at_most_for_loops(tmp_path: Path) -> None:
    loops = [
        model(f"m{n}", 0.9 - n / 10, reply=f" Now {n}. " + f"It is number {n} of them all. " * 60) for n in range(5)
    ]
    async with running(tmp_path, *loops) as (mai, _, _):
        events = await events_of(mai, "go on")
        assert [key for key, *_ in struggles(events)] == ["m0", "m1"]
        assert replied(events).message.stop is StopReason.REPEATED
        assert replied(events).text == screen(events)
        assert replied(events).message.model == "m2"


async def test_what_was_said_before_the_loop_is_an_answer_when_all_others_fail(tmp_path: Path) -> None:
    broken = model("broken", 0.4, load_failures=[ModelFileError("cut short")] * 3)
    async with running(tmp_path, model("looper", 0.9, reply=LOOP), broken) as (mai, _, _):
        events = await events_of(mai, "go on")
        reply = replied(events)
        assert (reply.message.model, reply.message.stop) == ("looper", StopReason.REPEATED)
        assert reply.text == "It begins well."
        assert [following for *_, following in handovers(events)] == ["broken", None]


async def test_an_answer_longer_than_the_window_goes_on_with_a_smaller_prompt(tmp_path: Path) -> None:
    def count_on(messages: Sequence[Message]) -> str:
        said = messages[-1].content if messages[-1].role is Role.ASSISTANT else ""
        asked = messages[-2 if said else -1].content
        words = [f"w{n}" for n in range(600 if "second" in asked else 200)]
        return " " * bool(said) + " ".join(words[len(said.split()) :])

    settings = ContextSettings(window=1024, minimum=40, reserve=20, transfer="recent", system_prompt="")
    async with running(tmp_path, model("small", reply=count_on), context=settings) as (mai, _, _):
        await mai.process_message("first " * 200)
        events = await events_of(mai, "second " * 200)
        reply = replied(events)
        assert struggles(events) == [("small", "window-full", "small")]
        assert reply.message.stop is StopReason.STOP
        assert reply.text == screen(events)
        assert reply.text.split() == [f"w{n}" for n in range(600)], "nothing twice, nothing left out"
        assert await health(mai, "small") == 1.0


async def test_a_full_window_ends_the_answer_where_no_window_is_larger(tmp_path: Path) -> None:
    talker = model("talker", reply=lambda _: " ".join(f"w{n}" for n in range(2000)))
    settings = ContextSettings(window=1024, minimum=40, reserve=20)
    async with running(tmp_path, talker, context=settings) as (mai, _, _):
        events = await events_of(mai, "go on")
        assert replied(events).message.stop is StopReason.CONTEXT
        assert replied(events).text == screen(events)


async def test_the_longest_reply_is_counted_over_all_who_write_it(tmp_path: Path) -> None:
    dying = model("dying", 0.9, reply=SENTENCE, failures={6: GenerationError("broke off")})
    spare = model("spare", 0.4, reply=" a b c d e f g h i j k")
    async with running(tmp_path, dying, spare, generation=GenerationSettings(max_tokens=10)) as (mai, _, _):
        reply = await mai.process_message("count")
        assert reply.message.stop is StopReason.LENGTH
        assert 9 <= len(reply.text.split()) <= 11


class Picky:
    """Votes for one model alone."""

    name: ClassVar[str] = "picky"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        return [Proposal(c.key, 0.9, "the only one") for c in request.candidates if c.key == "guessing"]

    @hookimpl
    def mai_register_strategies(self) -> list[type[SelectionStrategy]]:
        return [Picky]


@pytest.mark.parametrize(
    ("quality", "pinned", "gives_way"), [(0.9, False, True), (0.5, False, False), (0.9, True, False)]
)
async def test_a_model_that_guesses_gives_way_to_a_better_one_unless_the_person_wants_it(
    tmp_path: Path, quality: float, pinned: bool, gives_way: bool
) -> None:
    guessing = model("guessing", 0.7, reply=" ".join(f"w{n}" for n in range(200)), logprob=-6.0)
    other = model("other", quality, reply=" enough.")
    picky = SelectionSettings(strategies=("picky",))
    async with running(tmp_path, guessing, other, plugins=[Picky()], selection=picky) as (mai, _, _):
        if pinned:
            await mai.switch("guessing")
        events = await events_of(mai, "go on")
        assert struggles(events) == ([("guessing", "unsure", "other")] if gives_way else [])
        assert replied(events).text.endswith(" enough." if gives_way else "w199")


async def test_a_model_that_crawls_gives_way_to_one_that_finishes_sooner(tmp_path: Path) -> None:
    clock = FakeClock(auto=True)
    crawling = model("crawling", 0.9, reply=" ".join(f"w{n}" for n in range(900)), token_seconds=0.02)
    quick = model("quick", 0.5, reply=" done.", size_bytes=2**26)
    engine = {"fake": {"models": (crawling, quick), "clock": clock}}
    by_quality = SelectionSettings(strategies=("greedy-fit",))
    async with running(tmp_path, others=engine, selection=by_quality) as (mai, _, _):
        mai.manager._answering._listening._clock = clock
        events: list[TurnEvent] = []
        async for event in mai.stream("go on"):
            events.append(event)
            if sum(isinstance(e, TextDelta) for e in events) == 700:
                crawling.token_seconds = 2.0
        assert struggles(events) == [("crawling", "slow", "quick")]
        assert replied(events).text.endswith(" done.")
        assert await health(mai, "crawling") == 1.0, "the machine was busy, not the model ill"


class Hanging(FakeBackend):
    """Never yields where it is told to; ``stubborn`` ones do not even let go."""

    kind: ClassVar[str] = "hanging"
    after = 0
    stubborn = False

    async def generate(
        self, instance: str, messages: Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[GenerationEvent, None]:
        for number in range(self.after):
            yield TextDelta(f"word{number} ")
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise
                self.stubborn = False

    @hookimpl
    def mai_register_backends(self) -> list[type[Any]]:
        return [Hanging]


@pytest.mark.parametrize("after", [0, 3])
@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_backend_that_never_yields_hangs_no_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, stubborn: bool
) -> None:
    monkeypatch.setattr(guarding, "CLOSING_SECONDS", 0.2)
    monkeypatch.setattr("mai_core.policy.struggle.SLOWEST_TOKENS", 0.0)
    monkeypatch.setattr("mai_core.policy.struggle.SLOWEST_PREFILL", 0.0)
    monkeypatch.setattr(Hanging, "after", after)
    monkeypatch.setattr(Hanging, "stubborn", stubborn)
    others = {"hung": {"type": "hanging", "models": [model("hung", 0.9)]}}
    deadlines = GenerationSettings(first_token_deadline=0.2, token_deadline=0.2)
    registers = type("Registers", (), {"mai_register_backends": Hanging.mai_register_backends})()
    spare = model("spare", 0.3, reply="and then this.")
    async with running(tmp_path, spare, plugins=[registers], others=others, generation=deadlines) as (mai, _, _):
        async with asyncio.timeout(20):
            events = await events_of(mai, "hello")
        assert [(key, type(error), following) for key, error, following in handovers(events)] == [
            ("hung", ModelStalled, "spare")
        ]
        assert replied(events).text == "".join(f"word{n} " for n in range(after)) + "and then this."


async def test_who_waits_for_another_turn_on_the_same_engine_is_not_stalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that answers one at a time is silent to those who wait for their turn."""
    monkeypatch.setattr("mai_core.policy.struggle.SLOWEST_TOKENS", 0.0)
    monkeypatch.setattr("mai_core.policy.struggle.SLOWEST_PREFILL", 0.0)
    monkeypatch.setattr("mai_core.policy.struggle.GRACE", 1.0)

    class OneAtATime(FakeBackend):
        kind: ClassVar[str] = "queue"
        turn = asyncio.Lock()

        async def generate(
            self, instance: str, messages: Sequence[Message], options: GenerationOptions
        ) -> AsyncGenerator[GenerationEvent, None]:
            async with self.turn:
                async for event in super().generate(instance, messages, options):
                    yield event

        @hookimpl
        def mai_register_backends(self) -> list[type[Any]]:
            return [OneAtATime]

    registers = type("Registers", (), {"mai_register_backends": OneAtATime.mai_register_backends})()
    busy = model("busy", reply=SENTENCE * 4, token_seconds=0.1)
    others = {"fake": {}, "queue": {"type": "queue", "models": [busy]}}
    deadlines = GenerationSettings(first_token_deadline=1.5, token_deadline=1.5)
    async with running(tmp_path, plugins=[registers], others=others, generation=deadlines) as (mai, _, _):
        first, second = await mai.new_conversation(), await mai.new_conversation()
        replies = await asyncio.gather(*(mai.process_message("count", conversation=c) for c in (first, second)))
        assert [reply.text for reply in replies] == [SENTENCE * 4] * 2


async def test_an_empty_answer_is_a_struggle(tmp_path: Path) -> None:
    async with running(tmp_path, model("mute", 0.9, reply="  "), model("spare", 0.3, reply="Yes.")) as (mai, _, _):
        events = await events_of(mai, "hello")
        assert struggles(events) == [("mute", "empty", "spare")]
        assert replied(events).text == screen(events) == "Yes."
        assert Struggle("empty") is Struggle.EMPTY


async def test_a_model_that_begins_anew_repeats_nothing(tmp_path: Path) -> None:
    """The successor says the last line again before it goes on."""
    dying = model("dying", 0.9, reply=SENTENCE, failures={7: GenerationError("broke off")})
    spare = model("spare", 0.4, reply="four five six seven eight nine ten.")
    async with running(tmp_path, dying, spare) as (mai, _, _):
        events = await events_of(mai, "count")
        assert replied(events).text == screen(events) == "one two three four five six seven eight nine ten."
