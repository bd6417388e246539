"""A continuation joins the text before it without a repetition, however it was cut into pieces."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mai_backends.openai_compatible.seam import LONGEST_REPETITION, SHORTEST_REPETITION, Seam

texts = st.text("ab .", max_size=40)


def joined(given_text: str, *pieces: str) -> str:
    seam = Seam(given_text)
    return "".join(seam.feed(piece) for piece in pieces) + seam.close()


@pytest.mark.parametrize(
    ("given_text", "continuation", "shown"),
    [
        ("", "Hello.", "Hello."),
        ("The dragon counted its", " coins.", " coins."),
        ("The dragon counted its coins.", "The dragon counted its coins. Then it slept.", " Then it slept."),
        ("One line.\nThe dragon counted", "The dragon counted its coins.", " its coins."),
        ("It was the", "the best of times", " best of times"),
        ("It was the quick bro", "brown fox", "wn fox"),
        ("It was", "Something else altogether.", " Something else altogether."),
        ("It ends.", "And goes on.", " And goes on."),
        ("list: [1, 2", ", 3]", ", 3]"),
        ("def f():\n    return ", "1", "1"),
        ("龙数着", "金币", "金币"),
        ("ba", "nana", " nana"),
        ("Once", "Once upon", " upon"),
    ],
)
def test_seams(given_text: str, continuation: str, shown: str) -> None:
    assert joined(given_text, continuation) == shown
    assert joined(given_text, *continuation) == shown


@given(texts, st.lists(texts, max_size=8))
@example("abababab", ["abab", "abab", "ab"])
def test_how_it_is_cut_makes_no_difference(given_text: str, pieces: list[str]) -> None:
    assert joined(given_text, *pieces) == joined(given_text, "".join(pieces))


@given(st.text("abc .", min_size=SHORTEST_REPETITION, max_size=60), st.text("xyz", max_size=20), st.data())
def test_a_repeated_end_is_never_shown_twice(given_text: str, new: str, data: st.DataObject) -> None:
    length = data.draw(st.integers(SHORTEST_REPETITION, len(given_text)))
    assert joined(given_text, given_text[-length:] + new) == new


@given(texts, texts)
def test_what_is_shown_is_the_end_of_what_came(given_text: str, continuation: str) -> None:
    """Nothing is made up but one space, and nothing new is lost: what is missing stands at the end of the text."""
    shown = joined(given_text, continuation)
    bare = shown if continuation.endswith(shown) else shown.removeprefix(" ")
    assert continuation.endswith(bare)
    dropped = continuation.removesuffix(bare)
    assert given_text.endswith(dropped)


@given(st.text("xyz", min_size=1, max_size=20))
def test_what_repeats_nothing_is_shown_at_once(piece: str) -> None:
    assert Seam("abc abc ").feed(piece) == piece


def test_what_is_held_back_has_a_bound() -> None:
    seam = Seam("a" * 100_000)
    assert sum(len(seam.feed("a" * 100)) for _ in range(2 * LONGEST_REPETITION // 100)) >= LONGEST_REPETITION - 100
