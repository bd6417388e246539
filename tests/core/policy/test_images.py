"""Images told by their bytes, and which of them a model is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_core.policy.context import ContextBudget, Receipt, SummaryWanted, TransferPlan
from mai_core.policy.features import turn_features
from mai_core.policy.images import FEWEST, MOST, ImagesInWords, Shown, image_tokens, in_words
from mai_core.policy.messages import Image, Message, Role
from mai_core.policy.models import Capability
from mai_core.policy.pictures import LARGEST, read_picture
from tests.pictures import gif, image, jpeg, png, webp

KINDS: list[tuple[Callable[[int, int], bytes], str]] = [
    (png, "image/png"),
    (jpeg, "image/jpeg"),
    (gif, "image/gif"),
    (webp, "image/webp"),
    (lambda w, h: webp(w, h, b"VP8L"), "image/webp"),
    (lambda w, h: webp(w, h, b"VP8X"), "image/webp"),
]
SIZES = st.integers(1, 300)


def user(content: str, *images: Image) -> Message:
    return Message(role=Role.USER, content=content, images=images)


def reply(content: str) -> Message:
    return Message(role=Role.ASSISTANT, content=content, model="m")


@pytest.mark.parametrize(("make", "media_type"), KINDS)
@given(width=SIZES, height=SIZES)
def test_format_and_size_are_read_from_the_bytes(
    make: Callable[[int, int], bytes], media_type: str, width: int, height: int
) -> None:
    assert read_picture(make(width, height)) == (media_type, width, height)


@given(
    st.binary(max_size=64)
    | st.sampled_from(KINDS).flatmap(lambda kind: st.binary(max_size=40).map(kind[0](3, 4)[:14].__add__))
)
def test_any_bytes_are_an_image_or_refused(data: bytes) -> None:
    with suppress(ValueError):
        assert min(read_picture(data)[1:]) > 0


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"%PDF-1.7 and so on", "is no PNG, JPEG, WebP or GIF"),
        (png()[:20], "begins like PNG, but is damaged"),
        (jpeg()[:30], "begins like JPEG, but is damaged"),
        (b"RIFF\0\0\0\0WAVEfmt " + bytes(30), "begins like WEBP, but is damaged"),
        (png(0, 5), "begins like PNG, but is damaged"),
        (png() + bytes(LARGEST), "has 20.0 MiB, and an image may have 20"),
    ],
)
def test_what_is_no_image_cannot_be_made_one(data: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Image(name="cat.png", data=data)


def test_tokens_grow_with_the_image_and_are_bounded() -> None:
    assert image_tokens(image(width=8, height=8)) == FEWEST
    assert image_tokens(image(width=1120, height=840)) == 40 * 30
    assert image_tokens(image(width=5000, height=5000)) == MOST


def budget(window: int) -> ContextBudget:
    return ContextBudget(window=window, reserve=0, overhead=0)


def shown(worded: ImagesInWords, window: int, sees: bool = True, text: int = 10) -> Shown:
    return worded.shown_to("m", [text] * len(worded.messages), budget(window), sees=sees)


def sent(worded: ImagesInWords, images: Shown, drop: Sequence[int] = ()) -> TransferPlan:
    messages = tuple(m for i, m in enumerate(worded.messages) if i not in drop)
    wanted = SummaryWanted(messages=messages, instruction="", tokens=1, covers=1)
    return images.put_back(TransferPlan(messages=messages, tokens=5, receipt=Receipt(tokens=5), wanted=wanted))


def names(plan: TransferPlan) -> list[str]:
    return [image.name for message in plan.messages for image in message.images]


TALK = (
    user("what is this?", image("cat.png")),
    reply("A cat."),
    user("and these?", image("dog.png"), image("cow.png")),
    reply("A dog and a cow."),
    user("which one barks?"),
)


def test_who_sees_is_sent_the_messages_as_they_were() -> None:
    worded = in_words(TALK)
    plan = sent(worded, shown(worded, 8192))
    assert plan.messages == TALK
    assert plan.wanted is not None
    assert plan.wanted.messages == TALK
    assert plan.tokens == plan.receipt.tokens == 5 + 3 * FEWEST
    assert plan.receipt.note == ""


def test_who_does_not_see_reads_a_line_for_each_and_the_receipt_says_so() -> None:
    worded = in_words(TALK)
    plan = sent(worded, shown(worded, 8192, sees=False))
    assert [m.content for m in plan.messages if m.role is Role.USER] == [
        "[image: cat.png]\nwhat is this?",
        "[image: dog.png]\n[image: cow.png]\nand these?",
        "which one barks?",
    ]
    assert names(plan) == []
    assert plan.tokens == 5
    assert plan.receipt.note == "cat.png, dog.png, cow.png in words: m cannot see"


def test_in_a_short_window_old_images_become_lines_first_the_oldest_before_the_others() -> None:
    worded = in_words(TALK)
    plan = sent(worded, shown(worded, 4 * FEWEST * 2))
    assert names(plan) == ["cat.png", "dog.png", "cow.png"]
    plan = sent(worded, shown(worded, 4 * FEWEST))
    assert names(plan) == ["cow.png"]
    assert plan.messages[0].content == "[image: cat.png]\nwhat is this?"
    assert plan.messages[2].content == "[image: dog.png]\nand these?"
    assert plan.receipt.note == "cat.png, dog.png in words for want of room"


def test_the_images_of_the_present_turn_are_always_shown() -> None:
    worded = in_words((*TALK, user("and this?", image("huge.png", 3000, 3000))))
    images = shown(worded, 512)
    assert names(sent(worded, images)) == ["huge.png"]
    assert images.tokens == 256, "the text keeps half of the window"
    tool = (user("what is this?", image("cat.png")), reply("…"), Message(role=Role.TOOL, content="12"))
    assert names(sent(in_words(tool), shown(in_words(tool), 512))) == ["cat.png"]


def test_however_long_the_conversation_the_latest_images_stay_in_a_quarter() -> None:
    worded = in_words(TALK)
    assert names(sent(worded, shown(worded, 5 * FEWEST, text=10_000))) == ["cow.png"]


@given(
    counts=st.lists(st.integers(0, 2), min_size=1, max_size=6),
    window=st.integers(64, 20_000),
    texts=st.tuples(st.integers(0, 3000), st.integers(0, 3000)),
)
def test_old_images_never_come_back_while_a_conversation_grows(
    counts: list[int], window: int, texts: tuple[int, int]
) -> None:
    """What is shown is the newest of them, and more text never shows more of it: prompts stay append-only."""
    talk = [user("see", *(image(f"{i}-{k}.png") for k in range(count))) for i, count in enumerate(counts)]
    worded = in_words([*talk, user("and so?")])
    some, fewer = (shown(worded, window, text=text) for text in sorted(texts))
    every = [one.image.name for one in worded.named]
    for images in (some, fewer):
        assert every[len(every) - len(images.images) :] == [one.image.name for one in images.images]
        assert images.tokens <= budget(window).usable
    assert len(fewer.images) <= len(some.images)


def test_lines_are_unique_and_stay_the_same_when_messages_are_added() -> None:
    same = [user("a", image("cat.png")), user("b", image("cat.png", grey=1)), user("c", image("cat.png (2)"))]
    lines = [one.line for one in in_words(same).named]
    assert lines == ["[image: cat.png]", "[image: cat.png (2)]", "[image: cat.png (2) (2)]"]
    assert [one.line for one in in_words(same[:2]).named] == lines[:2]
    assert in_words([user("", image("a]\n[b"))]).messages[0].content == "[image: a) (b]"


def test_an_image_goes_with_the_line_that_stands_for_it() -> None:
    worded = in_words(TALK)
    images = shown(worded, 8192)
    assert names(sent(worded, images, drop=[0, 1])) == ["dog.png", "cow.png"]
    joined = replace(TALK[0], content="[image: cat.png]\nfirst\n\n[image: dog.png]\nsecond", images=())
    notes = Message(role=Role.SYSTEM, content="earlier: [image: cow.png]\nfurry")
    plan = images.put_back(TransferPlan(messages=(notes, joined), tokens=1, receipt=Receipt()))
    assert plan.messages[0] == notes, "a summary is read, not seen"
    assert plan.messages[1].content == "first\n\nsecond"
    assert names(plan) == ["cat.png", "dog.png"]


def test_a_turn_needs_sight_for_its_own_images_only() -> None:
    def needs(asked: Message, *before: Message, sees: bool = False) -> tuple[bool, int]:
        features = turn_features(asked, before, instructions="", current="m", sees=sees)
        return Capability.VISION in features.capabilities, features.prompt_tokens

    seen, tokens = needs(TALK[0])
    assert seen
    assert FEWEST < tokens < FEWEST + 20
    seen, tokens = needs(TALK[4], *TALK[:4])
    assert not seen
    assert tokens < 60, "who does not see does not read them"
    assert needs(TALK[4], *TALK[:4], sees=True)[1] > 3 * FEWEST
    assert needs(Message(role=Role.TOOL, content="12"), *TALK[:2])[0], "a tool called for the sake of an image"
    assert not needs(Message(role=Role.TOOL, content="12"), *TALK)[0]
