"""Conversations as JSON and back, and as Markdown."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_core.errors import StoreError
from mai_core.policy.messages import Conversation, Message, Role, StopReason, ToolCall
from mai_core.runtime.export import from_dict, from_json, to_dict, to_json, to_markdown
from tests.pictures import image

FINITE = st.floats(allow_nan=False, allow_infinity=False)
CONTENT = st.builds(
    Message,
    role=st.sampled_from(Role),
    content=st.text(),
    pinned=st.booleans(),
    model=st.text(),
    stop=st.none() | st.sampled_from(StopReason),
    created=FINITE,
    tool_calls=st.lists(st.builds(ToolCall, id=st.text(), name=st.text(), arguments=st.text()), max_size=2).map(tuple),
    tool_call_id=st.text(),
    earlier=st.lists(st.text(), max_size=2).map(tuple),
    images=st.lists(st.builds(image, st.text(), width=st.integers(1, 9)), max_size=2).map(tuple),
)
CONVERSATIONS = st.builds(
    lambda messages, ids, **rest: Conversation(
        messages=tuple(replace(m, id=id) for m, id in zip(messages, sorted(ids), strict=False)), **rest
    ),
    st.lists(CONTENT, max_size=6),
    st.sets(st.integers(0, 2**40), min_size=6),
    id=st.text(),
    title=st.text(),
    created=FINITE,
    updated=FINITE,
)

TALK = Conversation(
    id="dd4x4000",
    title="The capital\nof France",
    created=1_800_000_000.0,
    updated=1_800_000_060.0,
    messages=(
        Message(id=1, role=Role.USER, content="The capital\nof France?", created=1_800_000_000.0, pinned=True),
        Message(
            id=2,
            role=Role.ASSISTANT,
            content="**Paris**:\n\n```python\nprint('Paris')\n```",
            model="smollm2-135m",
            stop=StopReason.STOP,
            created=1_800_000_060.0,
        ),
    ),
)


@given(CONVERSATIONS)
def test_json_brings_a_conversation_back(conversation: Conversation) -> None:
    assert from_json(to_json(conversation)) == conversation
    assert from_json(to_json(conversation).encode()) == conversation
    assert from_dict(to_dict(conversation)) == conversation


def test_the_format_is_this_one() -> None:
    """Files like this one are on people's disks: a change here needs a new version that still reads the old."""
    assert to_dict(TALK) == {
        "format": "mai-conversation",
        "version": 1,
        "id": "dd4x4000",
        "title": "The capital\nof France",
        "created": 1_800_000_000.0,
        "updated": 1_800_000_060.0,
        "messages": [
            {
                "id": 1,
                "role": "user",
                "content": "The capital\nof France?",
                "model": "",
                "stop": None,
                "pinned": True,
                "rating": None,
                "created": 1_800_000_000.0,
                "tool_calls": [],
                "tool_call_id": "",
                "earlier": [],
                "images": [],
            },
            {
                "id": 2,
                "role": "assistant",
                "content": "**Paris**:\n\n```python\nprint('Paris')\n```",
                "model": "smollm2-135m",
                "stop": "stop",
                "pinned": False,
                "rating": None,
                "created": 1_800_000_060.0,
                "tool_calls": [],
                "tool_call_id": "",
                "earlier": [],
                "images": [],
            },
        ],
    }


def test_what_is_not_needed_may_be_missing_or_unknown() -> None:
    told = {"format": "mai-conversation", "version": 1, "mood": "good", "messages": [{"id": 1, "role": "user"}]}
    told["messages"][0]["content"] = "Hi"  # type: ignore[index]
    assert from_dict(told) == Conversation(id="", messages=(Message(id=1, role=Role.USER, content="Hi"),))


def changed(**changes: Any) -> dict[str, Any]:
    return {**to_dict(TALK), **changes}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "no exported conversation"),
        (None, "no exported conversation"),
        ({}, "format: Field required"),
        (changed(format="chatgpt"), "format"),
        (changed(version=0), "version"),
        (changed(version=2), "newer Mai; update Mai"),
        (changed(title=5), "title"),
        (changed(created=float("inf")), "created"),
        (changed(messages=[{"id": 1, "role": "user", "content": 3}]), r"messages\.0\.content"),
        (changed(messages=[{"id": 1, "role": "king", "content": ""}]), r"messages\.0\.role"),
        (changed(messages=[{"id": -1, "role": "user", "content": ""}]), r"messages\.0\.id"),
        (changed(messages=to_dict(TALK)["messages"][::-1]), "ids do not grow"),
        (changed(messages=[to_dict(TALK)["messages"][0]] * 2), "ids do not grow"),
    ],
)
def test_what_is_no_conversation_is_refused_with_the_first_thing_wrong(data: object, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        from_dict(data)
    with pytest.raises(StoreError, match=message):
        from_json(json.dumps(data))


@pytest.mark.parametrize("text", ["", "{", b"\xff\xfe", "[" * 100_000, "GGUF\0\0"])
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(StoreError, match="not JSON"):
        from_json(text)


def test_markdown_is_for_reading() -> None:
    assert to_markdown(TALK, zone=UTC) == (
        "# The capital of France\n\n"
        "*2027-01-15 08:00 UTC*\n\n"
        "## You · pinned\n\n"
        "The capital\nof France?\n\n"
        "## Mai · smollm2-135m\n\n"
        "**Paris**:\n\n```python\nprint('Paris')\n```\n"
    )


def test_a_reply_of_two_models_names_both() -> None:
    reply = Message(id=1, role=Role.ASSISTANT, content="Paris it is.", earlier=("large", "middle"), model="small")
    assert "## Mai · large → middle → small\n" in to_markdown(Conversation(id="x", messages=(reply,)), zone=UTC)


def test_images_are_whole_in_json_and_named_in_markdown() -> None:
    cat = image("cat\n1.png", width=12)
    shown = Conversation(id="x", messages=(Message(id=1, role=Role.USER, content="What is it?", images=(cat,)),))
    written = to_dict(shown)["messages"][0]["images"][0]
    assert base64.b64decode(written.pop("data")) == cat.data
    assert written == {"name": "cat\n1.png", "media_type": "image/png", "width": 12, "height": 8}
    assert "*(image: cat 1.png, 12 × 8)*\n\nWhat is it?" in to_markdown(shown, zone=UTC)


@pytest.mark.parametrize("data", ["no base64!", base64.b64encode(b"no image").decode()])
def test_what_is_no_image_is_refused(data: str) -> None:
    told = changed()
    told["messages"][0]["images"] = [{"name": "cat.png", "data": data}]
    with pytest.raises(StoreError, match=r"messages\.0\.images\.0\.data: "):
        from_dict(told)


def one(content: str, stop: StopReason | None = None) -> str:
    reply = Message(id=1, role=Role.ASSISTANT, content=content, model="m", stop=stop)
    after = Message(id=2, role=Role.USER, content="after")
    text = to_markdown(Conversation(id="x", messages=(reply, after)), zone=UTC)
    return text.partition("## Mai · m\n\n")[2].partition("\n\n## You")[0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("```\na", "```\na\n```"),
        ("````md\n```\na\n```", "````md\n```\na\n```\n````"),
        ("~~~\n```", "~~~\n```\n~~~"),
        ("```\na\n```\n```", "```\na\n```\n```\n```"),
        ("```\na\n``` b", "```\na\n``` b\n```"),
        ("```\na\n   ````  ", "```\na\n   ````  "),
        ("``` a`b", "``` a`b"),
        ("use ```x``` here", "use ```x``` here"),
        ("    ```\ncode", "    ```\ncode"),
        ("```\r\na\r\n```\r\nb", "```\r\na\r\n```\r\nb"),
    ],
)
def test_an_open_fence_is_closed_and_closed_ones_stay_as_they_are(content: str, expected: str) -> None:
    assert one(content) == expected


def test_a_reply_cut_short_says_so() -> None:
    assert one("Par", StopReason.REPEATED) == "Par\n\n*(stopped because it repeated itself)*"
    assert one("Par", StopReason.CANCELLED) == "Par\n\n*(stopped by the reader)*"
    assert one("Par", StopReason.STOP) == "Par"
    assert one("", StopReason.FAILED) == "*(cut off by a failure)*"


@given(CONVERSATIONS)
def test_every_conversation_has_a_markdown(conversation: Conversation) -> None:
    text = to_markdown(conversation, zone=UTC)
    assert text.startswith("# ")
    assert all(message.content.strip("\n") in text for message in conversation.messages)
