"""Whole turns over fake engines: answering, falling back, keeping what was said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mai_core import hookimpl
from mai_core.errors import (
    BackendUnavailable,
    ContextExceeded,
    GenerationError,
    MaiError,
    ModelFileError,
    ModelLoadError,
    NothingFits,
    OutOfMemory,
    UnknownModel,
)
from mai_core.plugin.interfaces import GenerationEvent, SelectionStrategy
from mai_core.policy.messages import (
    GenerationOptions,
    Message,
    ReplyEnd,
    Role,
    StopReason,
    TextDelta,
    Tool,
    ToolCall,
    Usage,
)
from mai_core.policy.models import Capability
from mai_core.policy.selection import Move, Proposal, SelectionRequest
from mai_core.runtime.turn import FellBack, Loading, ModelChosen, TurnEnd
from mai_core.settings.model import PreloadSettings, SelectionSettings
from mai_core.testing.backend import FakeBackend
from mai_core.testing.machine import FakeMachine
from tests.core.runtime.worlds import events_of, model, running

GIB = 2**30


async def test_a_turn_is_answered_stored_and_told(tmp_path: Path) -> None:
    async with running(tmp_path, model("one", reply="Paris it is.")) as (mai, backend, fakes):
        events = await events_of(mai, "What is the capital of France?")
        kinds = [type(e) for e in events]
        assert kinds[0] is ModelChosen
        assert kinds[-1] is TurnEnd
        assert Loading in kinds
        text = "".join(e.text for e in events if isinstance(e, TextDelta))
        reply = events[-1].reply  # type: ignore[union-attr]
        assert text == reply.text == "Paris it is."
        history = await mai.get_conversation_history()
        assert [(m.role, m.content) for m in history.messages] == [
            (Role.USER, "What is the capital of France?"),
            (Role.ASSISTANT, "Paris it is."),
        ]
        assert history.messages[1].model == "one"
        assert [e.current for e in fakes.switched] == ["one"]
        assert [t.model for t in fakes.finished] == ["one"]
        assert backend.calls == [("load", "one"), ("generate", "one")]


async def test_the_loaded_model_is_used_again(tmp_path: Path) -> None:
    async with running(tmp_path, model("one"), model("two", 0.2)) as (mai, backend, fakes):
        for question in ("one?", "two?", "three?"):
            await mai.process_message(question)
        assert [c for c in backend.calls if c[0] == "load"] == [("load", "one")]
        assert len(fakes.switched) == 1
        assert len((await mai.get_conversation_history()).messages) == 6


async def test_a_model_that_cannot_be_loaded_makes_way_for_the_next(tmp_path: Path) -> None:
    broken = model("broken", 0.9, load_failures=[ModelFileError("the file is cut short")] * 3)
    async with running(tmp_path, broken, model("spare", 0.4)) as (mai, _, _):
        events = await events_of(mai, "hello there")
        fell = [e for e in events if isinstance(e, FellBack)]
        assert [(e.key, e.next) for e in fell] == [("broken", "spare")]
        assert events[-1].reply.message.model == "spare"  # type: ignore[union-attr]


@pytest.mark.parametrize(("others", "author"), [(0, "large"), (9, "small"), (15, "small")])
async def test_what_others_took_since_the_decision_is_not_taken_by_who_comes_next(
    tmp_path: Path, others: int, author: str
) -> None:
    """Of 16 GiB; the large one would take four of them beside the headroom, and with 15 gone there is none for any."""
    machine = FakeMachine()
    dying = model("dying", 0.9, reply="one two three four five six", crash_at=3)
    large, small = model("large", 0.8, size_bytes=4 * 2**30, reply="five"), model("small", 0.2, reply="five")
    async with running(tmp_path, dying, large, small, machine=machine, preload=PreloadSettings(enabled=False)) as (
        mai,
        backend,
        _,
    ):
        async for event in mai.stream("Count."):
            if isinstance(event, TextDelta) and dying.crash_at is not None:
                machine.others = others * 2**30
                dying.load_failures = [ModelLoadError("it is broken")] * 9
        said = (await mai.get_conversation_history()).messages
        assert said[-1].model == author
        assert (("load", "large") in backend.calls) is (author == "large")


async def test_a_crash_in_mid_answer_is_continued_by_the_next_model(tmp_path: Path) -> None:
    """The same model is reloaded once; when it dies again, the next goes on from the text already shown."""
    dying = model("dying", 0.9, reply="one two three four five six", crash_at=3)
    spare = model("spare", 0.4, reply=lambda messages: " and the rest after: " + messages[-1].content)
    async with running(tmp_path, dying, spare) as (mai, backend, _):
        events = await events_of(mai, "count")
        shown = "".join(e.text for e in events if isinstance(e, TextDelta))
        reply = events[-1].reply  # type: ignore[union-attr]
        assert reply.text == shown
        assert shown.startswith("one two three")
        assert " and the rest after: one two three" in shown, "the next model saw what was shown"
        assert reply.message.authors == ("dying", "spare")
        assert (await mai.get_conversation_history()).messages[-1] == reply.message
        assert (await mai.explain()).authors == ("dying", "spare")
        assert [c for c in backend.calls if c[0] == "load"] == [("load", "dying"), ("load", "dying"), ("load", "spare")]


async def test_a_model_whose_words_were_all_taken_back_is_no_author(tmp_path: Path) -> None:
    dying, spare = model("dying", 0.9, reply="one two three four", crash_at=3), model("spare", 0.4, reply="{}")
    for each in (dying, spare):
        each.profile = replace(each.profile, capabilities=frozenset({Capability.JSON}))
    async with running(tmp_path, dying, spare) as (mai, _, _):
        reply = await mai.process_message("count", json_schema={"type": "object"})
        assert (reply.text, reply.message.authors) == ("{}", ("spare",))


async def test_too_little_memory_halves_the_context_before_giving_the_model_up(tmp_path: Path) -> None:
    tight = model("tight", load_failures=[OutOfMemory("no room")])
    async with running(tmp_path, tight) as (mai, _, _):
        reply = await mai.process_message("hello")
        assert reply.message.model == "tight"
        status = await mai.get_status()
        assert [m.plan.context for m in status.loaded] == [4096]


async def test_when_every_model_fails_the_message_is_kept_and_the_error_says_so(tmp_path: Path) -> None:
    one = model("one", load_failures=[ModelLoadError("bad metadata")] * 9)
    two = model("two", load_failures=[ModelLoadError("bad tensors")] * 9)
    async with running(tmp_path, one, two) as (mai, _, _):
        with pytest.raises(GenerationError, match=r"every model failed: .*bad"):
            await mai.process_message("are you there?")
        history = await mai.get_conversation_history()
        assert [m.content for m in history.messages] == ["are you there?"]
        one.load_failures.clear()
        await mai.switch("one")
        assert (await mai.process_message("and now?")).message.model == "one"


async def test_the_message_is_on_disk_before_the_model_is_asked(tmp_path: Path) -> None:
    async with running(tmp_path, model("slow", load_seconds=60.0)) as (mai, _, _):
        turn = asyncio.create_task(mai.process_message("keep me"))
        async with asyncio.timeout(10):
            while not (latest := await asyncio.to_thread(mai.store.latest)) or not latest.messages:
                await asyncio.sleep(0.01)
        assert latest.messages[0].content == "keep me"
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn


async def test_closing_the_stream_keeps_what_was_written_and_frees_the_model(tmp_path: Path) -> None:
    talker = model("talker", reply="a b c d e f g h", token_seconds=0.05)
    async with running(tmp_path, talker) as (mai, _, _):
        async with aclosing(mai.stream("go on")) as events:
            async for event in events:
                if isinstance(event, TextDelta) and "c" in event.text:
                    break
        stored = (await mai.get_conversation_history()).messages
        assert stored[-1].role is Role.ASSISTANT
        assert stored[-1].stop is StopReason.CANCELLED
        assert stored[-1].content.startswith("a b c")
        assert not any(m.leased for m in (await mai.get_status()).loaded)


async def test_a_pin_is_obeyed_and_released(tmp_path: Path) -> None:
    async with running(tmp_path, model("good", 0.9), model("poor", 0.2)) as (mai, _, _):
        assert await mai.switch("poo") == "poor"
        reply = await mai.process_message("hi")
        assert reply.message.model == "poor"
        assert reply.decision.move is Move.PIN
        assert await mai.switch(None) is None
        with pytest.raises(UnknownModel, match="did you mean good"):
            await mai.switch("goood")


async def test_nothing_fits_names_the_nearest_miss_and_the_remedy(tmp_path: Path) -> None:
    machine = FakeMachine(total=2 * GIB, others=2 * GIB - 10 * 2**20)
    async with running(tmp_path, model("big", size_bytes=8 * GIB), machine=machine) as (mai, _, _):
        with pytest.raises(NothingFits, match=r"big: needs .* GiB of ram .*free"):
            await mai.process_message("hi")
        assert [m.content for m in (await mai.get_conversation_history()).messages] == ["hi"]


async def test_no_model_at_all_is_a_clear_error(tmp_path: Path) -> None:
    async with running(tmp_path) as (mai, _, _):
        with pytest.raises(MaiError, match=r"no backend|mai pull"):
            await mai.process_message("hi")


async def test_a_backend_that_is_gone_takes_its_models_out_of_the_ranking(tmp_path: Path) -> None:
    async with running(tmp_path, model("one"), model("two", 0.4)) as (mai, backend, _):
        await mai.process_message("hi")
        backend.available = False
        with pytest.raises(BackendUnavailable):
            await mai.process_message("still there?")
        backend.available = True
        assert (await mai.process_message("and now?")).message.content


async def test_an_idle_model_makes_room_and_a_leased_one_does_not(tmp_path: Path) -> None:
    machine = FakeMachine(total=8 * GIB)
    small = model("small", 0.3, size_bytes=3 * GIB, reply="s " * 40, token_seconds=0.02)
    large = model("large", 0.8, size_bytes=4 * GIB)
    async with running(tmp_path, small, large, machine=machine) as (mai, backend, _):
        await mai.switch("small")
        other = await mai.new_conversation()
        busy = asyncio.create_task(mai.process_message("talk", conversation=other))
        while ("generate", "small") not in backend.calls:
            await asyncio.sleep(0.01)
        await mai.switch("large")
        mine = await mai.new_conversation()
        outcome = await asyncio.gather(mai.process_message("and you?", conversation=mine), busy, return_exceptions=True)
        assert ("unload", "small") not in backend.calls[: backend.calls.index(("generate", "small")) + 1]
        assert not isinstance(outcome[1], BaseException), "the answer under way was not cut off"
        await mai.process_message("again", conversation=mine)
        assert {m.key for m in (await mai.get_status()).loaded} == {"large"}


async def test_concurrent_turns_share_one_load(tmp_path: Path) -> None:
    async with running(tmp_path, model("one", load_seconds=0.2)) as (mai, backend, _):
        names = [await mai.new_conversation() for _ in range(4)]
        replies = await asyncio.gather(*(mai.process_message("hi", conversation=n) for n in names))
        assert len(replies) == 4
        assert [c for c in backend.calls if c[0] == "load"] == [("load", "one")]


async def test_a_conversation_longer_than_the_window_still_gets_an_answer(tmp_path: Path) -> None:
    async with running(tmp_path, model("one")) as (mai, _, _):
        await mai.process_message("Always answer in French.")
        for i in range(12):
            await mai.process_message(f"question {i}: " + "word " * 900)
        reply = await mai.process_message("and now?")
        assert reply.receipt.summarised + reply.receipt.dropped > 0
        assert reply.receipt.tokens <= 8192
        why = await mai.explain()
        assert why.receipt == reply.receipt
        assert why.decision.choice == "one"


async def test_an_empty_message_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, model("one")) as (mai, _, _):
        with pytest.raises(MaiError, match="nothing to answer"):
            await mai.process_message("  \n")


async def test_explain_is_a_dry_run_and_says_what_would_flip(tmp_path: Path) -> None:
    small, large = model("small", 0.4), model("large", 0.9, size_bytes=13 * GIB)
    async with running(tmp_path, small, large) as (mai, backend, _):
        with pytest.raises(MaiError, match="no decision"):
            await mai.explain()
        why = await mai.explain("Prove that there are infinitely many primes.")
        assert why.dry_run
        assert why.decision.choice
        assert why.decision.ballots
        assert backend.calls == []


async def test_preparing_loads_the_likely_model(tmp_path: Path) -> None:
    async with running(tmp_path, model("one"), model("two", 0.2)) as (mai, backend, _):
        await mai.prepare()
        async with asyncio.timeout(5):
            while not (await mai.get_status()).loaded:
                await asyncio.sleep(0.01)
        await mai.process_message("hi")
        assert [c for c in backend.calls if c[0] == "load"] == [("load", "one")]


async def test_an_empty_answer_is_a_failure_and_a_short_one_is_not(tmp_path: Path) -> None:
    async with running(tmp_path, model("mute", 0.9, reply=" "), model("spare", 0.4, reply="Yes.")) as (mai, _, _):
        reply = await mai.process_message("well?")
        assert (reply.text, reply.message.model) == ("Yes.", "spare")


async def test_shutdown_frees_everything_and_can_be_called_twice(tmp_path: Path) -> None:
    async with running(tmp_path, model("one")) as (mai, backend, _):
        await mai.process_message("hi")
        await mai.shutdown()
        assert backend.machine.taken == {}
        assert list((tmp_path / "state" / "processes").glob("*.json")) == []


async def test_messages_too_long_do_not_make_a_model_ill(tmp_path: Path) -> None:
    strict = model("strict", failures={0: ContextExceeded("too long")})
    async with running(tmp_path, strict) as (mai, _, _):
        for _ in range(3):
            with pytest.raises(ContextExceeded):
                await mai.process_message("a very long story")
        strict.failures.clear()
        assert (await mai.process_message("hi")).message.model == "strict"


async def test_failing_twice_keeps_a_model_out_until_the_person_asks_for_it(tmp_path: Path) -> None:
    flaky = model("flaky", load_failures=[ModelLoadError("bad luck")] * 2)
    async with running(tmp_path, flaky) as (mai, _, _):
        for _ in range(2):
            with pytest.raises(ModelLoadError):
                await mai.process_message("hi")
        with pytest.raises(NothingFits, match=r"it failed 2 times; kept out for another") as caught:
            await mai.process_message("hi")
        assert "mai switch flaky" in caught.value.remedy
        await mai.switch("flaky")
        assert (await mai.process_message("hi")).message.model == "flaky"


async def test_a_backends_own_assertion_is_its_failure_and_the_next_model_answers(tmp_path: Path) -> None:
    failing = model("failing", 0.9, load_failures=[AssertionError("invariant")])
    async with running(tmp_path, failing, model("spare", 0.3)) as (mai, _, _):
        assert (await mai.process_message("hi")).message.model == "spare"


async def test_the_note_says_answering_until_the_last_turn_ends(tmp_path: Path) -> None:
    talker = model("talker", reply="a b c", token_seconds=30.0)
    async with running(tmp_path, talker) as (mai, backend, _):
        first, second = await mai.new_conversation(), await mai.new_conversation()
        long_turn = asyncio.create_task(mai.process_message("go", conversation=first))
        while ("generate", "talker") not in backend.calls:
            await asyncio.sleep(0.01)
        talker.token_seconds = 0.0
        await mai.process_message("quick", conversation=second)
        assert [p.state for p in (await mai.get_status()).processes] == ["answering"]
        long_turn.cancel()
        await asyncio.gather(long_turn, return_exceptions=True)
        assert [p.state for p in (await mai.get_status()).processes] == ["idle"]


async def test_a_message_to_a_busy_conversation_is_on_disk_at_once_and_answered_next(tmp_path: Path) -> None:
    talker = model("talker", reply=lambda messages: "echo " + messages[-1].content, prefill_seconds=0.3)
    async with running(tmp_path, talker) as (mai, _, _):
        name = await mai.new_conversation()
        turns = [asyncio.create_task(mai.process_message(text, conversation=name)) for text in ("first", "second")]
        await asyncio.sleep(0.15)
        stored = await mai.get_conversation_history(name)
        assert {m.content for m in stored.messages} == {"first", "second"}, "neither waits for the other's answer"
        replies = [(await turn).text for turn in turns]
        assert replies == ["echo first", "echo second"]


async def test_a_loop_ends_the_answer_and_is_left_out(tmp_path: Path) -> None:
    async with running(tmp_path, model("looper", reply="It begins well. " + "I am here to help. " * 60)) as (mai, _, _):
        reply = await mai.process_message("go on")
        assert reply.message.stop is StopReason.REPEATED
        assert reply.text.count("I am here to help.") <= 2
        assert (await mai.get_conversation_history()).messages[-1].content == reply.text


class Picky:
    """Votes for one model alone."""

    name: ClassVar[str] = "picky"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        return [Proposal(c.key, 0.9, "the only one") for c in request.candidates if c.key == "broken"]

    @hookimpl
    def mai_register_strategies(self) -> list[type[SelectionStrategy]]:
        return [Picky]


async def test_a_model_nobody_voted_for_is_better_than_none(tmp_path: Path) -> None:
    broken = model("broken", 0.9, load_failures=[ModelFileError("the file is cut short")])
    picky = SelectionSettings(strategies=("picky",))
    async with running(tmp_path, broken, model("spare"), plugins=[Picky()], selection=picky) as (mai, _, _):
        assert (await mai.process_message("hello")).message.model == "spare"


async def test_tools_and_a_schema_reach_a_model_that_can_and_the_result_is_answered(tmp_path: Path) -> None:
    seen: list[GenerationOptions] = []

    class Able(FakeBackend):
        async def generate(
            self, instance: str, messages: Sequence[Message], options: GenerationOptions
        ) -> AsyncGenerator[GenerationEvent, None]:
            seen.append(options)
            if options.tools and messages[-1].role is Role.USER:
                yield ToolCall(id="1", name="clock", arguments="{}")
                yield ReplyEnd(StopReason.TOOLS, Usage())
                return
            async for event in super().generate(instance, messages, options):
                yield event

    class Plugin:
        @hookimpl
        def mai_register_backends(self) -> Sequence[type[Any]]:
            return [type("AbleBackend", (Able,), {"kind": "able"})]

    able = model("able", 0.2, reply="Noon.")
    able.profile = replace(able.profile, capabilities=frozenset({Capability.TOOLS, Capability.JSON}))
    clock = Tool(name="clock", description="the time", parameters={"type": "object", "properties": {}})
    others = {"able": {"type": "able", "models": [able]}}
    async with running(tmp_path, model("better", 0.9), plugins=[Plugin()], others=others) as (mai, _, _):
        asked = await mai.process_message("What time is it?", tools=[clock])
        assert asked.message.model == "able"
        [call] = asked.message.tool_calls
        result = Message(role=Role.TOOL, content="12:00", tool_call_id=call.id)
        answered = await mai.process_message(result, tools=[clock])
        assert answered.text == "Noon."
        roles = [m.role.value for m in (await mai.get_conversation_history()).messages]
        assert roles == ["user", "assistant", "tool", "assistant"]
        schema = {"type": "object"}
        assert (await mai.process_message("As an object.", json_schema=schema)).message.model == "able"
        assert [bool(o.tools) for o in seen] == [True, True, False]
        assert seen[-1].json_schema == schema
        with pytest.raises(MaiError, match="cannot be answered"):
            await mai.process_message(Message(role=Role.ASSISTANT, content="me"))
