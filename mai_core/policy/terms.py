"""The terms of a prompt: its words, and its shape put in words.

Shape tells as much as words where it shows how an answer is to be found: options to choose among, figures to calculate
with, code to read. Each measure of it is one term of a few, so that whatever weighs words weighs shape, too.
"""

from __future__ import annotations

import re

__all__ = ["JUDGED_CHARACTERS", "judged", "terms", "terms_of", "words"]

# Only so much of a text is judged, two thirds of it from the beginning, the rest from the end: what it is about shows
# soon, and a huge paste costs no time.
JUDGED_CHARACTERS = 900

# Everything but letters, digits and the bytes of other scripts parts words; on bytes this takes a tenth of a pattern.
_PARTING = bytes(c if c >= 0x80 or chr(c).isalnum() else 0x20 for c in range(256))
# Marks of other scripts part words, too.
_MARKS = re.compile(r"[¿¡«»“”„‘’‚–—…·×÷±°。，、；：？！（）《》「」\s]")
_DIGITS = b"0123456789"
_DIGIT = re.compile(r"[0-9]")
_OPTION = re.compile(r"\n\(?[A-J][.):] ?")
_NEGATED = (" not ", " NOT", " except", " EXCEPT", "false", "incorrect", " least ", " never ")


def judged(text: str, most: int = JUDGED_CHARACTERS) -> str:
    """The part of a text that is looked at: all of it unless it is longer than ``most`` characters."""
    if len(text) <= most:
        return text
    tail = most // 3
    return f"{text[: most - tail]} {text[-tail:]}"


def words(text: str) -> list[bytes]:
    """The words of a text, in order, in lower case and UTF-8; a number is one, a run of Chinese is one."""
    return _spelled(text).translate(_PARTING).split()


def _spelled(text: str) -> bytes:
    if not text.isascii():
        text = _MARKS.sub(" ", text)
    return text.lower().encode("utf-8", "surrogatepass")


def terms(text: str, most: int = JUDGED_CHARACTERS) -> set[bytes]:
    """Everything a prompt is weighed by, each term once; ``most`` as in ``judged``."""
    return terms_of(judged(text, most))[0]


def terms_of(looked: str) -> tuple[set[bytes], int]:
    """The terms of a text that is ``judged`` already, and how many options to choose among it ends with."""
    spelled = _spelled(looked)
    spoken = spelled.translate(_PARTING).split()
    digits = len(spelled) - len(spelled.translate(None, _DIGITS))
    first, *options = _OPTION.split(looked)
    found = set(spoken)
    found.update(_shape(looked, len(spoken), digits, first, options))
    return found, len(options)


def _shape(text: str, spoken: int, digits: int, first: str, options: list[str]) -> list[bytes]:
    """Measures of ``text``, which has ``spoken`` words and so many digits.

    A term of shape holds a space, which no word does.
    """
    asked = first.count(" ") + 1
    length = sum(map(len, options)) / len(options) if options else 0.0
    figures = _step(200.0 * digits / (len(text) + 1), 6)
    tail = first.rstrip()[-1:]
    answers = f"{_step(length, 8)}" if options else "none"
    found = [
        f"length {_step(spoken, 12)}",
        f"asked {_step(asked, 10)}",
        f"options {len(options)}",
        f"answers {answers}",
        f"figures {figures}",
        f"answers {answers} figures {figures}",
        f"answers {answers} asked {_step(asked, 10)}",
        f"ends {tail if tail in '?.:,' else 'otherwise'}",
        f"marks {_step(text.count('?'), 3)}",
    ]
    if options:
        numeric = sum(map(bool, map(_DIGIT.search, options)))
        found.append(f"numeric {numeric * 4 // len(options)}")
    if "_" in first:
        found.append("a blank")
    if "$" in text or "\\" in text:
        found.append("in TeX")
    if not text.isascii():
        found.append("not ascii")
    if any(map(first.__contains__, _NEGATED)):
        found.append("a negation")
    return " | ".join(found).encode().split(b" | ")


def _step(value: float, most: int) -> int:
    """``value`` on a scale of doublings, from 0 to ``most``."""
    return min(most, int(value + 1).bit_length() - 1)
