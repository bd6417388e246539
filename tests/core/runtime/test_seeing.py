"""Whole turns in which a person shows images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mai_core.errors import MaiError, NothingFits
from mai_core.policy.messages import Image, Message, Role
from mai_core.policy.models import Capability
from mai_core.policy.pictures import LARGEST
from mai_core.policy.selection import Move
from mai_core.runtime.sight import read_image
from mai_core.testing.backend import FakeModel
from tests.core.runtime.worlds import model, running
from tests.pictures import image, png


def told(messages: Sequence[Message]) -> str:
    """What a model was shown, in words."""
    return " | ".join(
        " ".join([m.content, *(f"<{i.name}>" for i in m.images)]) for m in messages if m.role is Role.USER
    )


def seeing(key: str, quality: float = 0.5, **script: Any) -> FakeModel:
    made = model(key, quality, reply=told, **script)
    made.profile = replace(made.profile, capabilities=frozenset({Capability.VISION}))
    return made


def show(content: str, *images: Image) -> Message:
    return Message(role=Role.USER, content=content, images=images or (image(),))


async def test_an_image_is_answered_by_a_model_that_sees_and_later_turns_by_any(tmp_path: Path) -> None:
    async with running(tmp_path, model("better", 0.9, reply=told), seeing("seer", 0.3)) as (mai, _, _):
        assert (await mai.process_message("hello there")).message.model == "better"
        reply = await mai.process_message(show("what is this?"))
        assert (reply.message.model, reply.text) == ("seer", "hello there | what is this? <cat.png>")
        assert reply.decision.move is Move.SWITCH
        history = await mai.get_conversation_history()
        assert history.messages[2].images == (image(),)
        await mai.switch("better")
        blind = await mai.process_message("and what colour is it?")
        assert blind.message.model == "better"
        assert blind.text == "hello there | [image: cat.png]\nwhat is this? | and what colour is it?"
        assert blind.receipt.note.endswith("cat.png in words: better cannot see")
        await mai.switch("seer")
        again = await mai.process_message("and now?")
        assert "what is this? <cat.png>" in again.text, "who sees is shown it again"


async def test_an_image_alone_is_a_message(tmp_path: Path) -> None:
    async with running(tmp_path, seeing("seer")) as (mai, _, _):
        assert (await mai.process_message(show(""))).text == " <cat.png>"


async def test_where_nobody_sees_the_message_is_kept_and_the_error_says_how_to_get_a_model(tmp_path: Path) -> None:
    async with running(tmp_path, model("blind")) as (mai, _, _):
        with pytest.raises(NothingFits, match="no model here can see images; get one that sees: ollama pull"):
            await mai.process_message(show("what is this?"))
        (kept,) = (await mai.get_conversation_history()).messages
        assert kept.images == (image(),)


async def test_where_the_one_that_sees_cannot_run_the_error_says_why(tmp_path: Path) -> None:
    async with running(tmp_path, model("blind"), seeing("huge", size_bytes=2**50)) as (mai, _, _):
        with pytest.raises(NothingFits, match="huge could see the image, but cannot run now: "):
            await mai.process_message(show("what is this?"))


async def test_what_is_typed_beside_an_image_prepares_a_model_that_sees(tmp_path: Path) -> None:
    async with running(tmp_path, model("better", 0.9), seeing("seer", 0.3)) as (mai, backend, _):
        await mai.prepare("what is", images=(image(),))
        looked_ahead = mai._parts.lookahead.task
        assert looked_ahead is not None
        await looked_ahead
        await mai.manager._anticipating._task  # type: ignore[misc]
        assert ("load", "seer") in backend.calls


async def test_only_a_person_shows_images(tmp_path: Path) -> None:
    async with running(tmp_path, seeing("seer")) as (mai, _, _):
        with pytest.raises(MaiError, match="only a message of the person can show images"):
            await mai.process_message(replace(show("12"), role=Role.TOOL))


def test_images_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(png(3, 4))
    read = read_image(tmp_path / "cat.png")
    assert (read.name, read.media_type, read.width, read.height) == ("cat.png", "image/png", 3, 4)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r"cat\.png cannot be read \(No such file or directory\)"),
        (b"", r"cat\.png is empty; show a PNG, JPEG, WebP or GIF"),
        (b"text", r"cat\.png is no PNG, JPEG, WebP or GIF; show a"),
        (png() + bytes(LARGEST), r"cat\.png has more than 20 MiB; make the image smaller"),
    ],
)
def test_a_file_that_is_no_image_is_one_clear_line(tmp_path: Path, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / "cat.png").write_bytes(content)
    with pytest.raises(MaiError, match=says):
        read_image(tmp_path / "cat.png")
