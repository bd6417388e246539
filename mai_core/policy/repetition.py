"""When a model has lost itself in a loop."""

from __future__ import annotations

import re

__all__ = ["REACH", "loop_start"]

ANCHOR = 24
REACH = 8192
"""Characters at the end of a text that are searched, so that a long text costs no more than a short one."""

MOST_PERIODS = 16
"""How many earlier places that end alike are tried as the length of the loop: a passage may repeat within itself."""

# Rounds in a row, and characters in all, from which on a repetition is no style any more.
PROSE = (4, 240)
CODE = (8, 800)
FEW_WORDS = (16, 800)
NO_WORDS = (16, 2000)

LONGEST_REST = 200
LONGEST_WORD = 40
_SENTENCE_END = re.compile(r"[.!?…](?=\s)|(?=\n)")
_WORD = re.compile(r"[^\W\d_]{2,}|[^\W\d_](?![^\W\d_])")
_CODE_LINE = re.compile(r"^\s*[|<{}\[(]|(?:[|>{}\[\]();]|[\"'\d\])},],)\s*$", re.MULTILINE)


def loop_start(text: str) -> int | None:
    """Where the second round of a loop at the end of ``text`` begins, so that ``text[:start]`` says it once.

    A sentence that the first round leaves open is told to its end; where that is far, no word is left in pieces.

    A loop is the same passage many times in a row to the very end. How many depends on what it says: four rounds and
    240 characters of prose; more of code, tables and data, whose lines may well be equal; still more of one or two
    words (laughter), and of what has no words (rules of dashes, rows of zeros, encoded bytes). Shorter repetition is
    style. Looks at the last ``REACH`` characters.
    """
    if len(text) <= ANCHOR + PROSE[1]:
        return None
    anchor, before_all = text[-ANCHOR:], max(0, len(text) - REACH)
    end, shortest = len(text) - 1, 0
    for _ in range(MOST_PERIODS):
        before = text.rfind(anchor, before_all, end)
        if before < 0:
            return None
        end, period = before + ANCHOR - 1, len(text) - ANCHOR - before
        # Several rounds of a passage are no other passage.
        if (shortest and period % shortest == 0) or not _repeats(text, period, PROSE):
            continue
        if _repeats(text, period, _least(text, period)):
            return _start_of(text, period)
        shortest = shortest or period
    return None


def _start_of(text: str, period: int) -> int:
    """Where the second round begins of a loop of ``period`` characters, or the first sentence of it ends."""
    start = len(text) - period
    while start >= period and text[start - period : start] == text[start : start + period]:
        start -= period
    while start > 0 and text[start - 1] == text[start - 1 + period]:
        start -= 1
    second = start + period
    end = _SENTENCE_END.search(text, max(0, second - 1), second + min(period, LONGEST_REST))
    return max(second, end.end()) if end is not None else _whole_word(text, second)


def _whole_word(text: str, cut: int) -> int:
    """``cut``, or the beginning of the word that it would leave in pieces."""
    start, least = cut, max(0, cut - LONGEST_WORD)
    while start > least and text[start - 1].isalnum() and text[start].isalnum():
        start -= 1
    return start if start > least else cut


def _repeats(text: str, period: int, least: tuple[int, int]) -> bool:
    rounds = max(least[0], -(-least[1] // period))
    return len(text) >= rounds * period and text[-rounds * period : -period] == text[-(rounds - 1) * period :]


def _least(text: str, period: int) -> tuple[int, int]:
    """The rounds and characters a passage takes to be a loop."""
    passage = text[-period:]
    words = {word.casefold() for word in _WORD.findall(passage)}
    if not words or (passage.isascii() and not any(c.isspace() for c in passage)):
        return NO_WORDS
    if len(words) <= 2:
        return FEW_WORDS
    if _CODE_LINE.search(passage) or text.count("```") % 2:
        return CODE
    return PROSE
