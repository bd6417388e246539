"""Loops are found, and style is not taken for one."""

from __future__ import annotations

import base64

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mai_core.policy.repetition import REACH, loop_start

BEFORE = "The story begins with a knight who rode north until the road ended. "
WORD = st.text("abcdefghijkl", min_size=1, max_size=8)
PASSAGE = st.lists(WORD, min_size=4, max_size=30, unique=True).map(lambda words: " ".join(words) + ". ")


@given(PASSAGE, st.integers(0, 200))
def test_a_loop_is_said_once(passage: str, cut: int) -> None:
    rounds = max(6, 400 // len(passage))
    text = BEFORE + passage * rounds + passage[:cut]
    start = loop_start(text)
    assert start is not None
    assert len(BEFORE + passage) - 2 <= start <= len(BEFORE) + 2 * len(passage)


@given(PASSAGE)
def test_a_loop_is_found_however_much_was_written_before(passage: str) -> None:
    assume(len(passage) < 200)
    before = " ".join(f"the {n}th knight rode {'abcde'[n % 5] * (n % 7)}" for n in range(REACH // 12))
    assert loop_start(before + passage * max(6, 400 // len(passage))) is not None


@given(st.text(max_size=2000))
def test_any_text_can_be_searched(text: str) -> None:
    start = loop_start(text)
    assert start is None or 0 < start < len(text)


def test_real_loops_of_a_small_model() -> None:
    assert loop_start("i'll be here. " + "i'm here. " * 40) is not None
    nested = "I'm here to help. He said: I'm here to help you. And then again: I'm here to help. "
    assert loop_start(BEFORE + nested * 5) is not None
    assert loop_start(BEFORE + "[1080]\n\nThe New England Proposal\n\n" * 30) is not None


def test_a_sentence_is_told_to_its_end() -> None:
    text = "It is a cycle, and so is this. " + "It is a cycle of light, where light is kept for the night. " * 8
    assert text[: loop_start(text)].endswith("kept for the night.")


LONG = "nce upon a time there was a knight, and " + "then there was another one, and " * 8 + "so on and on, "


def test_no_word_is_left_in_pieces_where_the_sentence_is_too_long_to_be_told() -> None:
    told = BEFORE + "o" + LONG
    assert told + "O" + LONG[:3] == (told + ("O" + LONG) * 6)[: len(told) + 4], "the second round begins with another O"
    assert (told + ("O" + LONG) * 6)[: loop_start(told + ("O" + LONG) * 6)] == told


def test_what_has_no_words_is_cut_where_its_first_round_ends() -> None:
    passage = "".join(chr(0x4E00 + 7 * n) for n in range(300))
    assert loop_start(passage * 20) == len(passage)


STYLE = {
    "short": "Yes.",
    "said thrice": BEFORE * 3,
    "round": "Row, row, row your boat, gently down the stream. " * 3,
    "refrain": "".join(
        f"Verse {n} of the sea and {n} gulls,\nRoll on, roll on,\nRoll on to the shore.\n" for n in range(9)
    ),
    "table": "".join(f"| {i} | {i * i} | yes |\n" for i in range(60)),
    "table of equals": "| a | b | c |\n|---|---|---|\n" + "| no | no | no |\n" * 30,
    "numbers": "\n".join(f"{i}. item number {i}" for i in range(80)),
    "rule": BEFORE + "-" * 200,
    "long rule": BEFORE + "=-" * 500,
    "zeros": "x = [\n" + "    [0, 0, 0, 0, 0, 0, 0, 0],\n" * 50,
    "tests": "".join(f"def test_add_{i}() -> None:\n    assert add({i}, 1) == {i + 1}\n\n\n" for i in range(60)),
    "cards": "```html\n" + '<div class="card">\n  <p>Some text of the card</p>\n</div>\n' * 6,
    "equal statements": "```python\n" + "    queue.put(next(items))\n" * 12,
    "rows": "[\n" + "".join(f'  {{"id": {i}, "active": true, "role": "user"}},\n' for i in range(60)),
    "equal rows": "[\n" + '  {"id": 0, "active": true, "role": "user"},\n' * 16,
    "sql": "".join(f"INSERT INTO users VALUES ({i}, 'Ann', 'a@b.c');\n" for i in range(60)),
    "laughter": "He laughed: " + "ha " * 200,
    "base64": base64.b64encode(bytes(1200)).decode(),
    "hex": "\n".join(f"{n:08x}  " + "00 " * 16 for n in range(0, 640, 16)),
    "song": "All you need is love, all you need is love, all you need is love, love. Love is all you need. " * 3,
}


@pytest.mark.parametrize("text", STYLE.values(), ids=STYLE.keys())
def test_style_is_no_loop(text: str) -> None:
    for end in range(len(text), 0, -16):
        assert loop_start(text[:end]) is None, text[:end]
