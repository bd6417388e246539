"""From chunks to events, and from messages to the request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_backends.wire.bodies import encode, parse_json, well_formed
from mai_backends.wire.calls import LONGEST_ARGUMENTS, MOST_CALLS
from mai_backends.wire.errors import Refusal, Refused, Unreadable
from mai_backends.wire.reply import ReplyReader
from mai_backends.wire.request import certainty, chat_request
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
    Usage,
)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(["delta", "index", "finish_reason", "content", "tool_calls", "function", "arguments", "id"])
odd = st.dictionaries(fields, anything | st.dictionaries(fields, anything, max_size=3), max_size=5)
CHUNK_FIELDS = ["choices", "usage", "timings", "prompt_progress", "id"]


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def call(index: int | None = None, arguments: object = None, **rest: Any) -> dict[str, Any]:
    piece: dict[str, Any] = {**rest, "function": {"name": rest.pop("name", None), "arguments": arguments}}
    return piece if index is None else {**piece, "index": index}


def read(*chunks: dict[str, Any], **options: Any) -> list[GenerationEvent]:
    reader = ReplyReader(GenerationOptions(**options))
    events = [event for one in chunks for event in reader.read(one)]
    return [*events, *reader.end(prompt_seconds=1.0, completion_seconds=2.0)]


def test_thoughts_stay_apart_wherever_they_are_written() -> None:
    events = read(chunk(reasoning_content="a"), chunk(reasoning="b"), chunk(reasoning_content="c", reasoning="c"))
    assert events[:-1] == [ReasoningDelta("a"), ReasoningDelta("b"), ReasoningDelta("c")]


def test_text_may_come_in_parts_or_whole() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "image_url"}]
    whole = {"choices": [{"message": {"content": "c"}, "finish_reason": "stop"}]}
    assert read(chunk(content=parts), whole)[:-1] == [TextDelta("ab"), TextDelta("c")]


def test_only_the_first_choice_is_read() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "no"}}, {"index": 0, "delta": {"content": "yes"}}]}
    assert read(other)[:-1] == [TextDelta("yes")]


def test_usage_in_either_dialect() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 5}}
    (end,) = read(chunk("stop"), {"choices": [], "usage": usage})
    wanted = Usage(prompt_tokens=9, cached_tokens=5, completion_tokens=4, prompt_seconds=1.0, completion_seconds=2.0)
    assert end == ReplyEnd(StopReason.STOP, wanted)
    timings = {"cache_n": 5, "prompt_n": 4, "prompt_ms": 500, "predicted_n": 4, "predicted_ms": 250}
    (end,) = read({**chunk("stop"), "timings": timings}, {"choices": [], "usage": {"prompt_tokens": 1}})
    assert isinstance(end, ReplyEnd)
    assert end.usage.prompt_tokens == 9
    assert (end.usage.prompt_seconds, end.usage.completion_seconds) == (0.5, 0.25)
    (end,) = read({"usage": {"prompt_tokens": 9, "prompt_cache_hit_tokens": 99}})
    assert isinstance(end, ReplyEnd)
    assert end.usage.cached_tokens == 9


@pytest.mark.parametrize(
    ("finish", "asked", "written", "stop"),
    [
        ("stop", 5, 5, StopReason.STOP),
        ("length", 5, 5, StopReason.LENGTH),
        ("length", 6, 5, StopReason.CONTEXT),
        ("length", 0, 5, StopReason.CONTEXT),
        ("length", 1, 0, StopReason.LENGTH),
        ("content_filter", 5, 1, StopReason.STOP),
        ("whatever", 5, 1, StopReason.STOP),
    ],
)
def test_why_a_reply_ends(finish: str, asked: int, written: int, stop: StopReason) -> None:
    usage = {"choices": [], "usage": {"completion_tokens": written}}
    end = read(chunk(content="x"), chunk(finish), usage, max_tokens=asked)[-1]
    assert isinstance(end, ReplyEnd)
    assert end.stop is stop


@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=5), st.text(max_size=30)).filter(lambda c: c[0].isprintable()),
        max_size=3,
    ),
    st.lists(st.integers(1, 5), min_size=1),
    st.booleans(),
)
def test_calls_are_whole_however_they_were_cut(calls: list[tuple[str, str]], sizes: list[int], numbered: bool) -> None:
    chunks = []
    for index, (name, arguments) in enumerate(calls):
        place = index if numbered else None
        chunks.append(chunk(tool_calls=[call(place, "", id=f"c{index}", name=name)]))
        at, turn = 0, 0
        while at < len(arguments):
            size = sizes[turn % len(sizes)]
            piece = call(place, arguments[at : at + size], **({} if numbered or turn % 2 else {"id": f"c{index}"}))
            chunks.append(chunk(tool_calls=[piece]))
            at, turn = at + size, turn + 1
    *found, end = read(*chunks, chunk("stop"))
    assert found == [ToolCall(id=f"c{i}", name=name, arguments=args or "{}") for i, (name, args) in enumerate(calls)]
    assert isinstance(end, ReplyEnd)
    assert end.stop is (StopReason.TOOLS if calls else StopReason.STOP)


def test_calls_of_servers_that_go_their_own_way() -> None:
    same_index = [call(0, "{}", id="a", name="f"), call(0, "{}", id="b", name="g")]
    assert [c.name for c in read(chunk(tool_calls=same_index)) if isinstance(c, ToolCall)] == ["f", "g"]
    an_object, *_ = read(chunk(tool_calls=[call(0, {"x": 1}, name="f")]))
    assert an_object == ToolCall(id="call_0", name="f", arguments='{"x": 1}')
    repeated = [call(0, '{"a', id="a", name="f"), call(0, '": 1}', id="a", name="f")]
    assert read(chunk(tool_calls=repeated))[0] == ToolCall(id="a", name="f", arguments='{"a": 1}')
    assert read(chunk(tool_calls=[call(0, "{}", id="a")]))[:-1] == []


def test_calls_have_a_bound() -> None:
    with pytest.raises(Unreadable):
        read(chunk(tool_calls=[call(i, "{}", name="f") for i in range(MOST_CALLS + 1)]))
    half = chunk(tool_calls=[call(0, "x" * (LONGEST_ARGUMENTS // 2 + 1), name="f")])
    with pytest.raises(Unreadable):
        read(half, half)


def test_an_error_in_a_chunk_or_a_choice() -> None:
    for broken in ({"error": {"message": "no"}}, {"error": "no"}, {"choices": [{"error": {"message": "no"}}]}):
        with pytest.raises(Refused) as caught:
            read(broken)
        assert caught.value.refusal.message == "no"


@given(st.dictionaries(st.sampled_from(CHUNK_FIELDS), anything | st.lists(odd, max_size=3), max_size=5))
def test_odd_chunks_are_passed_over(content: dict[str, Any]) -> None:
    """Nothing but what the protocol has for it is ever raised, and the reply still ends."""
    try:
        *_, end = read(content)
    except (Refused, Unreadable):
        return
    assert isinstance(end, ReplyEnd)
    assert min(end.usage.prompt_tokens, end.usage.cached_tokens, end.usage.completion_tokens) >= 0


@given(st.text(st.characters(), max_size=30) | st.text(st.characters(categories=["Cs"]), max_size=6))
def test_every_text_can_be_written(text: str) -> None:
    well_formed(text).encode()
    parsed = parse_json(encode({"text": text}))
    if text.isascii():
        assert (well_formed(text), parsed["text"]) == (text, text)


def test_halves_of_a_character_are_joined() -> None:
    assert well_formed("\ud83e\udd99") == "🦙"
    assert well_formed("a\ud83e") == "a\ufffd"


def test_no_depth_and_no_number_is_too_much() -> None:
    for hostile in (b"[" * 200_000, b"9" * 10_000, b'{"a":' * 100_000, b"\xff\xfe"):
        with pytest.raises(ValueError, match=r".+"):
            parse_json(hostile)


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"error": {"message": "no\\nreally", "code": 400, "type": "bad"}}', "no", "400"),
        (b'{"error": "no"}', "no", ""),
        (b'{"object": "error", "message": "no", "code": 7}', "no", "7"),
        (b'{"detail": "no"}', "no", ""),
        (b'{"detail": [{"loc": ["body", "seed"], "msg": "no", "input": "a secret"}]}', "body.seed: no", ""),
        (b"<h1>no</h1>", "<h1>no</h1>", ""),
        (b"", "", ""),
        (b"null", "", ""),
        (b'{"error": {"message": {"a": 1}}}', "", ""),
        (b"x" * 1000, "x" * 300, ""),
    ],
)
def test_refusals_of_every_shape(body: bytes, message: str, code: str) -> None:
    refusal = Refusal.of_body(400, body, {"Retry-After": "7"})
    assert (refusal.message, refusal.code) == (message, code)
    assert refusal.headers == {"retry-after": "7"}


@given(anything)
def test_any_json_is_some_refusal(content: object) -> None:
    assert "\n" not in Refusal.of_body(500, json.dumps(content).encode()).message


def test_the_request_says_what_was_asked_for_and_nothing_else() -> None:
    call_ = ToolCall(id="c1", name="add", arguments='{"a": 1}')
    messages = (
        Message(role=Role.SYSTEM, content="Be brief."),
        Message(role=Role.ASSISTANT, content="", tool_calls=(call_,)),
        Message(role=Role.TOOL, content="2", tool_call_id="c1"),
    )
    tool = Tool(name="add", description="adds", parameters={"type": "object"})
    request = chat_request(messages, GenerationOptions(tools=(tool,), seed=0, stop=("END",)), model="m")
    assert request["model"] == "m"
    assert request["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "content": "2", "tool_call_id": "c1"},
    ]
    function = {"name": "add", "description": "adds", "parameters": {"type": "object"}}
    assert request["tools"] == [{"type": "function", "function": function}]
    assert (request["seed"], request["stop"], request["stream"]) == (0, ["END"], True)
    plain = chat_request(messages[:1], GenerationOptions())
    assert plain.keys() == {"messages", "stream", "temperature", "top_p"}


def certain(text: str, *tokens: object) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": {"content": list(tokens)}}
    return {"choices": [choice]}


def test_how_likely_a_token_was_is_told_of_one_alone() -> None:
    one, two = {"token": "a", "logprob": -0.5, "top_logprobs": []}, {"token": "b", "logprob": -1}
    events = read(certain("a", one), certain("b", two), certain("ab", one, two), certain("c"), chunk(content="d"))
    assert [e.logprob for e in events if isinstance(e, TextDelta)] == [-0.5, -1.0, None, None, None]


@given(anything)
def test_what_is_no_log_probability_is_none(told: Any) -> None:
    for logprobs in (told, {"content": told}, {"content": [told]}, {"content": [{"logprob": told}]}):
        events = read({"choices": [{"delta": {"content": "a"}, "logprobs": logprobs}]})
        (logprob,) = [e.logprob for e in events if isinstance(e, TextDelta)]
        assert logprob is None or logprob <= 0


def test_certainty_is_asked_for_on_request_only() -> None:
    assert certainty(GenerationOptions()) == {}
    assert certainty(GenerationOptions(logprobs=True)) == {"logprobs": True, "top_logprobs": 1}
