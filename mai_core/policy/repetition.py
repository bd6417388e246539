"""When a model has lost itself in a loop."""

from __future__ import annotations

import re

__all__ = ["REACH", "before_loop", "loop_start"]

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

# Rounds in which everything but a count is the same: of sentences, and of one or two words in a numbered list.
COUNTED = (10, 400)
COUNTED_ITEMS = (32, 300)
COUNTED_REACH = 4096

LONGEST_REST = 200
LONGEST_WORD = 40
_SENTENCE_END = re.compile(r"(?<!\n0)[.!?…](?=\s)|(?=\n)")
_NUMBER = re.compile(r"\d{1,9}")
_CLAUSE = re.compile(r"(?:[^\W\d_]+,? ){3}[^\W\d_]+")
_LIST_ITEM = re.compile(r"\n[ \t]*(?:[-*] )?0[.)] ")
_WORD = re.compile(r"[^\W\d_]{2,}|[^\W\d_](?![^\W\d_])")
_CODE_LINE = re.compile(r"^\s*[|<{}\[(]|(?:[|>{}\[\]();]|[\"'\d\])},],)\s*$", re.MULTILINE)


def loop_start(text: str) -> int | None:
    """Where the second round of a loop at the end of ``text`` begins, so that ``text[:start]`` says it once.

    A sentence that the first round leaves open is told to its end; where that is far, no word is left in pieces.

    A loop is the same passage many times in a row to the very end. How many depends on what it says: four rounds and
    240 characters of prose; more of code, tables and data, whose lines may well be equal; still more of one or two
    words (laughter), and of what has no words (rules of dashes, rows of zeros, encoded bytes). Shorter repetition is
    style. Where nothing differs but numbers that count up, it is a loop, too: of sentences after ten rounds, of items
    in a list after 32; code, tables and data are not. Looks at the last ``REACH`` characters, for those at the last
    half of them.
    """
    exact = _exact(text)
    return exact if exact is not None else _counted(text)


def before_loop(text: str, second: int) -> int:
    """Where to go on from without a loop whose second round begins at ``second``: the last sentence end before it.

    A model that reads the first round falls into the loop again far more often than one that reads nothing of it. The
    first round is looked for by the words the second begins with; 0 where no sentence ends before it.
    """
    plain = _NUMBER.sub(lambda number: "0" * len(number[0]), text)
    begins = plain[second : second + ANCHOR]
    first = plain.find(begins, 0, second + len(begins) - 1) if begins.strip() else -1
    ends = [end.end() for end in _SENTENCE_END.finditer(text, 0, (second if first < 0 else first) + 1)]
    return len(text[: ends[-1]].rstrip()) if ends else 0


def _exact(text: str) -> int | None:
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


def _counted(text: str) -> int | None:
    """Where the second round begins of a loop that counts its rounds."""
    begun = len(text) - len(text.rstrip("0123456789"))
    text = text[: len(text) - begun]  # the last number may still grow
    offset = max(0, len(text) - COUNTED_REACH)
    tail = text[offset:]
    plain, numbers = _NUMBER.subn("0", tail)
    if numbers < COUNTED[0] or len(plain) <= ANCHOR + COUNTED_ITEMS[1] or text.count("```") % 2:
        return None
    end, shortest = len(plain) - 1, 0
    for _ in range(MOST_PERIODS):
        before = plain.rfind(plain[-ANCHOR:], 0, end)
        if before < 0:
            return None
        end, period = before + ANCHOR - 1, len(plain) - ANCHOR - before
        if (shortest and period % shortest == 0) or not _repeats(plain, period, COUNTED):
            continue
        shortest = shortest or period
        least = _least_counted(plain[-period:] + plain[-2 * period : -period])
        if least and _repeats(plain, period, least):
            found = _NUMBER.findall(tail)
            if _counts_up(found, plain, period, least):
                start = _start_of(plain, period)
                return offset + start + sum(len(number) - 1 for number in found[: plain.count("0", 0, start)])
    return None


def _least_counted(rounds: str) -> tuple[int, int] | None:
    """The rounds and characters two rounds, without their numbers, stand for; None where counting is their style."""
    if _CODE_LINE.search(rounds):
        return None
    if _CLAUSE.search(rounds):
        return COUNTED
    is_item = _LIST_ITEM.search(rounds) and rounds.count("0") == 2 and _WORD.search(rounds)
    return COUNTED_ITEMS if is_item else None


def _counts_up(numbers: list[str], plain: str, period: int, least: tuple[int, int]) -> bool:
    """Whether each number of a round is the same in all rounds, or one more than in the round before, as one is."""
    each = plain.count("0", len(plain) - period)
    rounds = max(least[0], -(-least[1] // period))
    values = [int(number) for number in numbers[len(numbers) - each * rounds :]]
    columns = [{b - a for a, b in zip(values[k::each], values[k + each :: each], strict=False)} for k in range(each)]
    return {1} in columns and all(column in ({0}, {1}) for column in columns)


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
