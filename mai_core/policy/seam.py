"""Joins what the next model writes to the text already shown, without a repetition and without a loss.

A model that goes on by its own template continues exactly. One that is asked to go on, or whose template closes the
answer first, begins with the last words again, opens the code block anew, or says that it will go on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["MOST_HELD", "Seam"]

LONGEST_REPETITION = 400
"""Characters of the end of the shown text a repetition is looked for in."""

MOST_HELD = 640
"""The most that is ever held back, in characters: a promise to go on, and the longest repetition."""

SHORTEST_REPETITION = 12
LEAST_WORDS = 3
"""Less than that two texts share by chance: very, very often."""

SHORTEST_WITHIN_A_WORD = 24
SHORTEST_FRAGMENT = 4
"""Letters of a cut word after which the whole word is taken for its completion."""

LONGEST_PROMISE = 200

_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
_REOPENED = re.compile(r"\s*(?:```+|~~~+)[ \t]*([\w+#.-]*)[ \t]*\n")
_MAY_REOPEN = re.compile(r"\s*(?:`{1,2}|~{1,2}|(?:```+|~~~+)[^\n]{0,40})?\Z")
_WORD = re.compile(r"\w+")
_FRAGMENT = re.compile(r"[^\W\d_]+\Z")
_PROMISES = ("Sure", "Certainly", "Of course", "Okay", "OK", "Absolutely", "Sorry", "Apologies", "My apologies",
             "I apologi", "Here", "Continuing", "Let me continue", "I'll continue", "I will continue")  # fmt: skip
_GOES_ON = re.compile(
    r"[^\n]*?(?:\bcontinu|\bleft off|\bcut off|\binterrupt)[^\n]*?(?::[ \t]+(?=\S)|[:.!…]*[ \t]*\n+)", re.I
)
_LINE = re.compile(r"[^\n]*\n+")


class Seam:
    """Streams a continuation of ``shown``: feed its pieces, show what comes back, and ``close`` it at the end.

    A piece is held back only as long as all that came could still turn out to be a repetition, a code block opened
    anew, or a promise to go on: for a model that simply goes on, hardly ever. A repetition is at least three whole
    words and twelve characters, the longest there is, whatever its case and kind of white space. Where the shown text
    already says the same twice, or it repeats within itself, that is its style, and nothing is dropped.
    """

    def __init__(self, shown: str) -> None:
        self._tail = shown[-LONGEST_REPETITION:]
        self._whole = len(self._tail) == len(shown)
        self._spelled = "".join(letter for letter, _ in _spelled(self._tail))
        self._in_fence = len(_FENCE.findall(shown)) % 2 == 1
        self._fragment = found[0].lower() if (found := _FRAGMENT.search(self._tail)) else ""
        self._held = ""
        self._open = bool(shown)

    def feed(self, piece: str) -> str:
        """What of it, and of the pieces before, can be shown now."""
        if not self._open:
            return piece
        self._held += piece
        dropped = self._dropped(self._held, over=len(self._held) > MOST_HELD)
        return "" if dropped is None else self._join(dropped)

    def close(self) -> str:
        """What is still held back, without what is repeated."""
        return self._join(self._dropped(self._held, over=True) or 0) if self._open else ""

    def _join(self, dropped: int) -> str:
        self._open = False
        rest, self._held = self._held[dropped:], ""
        return rest

    def _dropped(self, text: str, *, over: bool) -> int | None:
        """How many characters at its beginning are not to be shown; None while that depends on what follows.

        ``over`` when nothing follows, or no more can be waited for.
        """
        if not over and (not text.strip() or _may_promise(text)):
            return None
        promise = _GOES_ON.match(text) if text.startswith(_PROMISES) else None
        begin = promise.end() if promise else 0
        if promise is None and text.startswith(_PROMISES) and (line := _LINE.match(text)):
            # No word of going on: only what follows tells whether this line belongs to the answer.
            repeated = self._repeated(text[line.end() :], over=over)
            if repeated or repeated is None:
                return None if repeated is None else line.end() + repeated
        rest = text[begin:]
        if self._in_fence:
            if not over and _MAY_REOPEN.match(rest):
                return None
            if (fence := _REOPENED.match(rest)) is not None:
                repeated = self._repeated(rest[fence.end() :], over=over, anew=bool(fence[1]))
                if repeated is None:
                    return None
                # Without a language and a repetition it is the end of the block.
                return begin + fence.end() + repeated if repeated or fence[1] else begin
        repeated = self._repeated(rest, over=over, anew=promise is not None)
        if repeated is None:
            return None
        return begin + (repeated or self._second_space(rest))

    def _repeated(self, text: str, *, over: bool, anew: bool = False) -> int | None:
        """How many characters at the beginning of ``text`` repeat the end of what is shown; None if still open.

        ``anew`` when the model is known to begin anew: then a shorter repetition is one, too.
        """
        offset = len(text) - len(text.lstrip())
        letters = list(_spelled(text[offset:]))
        new = "".join(letter for letter, _ in letters)
        if not new:
            return 0 if over else None
        for start in self._places(new[0], anew):
            rest = len(self._spelled) - start
            if len(new) < rest:
                if not over and self._spelled.startswith(new, start):
                    return None
            elif new.startswith(self._spelled[start:]) and self._is_repetition(start, anew):
                end = offset + letters[rest - 1][1]
                # White space at the very end may be the beginning of more of it.
                return end if over or end < len(text) or not text[-1].isspace() else None
        return self._completed(text, over=over)

    def _completed(self, text: str, *, over: bool) -> int | None:
        """How many characters repeat a word that was cut: ``brow`` is gone on with by ``brown``."""
        word = self._fragment
        if len(word) < SHORTEST_FRAGMENT or len(set(word)) == 1:
            return 0
        begun = text[: len(word) + 1].lower()
        if begun == word[: len(begun)]:
            return 0 if over else None
        return len(word) if begun.startswith(word) and begun[-1].isalpha() else 0

    def _second_space(self, text: str) -> int:
        """1 where both sides of the seam have a space between words; code is indented by more than one."""
        twice = re.match(r" (?=\S)", text) and re.search(r"\S \Z", self._tail) and not self._in_fence
        return 1 if twice else 0

    def _places(self, first: str, anew: bool) -> Iterable[int]:
        """Where in the shown text a repetition could begin, the longest first."""
        start = self._spelled.find(first)
        while start >= 0:
            if self._may_begin(start, anew):
                yield start
            start = self._spelled.find(first, start + 1)

    def _may_begin(self, start: int, anew: bool) -> bool:
        """Whether a repetition from there on would be long enough and begin with a word."""
        shown = self._spelled
        if start == 0 and self._whole:
            return True
        length = _length(shown[start:])
        if length >= SHORTEST_WITHIN_A_WORD:
            return True
        inside = shown[start - 1 : start].isalnum() and shown[start].isalnum() and shown[start] < _UNSPACED
        return not inside and length >= (SHORTEST_FRAGMENT if anew else SHORTEST_REPETITION)

    def _is_repetition(self, start: int, anew: bool) -> bool:
        """Whether what the shown text ends with, from there on, is said again by mistake: not by style."""
        repeated = self._spelled[start:]
        if _words(repeated) < (1 if anew else 2 if start == 0 and self._whole else LEAST_WORDS):
            return False
        if self._spelled.endswith(repeated, 0, start):
            return False
        return not any(repeated.startswith(repeated[period:]) for period in range(1, len(repeated) // 2 + 1))


_UNSPACED = "\u2e80"
"""From here on scripts write no spaces between words."""


def _spelled(text: str) -> Iterable[tuple[str, int]]:
    """The letters two texts are compared by, in lower case and with white space as one space, each with its end."""
    for found in _LETTER.finditer(text):
        letter = found[0]
        yield (" " if letter.isspace() else lower if len(lower := letter.lower()) == 1 else letter), found.end()


_LETTER = re.compile(r"\s+|\S", re.DOTALL)


def _words(text: str) -> int:
    """Words; of a script without spaces, every two characters count as one."""
    return sum(1 if word[0] < _UNSPACED else max(1, len(word) // 2) for word in _WORD.findall(text))


def _length(text: str) -> int:
    """Characters; those of a script without spaces say more and count twice."""
    return len(text) + sum(letter >= _UNSPACED for letter in text)


def _may_promise(text: str) -> bool:
    """Whether a model may be saying that it will go on, in a line that has not ended yet."""
    if len(text) > LONGEST_PROMISE or "\n" in text or _GOES_ON.match(text):
        return False
    return text.startswith(_PROMISES) or any(promise.startswith(text) for promise in _PROMISES)
