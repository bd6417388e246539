"""Shortening a message that does not fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_strategies.transfers.cut import characters_for, level, marker, shorten
from tests.strategies.transfers.conversations import count

TEXT = "First words of it. " + "Something in between. " * 500 + "What do you think of this?"


def test_marker_is_visible_and_counts() -> None:
    assert marker(12000) == "[... 12,000 tokens left out ...]"


def test_beginning_and_end_stay() -> None:
    characters = characters_for(TEXT, count(TEXT), 100, count)
    assert characters is not None
    short = shorten(TEXT, count(TEXT), characters)
    assert short.startswith("First words of it.")
    assert short.endswith("What do you think of this?")
    assert "tokens left out ...]" in short
    assert 70 <= count(short) <= 100


@given(st.text(min_size=1, max_size=3000), st.integers(0, 400), st.integers(1, 4))
def test_takes_at_most_the_room(text: str, room: int, per_character: int) -> None:
    """Also when the bound is far above the tokenizer's own count."""

    def bound(piece: str) -> int:
        return len(piece) * per_character

    size = max(1, len(text) // 4)
    characters = characters_for(text, size, room, bound)
    if characters is None:
        assert bound(marker(size)) > room
    else:
        assert bound(shorten(text, size, characters)) <= room


@pytest.mark.parametrize(
    ("sizes", "room", "expected"),
    [
        ([10, 20, 30], 100, 30),
        ([10, 20, 300], 100, 70),
        ([100, 100], 100, 50),
        ([5], 3, 3),
        ([5, 5], -1, 0),
        ([], 7, 7),
    ],
)
def test_level_cuts_the_longest_only(sizes: list[int], room: int, expected: int) -> None:
    assert level(sizes, room) == expected
