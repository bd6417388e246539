"""Loops are found, and style is not taken for one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mai_core.policy.repetition import loop_start

BEFORE = "The story begins with a knight who rode north until the road ended. "


@given(st.text("abcdefgh ij.\n", min_size=24, max_size=200), st.integers(0, 60))
def test_a_loop_is_said_once(passage: str, cut: int) -> None:
    rounds = max(5, 400 // len(passage))
    text = BEFORE + passage * rounds + passage[:cut]
    start = loop_start(text)
    assert start is not None
    assert len(BEFORE) <= start + 60
    assert start <= len(BEFORE) + 2 * len(passage)
    assert text.startswith(text[:start])


def test_real_loops_of_a_small_model() -> None:
    assert loop_start("i'll be here. " + "i'm here. " * 40) is not None
    nested = "I'm here to help. He said: I'm here to help you. And then again: I'm here to help. "
    assert loop_start(BEFORE + nested * 5) is not None
    assert loop_start(BEFORE + "[1080]\n\nThe New England Proposal\n\n" * 9) is not None


@given(st.text(max_size=2000))
def test_any_text_can_be_searched(text: str) -> None:
    start = loop_start(text)
    assert start is None or 0 < start < len(text)


def test_style_is_no_loop() -> None:
    refrain = "Row, row, row your boat, gently down the stream. " * 3
    table = "".join(f"| {i} | {i * i} | yes |\n" for i in range(60))
    numbers = "\n".join(f"{i}. item number {i}" for i in range(80))
    for text in ("Yes.", BEFORE * 3, refrain, table, numbers, BEFORE + "-" * 200, "x = [\n" + "    0, 0, 0, 0,\n" * 8):
        assert loop_start(text) is None
