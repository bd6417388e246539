"""What the next model writes is joined to what was shown: nothing twice, nothing lost."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mai_core.policy.seam import MOST_HELD, Seam

WORDS = st.text("abcdefghijklmnopqrstuvwxyzäßéлюб", min_size=1, max_size=9)
PROSE = st.lists(st.one_of(WORDS, WORDS.map(lambda w: w + ",\n"), WORDS.map(lambda w: f"`{w}`")), min_size=12).map(
    " ".join
)
ANYTHING = st.text(min_size=1, max_size=300)


def joined(shown: str, continuation: str, size: int = 3) -> str:
    """The whole text, when the continuation comes in pieces of this size."""
    seam = Seam(shown)
    fed, given_back = 0, 0
    text = shown
    for start in range(0, len(continuation), size):
        piece = continuation[start : start + size]
        text += (out := seam.feed(piece))
        fed, given_back = fed + len(piece), given_back + len(out)
        if not out and not given_back:
            assert fed <= MOST_HELD + size, "held back for ever"
    return text + seam.close()


def spelled(text: str) -> str:
    return re.sub(r"\s+", " ", text).lower()


def overlaps(shown: str, continuation: str) -> list[int]:
    """Lengths from three characters on at which the end of one is the beginning of the other, however it is spelled."""
    end, begin = spelled(shown), spelled(continuation.lstrip())
    return [n for n in range(3, min(len(end), len(begin)) + 1) if end[-n:] == begin[:n]]


@given(PROSE, st.data(), st.integers(1, 40))
def test_a_repeated_end_is_dropped_wherever_the_text_is_cut(text: str, data: st.DataObject, size: int) -> None:
    cut = data.draw(st.integers(len(text) // 3, len(text) - 1))
    shown, rest = text[:cut], text[cut:]
    repeated = data.draw(st.integers(1, len(shown)))
    start = len(shown) - repeated
    assume(len(spelled(shown[start:])) >= 24 and len(re.findall(r"\w+", shown[start:])) >= 3)
    assume(not shown[start].isspace() and not rest[0].isspace() and not shown[-1].isspace())
    assume(len(overlaps(shown, shown[start:] + rest)) == 1)
    assume(not spelled(shown[:start]).endswith(spelled(shown[start:])))
    assume(len(shown) <= 400 or repeated < 400)
    assert joined(shown, shown[start:] + rest, size) == text


@given(ANYTHING, ANYTHING, st.integers(1, 40))
@example("def f():\n    ", "    return 1", 2)
@example("Say it: ", "Sure. I will.", 1)
def test_without_an_overlap_nothing_is_lost(shown: str, continuation: str, size: int) -> None:
    assume(not overlaps(shown, continuation))
    assume("continu" not in continuation.lower())
    assume("`" not in continuation)
    assume("~" not in continuation)
    result = joined(shown, continuation, size)
    one_space_less = shown.endswith(" ") and continuation.startswith(" ")
    dropped = 1 if one_space_less and result != shown + continuation else 0
    assert result == shown + continuation[dropped:]


@given(ANYTHING, ANYTHING, st.integers(1, 40))
def test_what_is_shown_ends_what_was_written(shown: str, continuation: str, size: int) -> None:
    """Whatever is dropped is dropped at the seam: what follows is the model's own, to its end."""
    result = joined(shown, continuation, size)
    assert result.startswith(shown)
    assert continuation.endswith(result[len(shown) :])


@given(ANYTHING, ANYTHING, st.integers(1, 40), st.integers(1, 40))
@example("000000:0 ", "000000:0 \r", 1, 2)
def test_the_size_of_the_pieces_does_not_matter(shown: str, continuation: str, one: int, other: int) -> None:
    assert joined(shown, continuation, one) == joined(shown, continuation, other)


@pytest.mark.parametrize(
    ("shown", "continuation", "whole"),
    [
        ("The quick brown fox", " jumps.", "The quick brown fox jumps."),
        ("I see the quick brown fo", "the quick brown fox jumps.", "I see the quick brown fox jumps."),
        ("Well, it is one of the most", "It is one of the most beautiful.", "Well, it is one of the most beautiful."),
        ("We went to the market and ", "to the market and\nbought", "We went to the market and bought"),
        ("The story of the Brow", "Brown family", "The story of the Brown family"),
        ("Hello ", " world", "Hello world"),
        ("A very", " very good day", "A very very good day"),
        ("I ate. ", "Sure, here is the continuation:\n\nThen I slept.", "I ate. Then I slept."),
        ("First we rest, then", "Sorry for that!\nFirst we rest, then we go.", "First we rest, then we go."),
        ("Ready.\n\n", "Here are the other steps:\n1. Eat.", "Ready.\n\nHere are the other steps:\n1. Eat."),
        ("```python\ndef f(a, ", "```python\ndef f(a, b):\n    pass\n```", "```python\ndef f(a, b):\n    pass\n```"),
        ("```python\nx = 1\n", "```python\ny = 2\n```\n", "```python\nx = 1\ny = 2\n```\n"),
        ("```\nx = 1\ny = 2\nz", "```\nx = 1\ny = 2\nz = 3\n```", "```\nx = 1\ny = 2\nz = 3\n```"),
        ("```python\nx = 1\n", "```\nDone.", "```python\nx = 1\n```\nDone."),
        ("def f():\n    if a:\n    ", "    return 1", "def f():\n    if a:\n        return 1"),
        (
            "Row, row your boat. Row, row your boat. ",
            "Row, row your boat.",
            "Row, row your boat. " * 2 + "Row, row your boat.",
        ),
        ("x = [0, 0, 0, 0, 0, 0, 0,", " 0, 0, 0, 0, 0]", "x = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]"),
        ("今日はとても良い天気です", "とても良い天気ですから散歩します", "今日はとても良い天気ですから散歩します"),
        ("----------------", "----------------\n", "-" * 32 + "\n"),
        ("", "Sure, to continue:\nYes.", "Sure, to continue:\nYes."),
    ],
)
@pytest.mark.parametrize("size", [1, 4, 1000])
def test_the_ways_models_go_on(shown: str, continuation: str, whole: str, size: int) -> None:
    assert joined(shown, continuation, size) == whole


def test_a_model_that_simply_goes_on_is_not_held_back() -> None:
    seam = Seam("The lighthouse stood on a rock and the sea was calm. The keeper")
    assert seam.feed(" lit") == " lit"
