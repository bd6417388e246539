"""Replies: what is asked, what is made of the answer, and when it is given up."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from lmstudio_world import KEY, REPLY, MakeBackend

from mai_backends.lmstudio.backend import LMStudioBackend
from mai_core.errors import (
    BackendUnavailable,
    ContextExceeded,
    GenerationError,
    ModelCrashed,
    ModelStalled,
)
from mai_core.plugin.interfaces import GenerationEvent
from mai_core.policy.messages import (
    GenerationOptions,
    Message,
    ReasoningDelta,
    ReplyEnd,
    Role,
    StopReason,
    TextDelta,
    Tool,
    ToolCall,
)
from mai_core.policy.models import LoadPlan
from tests.standins.faults import Fault
from tests.standins.lmstudio import LMStudioStandIn, Quirk, StandInModel, ToolUse

Begin = Callable[..., Any]


class Conversation:
    """A loaded model of a stand-in, and what it is asked."""

    def __init__(self, standin: LMStudioStandIn, backend: LMStudioBackend, instance: str) -> None:
        self.standin = standin
        self.backend = backend
        self.instance = instance

    async def ask(self, *messages: str | Message, **options: Any) -> list[GenerationEvent]:
        given = [Message(role=Role.USER, content=m) if isinstance(m, str) else m for m in messages or ("Hello",)]
        stream = self.backend.generate(self.instance, given, GenerationOptions(**options))
        async with aclosing(stream):
            return [event async for event in stream]

    @property
    def request(self) -> Any:
        """The last prediction as the server was told of it."""
        return [parameter for endpoint, parameter in self.standin.calls if endpoint == "predict"][-1]

    @property
    def settings(self) -> dict[str, Any]:
        fields = self.request["predictionConfigStack"]["layers"][0]["config"]["fields"]
        return {field["key"].removeprefix("llm.prediction."): field["value"] for field in fields}


@pytest.fixture
def begin(make_backend: MakeBackend) -> Begin:
    """A conversation with a model that has these traits, on a server of its own."""

    @asynccontextmanager
    async def conversation(context: int = 2048, **traits: Any) -> AsyncIterator[Conversation]:
        model = StandInModel(key=KEY, **{"reply": REPLY, **traits})
        with LMStudioStandIn([model]) as standin:
            backend = make_backend(url=standin.host)
            (profile,) = await backend.models()
            loaded = await backend.load(profile, LoadPlan(context=context))
            yield Conversation(standin, backend, loaded.instance)
            await backend.close()
            assert standin.violations == []

    return conversation


def text(events: Sequence[GenerationEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def end(events: Sequence[GenerationEvent]) -> ReplyEnd:
    assert isinstance(events[-1], ReplyEnd)
    return events[-1]


async def test_a_reply_and_what_it_took(begin: Begin) -> None:
    async with begin(token_seconds=0.001) as conversation:
        events = await conversation.ask("Hello", seed=7, temperature=0.5, top_p=0.9, max_tokens=100)
        assert text(events) == REPLY
        usage = end(events).usage
        assert usage.completion_tokens == len(events) - 1
        assert usage.prompt_tokens > 2
        assert usage.prompt_seconds > 0
        assert usage.completion_seconds > 0.001 * usage.completion_tokens / 2
        assert conversation.settings == {
            "contextOverflowPolicy": "stopAtLimit",
            "maxPredictedTokens": {"checked": True, "value": 100},
            "seed": {"checked": True, "value": 7},
            "temperature": 0.5,
            "topPSampling": {"checked": True, "value": 0.9},
        }


async def test_thoughts_are_told_apart(begin: Begin) -> None:
    async with begin(reply="<think>Let me see.</think>It is four.") as conversation:
        events = await conversation.ask("Two and two?")
        assert text(events) == "It is four."
        assert "".join(e.text for e in events if isinstance(e, ReasoningDelta)) == "Let me see."


async def test_stop_strings_and_schemas(begin: Begin) -> None:
    schema = {"type": "object", "properties": {"snake_case": {"type": "integer"}}, "required": ["snake_case"]}
    async with begin() as conversation:
        events = await conversation.ask(stop=("four",))
        assert text(events) == REPLY.partition("four")[0]
        assert end(events).stop is StopReason.STOP
        events = await conversation.ask(json_schema=schema)
        assert json.loads(text(events)) == {"snake_case": 1}
        assert conversation.settings["structured"] == {"type": "json", "jsonSchema": schema}


async def test_a_tool_is_asked_for(begin: Begin) -> None:
    parameters = {
        "type": "object",
        "properties": {"city": {"$ref": "#/$defs/City"}},
        "$defs": {"City": {"type": "string"}},
    }
    use = ToolUse(name="weather", arguments={"city": "Rīga"}, before="I will look. ")
    async with begin(reply=use) as conversation:
        events = await conversation.ask("Rain?", tools=(Tool(name="weather", parameters=parameters), Tool(name="idle")))
        assert text(events) == "I will look. "
        assert events[-2] == ToolCall(id="call_1", name="weather", arguments='{"city": "Rīga"}')
        assert end(events).stop is StopReason.TOOLS
        first, second = conversation.settings["tools"]["tools"]
        assert first["function"]["parameters"] == parameters, "nothing of the schema is lost"
        assert second["function"]["parameters"] == {"type": "object", "properties": {}}


async def test_calls_without_a_name_get_one(begin: Begin) -> None:
    async with begin(reply=ToolUse(name="weather", id=None)) as conversation:
        events = await conversation.ask(tools=(Tool(name="weather"),))
        assert events[0] == ToolCall(id="call-1", name="weather", arguments="{}")


async def test_a_tool_asked_for_in_gibberish(begin: Begin) -> None:
    async with begin(reply=ToolUse(name="weather", arguments=None)) as conversation:
        with pytest.raises(GenerationError, match="in a way LM Studio could not read"):
            await conversation.ask(tools=(Tool(name="weather"),))


async def test_what_a_tool_said_reaches_the_model(begin: Begin) -> None:
    seen: list[Any] = []

    def reply(messages: list[Any]) -> str:
        seen.extend(messages)
        return "It rains."

    async with begin(reply=reply) as conversation:
        call = ToolCall(id="call_1", name="weather", arguments='{"city": "Rīga"}')
        broken = ToolCall(id="call_2", name="weather", arguments="{city")
        await conversation.ask(
            Message(role=Role.SYSTEM, content="Be brief."),
            "Rain?",
            Message(role=Role.ASSISTANT, content="I will look.", tool_calls=(call, broken)),
            Message(role=Role.TOOL, content='"rain"', tool_call_id="call_1"),
        )
    assert [message["role"] for message in seen] == ["system", "user", "assistant", "tool"]
    assert [made["arguments"] for made in seen[2]["tool_calls"]] == [{"city": "Rīga"}, {}]
    assert [(part["toolCallId"], part["content"]) for part in seen[3]["tool_results"]] == [("call_1", '"rain"')]


async def test_an_answer_is_continued(begin: Begin) -> None:
    async with begin() as conversation:
        shown = REPLY[:20]
        events = await conversation.ask("Count.", Message(role=Role.ASSISTANT, content=shown))
        assert shown + text(events) == REPLY


async def test_any_order_of_messages_and_any_text(begin: Begin) -> None:
    async with begin() as conversation:
        odd = [
            Message(role=Role.SYSTEM, content="One."),
            Message(role=Role.SYSTEM, content="Two."),
            Message(role=Role.ASSISTANT, content=""),
            Message(role=Role.ASSISTANT, content="half a pair: \ud83d"),
            Message(role=Role.USER, content="\x00 \u2028 \U0001f600"),
            Message(role=Role.USER, content="Hello"),
        ]
        assert text(await conversation.ask(*odd)) == REPLY
        sent = [message["content"][0]["text"] for message in conversation.request["history"]["messages"]]
        assert sent == ["One.", "Two.", "", "half a pair: ?", "\x00 \u2028 \U0001f600", "Hello"]


async def test_a_window_that_fills_up(begin: Begin) -> None:
    async with begin(context=30) as conversation:
        events = await conversation.ask("Hello")
        assert end(events).stop is StopReason.CONTEXT
        assert REPLY.startswith(text(events))
        with pytest.raises(ContextExceeded, match="longer than the window"):
            await conversation.ask("word " * 40)
        filled = await tokens_of(conversation)
        with pytest.raises(ContextExceeded, match="no room for an answer"):
            await conversation.ask("word " * (30 - filled))


async def tokens_of(conversation: Conversation) -> int:
    """What the template takes."""
    usage = end(await conversation.ask("word", max_tokens=1)).usage
    return usage.prompt_tokens - 1


@pytest.mark.parametrize("quirk", [Quirk.NEWER_CONFIG_VALUE, Quirk.NEWER_PACKET, Quirk.LACKS_IS_STRUCTURAL])
async def test_other_versions_of_the_server(begin: Begin, quirk: Quirk) -> None:
    async with begin() as conversation:
        conversation.standin.quirks.add(quirk)
        events = await conversation.ask()
        assert text(events) == REPLY
        assert end(events).usage.completion_tokens > 0
        conversation.standin.violations.clear()


@pytest.mark.parametrize(
    ("quirk", "complaint"),
    [
        (Quirk.CRASHES_MID_STREAM, "crashed in LM Studio"),
        (Quirk.CLOSES_WITHOUT_SUCCESS, "crashed in LM Studio"),
        (Quirk.STOPS_AS_FAILED, "failed in LM Studio"),
        (Quirk.CLOSES_THE_SOCKET, "connection to LM Studio broke"),
    ],
)
async def test_crashes(begin: Begin, quirk: Quirk, complaint: str) -> None:
    async with begin() as conversation:
        conversation.standin.quirks.add(quirk)
        with pytest.raises(ModelCrashed, match=complaint):
            await conversation.ask()
        still_loaded = [loaded.instance for loaded in await conversation.backend.loaded()]
        assert still_loaded == ([conversation.instance] if quirk is Quirk.CLOSES_THE_SOCKET else [])


async def test_a_drop_before_the_first_token_is_not_seen(begin: Begin) -> None:
    async with begin() as conversation:
        standin = conversation.standin
        standin.fault, standin.fault_times, standin.after_pieces = Fault.DROPS_THE_SOCKET, 1, 0
        assert text(await conversation.ask()) == REPLY
        assert [endpoint for endpoint, _ in standin.calls].count("predict") == 2


async def test_it_is_tried_twice_and_no_more(begin: Begin) -> None:
    async with begin() as conversation:
        conversation.standin.fault, conversation.standin.after_pieces = Fault.DROPS_THE_SOCKET, 0
        with pytest.raises(BackendUnavailable):
            await conversation.ask()
        assert [endpoint for endpoint, _ in conversation.standin.calls].count("predict") == 2
        conversation.standin.fault = None
        assert text(await conversation.ask()) == REPLY


async def test_a_server_that_went_away(begin: Begin) -> None:
    async with begin() as conversation:
        conversation.standin.stop()
        began = time.monotonic()
        with pytest.raises(BackendUnavailable, match="stopped answering"):
            await conversation.ask()
        assert time.monotonic() - began < 8.0
        conversation.standin.start()
        with pytest.raises(ModelCrashed, match="no longer loaded"):
            await conversation.ask()


async def test_progress_with_the_prompt_is_a_sign_of_life(begin: Begin) -> None:
    async with begin(prefill_seconds=6.0) as conversation:
        assert text(await conversation.ask(first_token_deadline=4.0)) == REPLY
        with pytest.raises(ModelStalled, match=r"no token for 0\.1 s"):
            await conversation.ask(first_token_deadline=0.1)


async def test_a_slow_reader_is_no_silence(begin: Begin) -> None:
    async with begin() as conversation:
        said = [Message(role=Role.USER, content="Hello")]
        options = GenerationOptions(token_deadline=1.5)
        async with aclosing(conversation.backend.generate(conversation.instance, said, options)) as stream:
            async for number, event in enumerated(stream):
                if number == 1:
                    await asyncio.sleep(2.5)
                ended = event
        assert isinstance(ended, ReplyEnd)


async def enumerated(stream: AsyncIterator[GenerationEvent]) -> AsyncIterator[tuple[int, GenerationEvent]]:
    number = 0
    async for event in stream:
        yield number, event
        number += 1


@pytest.mark.parametrize("how", ["close", "cancel", "stall"])
async def test_who_stops_listening_stops_the_server(begin: Begin, how: str) -> None:
    async with begin(reply="word " * 3000, token_seconds=0.02) as conversation:
        options = GenerationOptions(token_deadline=0.005 if how == "stall" else 30.0)
        stream = conversation.backend.generate(conversation.instance, [Message(role=Role.USER, content="x")], options)
        if how == "cancel":
            task = asyncio.create_task(conversation.ask())
            while not conversation.standin.generating:
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            async with aclosing(stream):
                await anext(stream)
                if how == "stall":
                    with pytest.raises(ModelStalled):
                        async for _ in stream:
                            pass
        async with asyncio.timeout(8.0):
            while conversation.standin.generating:
                await asyncio.sleep(0.01)
        assert "cancel" in [endpoint for endpoint, _ in conversation.standin.calls]


async def test_tokens_are_counted_there(begin: Begin) -> None:
    async with begin() as conversation:
        counts = await conversation.backend.count_tokens(conversation.instance, ["", "one two", "a \ud83d", ""])
        assert list(counts) == [0, 2, 2, 0]
        with pytest.raises(ModelCrashed):
            await conversation.backend.count_tokens("never-was", ["word"])
