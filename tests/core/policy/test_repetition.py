"""Loops are found, and style is not taken for one."""

from __future__ import annotations

import base64

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mai_core.policy.repetition import REACH, before_loop, loop_start

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


COUNTED = {
    "steps": "".join(f"Step {n}: Check the wires and make sure they are connected.\n" for n in range(1, 40)),
    "list": "".join(f"{n}. Make sure that the water is hot.\n" for n in range(1, 60)),
    "items": "Words that mean good:\n" + "".join(f'- {n}. "beautiful"\n' for n in range(1, 90)),
    "paragraphs": "".join(
        f"**Clause {n}.** The tenant shall pay the rent on day 3 of each month.\n\nSee clause {n + 1} for more.\n\n"
        for n in range(1, 30)
    ),
    "in one line": "".join(f"On day {n} the knight rode on to the next village. " for n in range(1, 40)),
}


@pytest.mark.parametrize("text", COUNTED.values(), ids=COUNTED.keys())
def test_a_loop_that_counts_its_rounds_is_a_loop(text: str) -> None:
    starts = [loop_start(BEFORE + text[:end]) for end in range(0, len(text), 64)]
    first = next(start for start in starts if start is not None)
    told = (BEFORE + text)[:first]
    assert len(told) < len(BEFORE) + 160, "one round, and a sentence at most"
    assert told == told.rstrip("0123456789")
    assert sum(start is not None for start in starts) > len(starts) / 4


@pytest.mark.parametrize("passage", ["I am here to help you. ", "he rode to the hill and then to the sea and so on, "])
def test_who_goes_on_reads_nothing_of_a_loop(passage: str) -> None:
    text = BEFORE + passage * 40
    start = loop_start(text)
    assert start is not None
    assert text[: before_loop(text, start)] == BEFORE.rstrip()


@pytest.mark.parametrize("text", COUNTED.values(), ids=COUNTED.keys())
def test_who_goes_on_reads_nothing_of_a_loop_that_counts(text: str) -> None:
    start = loop_start(BEFORE + text)
    assert start is not None
    assert before_loop(BEFORE + text, start) <= len(BEFORE) + len("Words that mean good:\n") + 16


STYLE = {
    "counting down": "".join(
        f"{n} green bottles hanging on the wall, {n} green bottles hanging on the wall. And if one fell, there were\n"
        for n in range(99, 40, -1)
    ),
    "log": "".join(
        f"2026-03-01 12:00:{n:02} INFO request {n} was served by the cache in {n * n % 97} ms\n" for n in range(60)
    ),
    "times table": "".join(f"The product of 7 and {n} is then {7 * n}.\n" for n in range(1, 60)),
    "steps that differ": "".join(
        f"Step {n}: Turn the {['red', 'green', 'blue', 'black', 'white'][n % 5]} screw by {n * 15 % 360} degrees.\n"
        for n in range(40)
    ),
    "yaml": "".join(f"- id: {n}\n  name: user{n}\n  active: true\n" for n in range(60)),
    "csv": "id,name,mail\n" + "".join(f"{n},Ann,ann@example.com\n" for n in range(60)),
    "fenced log": "```\n" + "".join(f"request {n} was served by the cache\n" for n in range(60)),
    "twenty fruits": "".join(f"{n}. Grape\n" for n in range(1, 21)),
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
