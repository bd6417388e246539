"""How many tokens a text has, for engines that keep their tokenizer to themselves."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["TokenEstimate"]

_DIGITS: Final = re.compile(r"[0-9]")
_SYMBOLS: Final = re.compile(r"[\x00-\x1f!-/:-@\[-`{-\x7f]")
_EUROPEAN: Final = re.compile(r"[\u0080-\u052f]")
_OTHER_SCRIPTS: Final = re.compile(r"[\u0530-\u2e7f]")
_IDEOGRAPHS: Final = re.compile(r"[\u2e80-\uffff]")
_ASTRAL: Final = re.compile(r"[\U00010000-\U0010ffff]")

# Tokens a character takes at most on average, over the vocabularies of 32 000 to 256 000 entries in use; a vocabulary
# without a script falls back to bytes, and the learned rate then tells.
_DENSE: Final = (
    (_DIGITS, 1.0),
    (_SYMBOLS, 0.8),
    (_EUROPEAN, 0.6),
    (_OTHER_SCRIPTS, 1.2),
    (_IDEOGRAPHS, 1.5),
    (_ASTRAL, 3.0),
)
_PROSE = 0.3  # English letters and spaces: 0.2 to 0.25 with every vocabulary in use
_MARGIN = 1.05
_SLOWLY = 0.25  # of the way down a lower count leads: one prompt of long words does not vouch for the next
_FEWEST_CHARACTERS = 200  # of a shorter prompt the chat template is too large a part
_MOST_PER_CHARACTER = 4  # the bytes of the longest character
_MOST_CHARACTERS_PER_TOKEN = 16


class TokenEstimate:
    """Tokens from characters, on the large side: a prompt judged to fit does fit.

    Letters of English count by a rate that is learned from true counts; digits, signs and other scripts take more,
    by what is known of them, and never less than that rate. No text has fewer tokens than words.
    """

    def __init__(self) -> None:
        self._rate = _PROSE

    def count(self, text: str) -> int:
        """Tokens of ``text``; 0 for nothing. Parts counted apart never make less than the whole."""
        if not text:
            return 0
        plain, tokens = len(text), 0.0
        for kind, cost in _DENSE:
            if found := len(kind.findall(text)):
                plain -= found
                tokens += found * max(cost, self._rate)
        tokens += plain * self._rate
        return max(1, len(text.split()), -int(-tokens // 1))

    def learn(self, characters: int, tokens: int) -> None:
        """Take to heart that a prompt of ``characters`` had ``tokens``, its template included.

        A higher rate is believed at once, a lower one by and by. What no tokenizer could have counted is ignored.
        """
        if characters < _FEWEST_CHARACTERS or not 0 < tokens <= characters * _MOST_PER_CHARACTER:
            return
        if tokens * _MOST_CHARACTERS_PER_TOKEN < characters:
            return
        seen = tokens / characters * _MARGIN
        self._rate = seen if seen > self._rate else self._rate + (seen - self._rate) * _SLOWLY
