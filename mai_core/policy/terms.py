"""The terms of a prompt: its words, and its shape put in words.

Shape tells as much as words where it shows how an answer is to be found: options to choose among, figures to calculate
with, code to read. Each measure of it is one term of a few, so that whatever weighs words weighs shape, too.
"""

from __future__ import annotations

import re

__all__ = ["JUDGED_CHARACTERS", "judged", "terms", "terms_of", "words"]

# Only so much of a text is judged, half of it from each end, so a huge paste costs no time.
JUDGED_CHARACTERS = 4000

# Everything but letters, digits and the bytes of other scripts parts words; on bytes this takes a tenth of a pattern.
_PARTING = bytes(c if c >= 0x80 or chr(c).isalnum() else 0x20 for c in range(256))
# Marks of other scripts part words, too.
_MARKS = str.maketrans(dict.fromkeys("¿¡«»“”„‘’‚–—…·×÷±°。，、；：？！（）《》「」\u00a0\u2009\u202f\u3000", " "))
_OPTION = re.compile(r"\n\(?[A-J][.):] ?")
_NEGATED = (" not ", " NOT", " except", " EXCEPT", "false", "incorrect", " least ", " never ")


def judged(text: str) -> str:
    """The part of a text that is looked at: all of it unless it is long."""
    half = JUDGED_CHARACTERS // 2
    return text if len(text) <= JUDGED_CHARACTERS else f"{text[:half]} {text[-half:]}"


def words(text: str) -> list[bytes]:
    """The words of a text, in order, in lower case and UTF-8; a number is one, a run of Chinese is one."""
    if not text.isascii():
        text = text.translate(_MARKS)
    return text.lower().encode("utf-8", "surrogatepass").translate(_PARTING).split()


def terms(text: str) -> set[bytes]:
    """Everything a prompt is weighed by, each term once."""
    return terms_of(judged(text))[0]


def terms_of(looked: str) -> tuple[set[bytes], int]:
    """The terms of a text that is ``judged`` already, and how many options to choose among it ends with."""
    spoken = words(looked)
    first, *options = _OPTION.split(looked)
    found = set(spoken)
    found.update(_shape(looked, len(spoken), first, options))
    return found, len(options)


def _shape(text: str, spoken: int, first: str, options: list[str]) -> list[bytes]:
    """Measures of ``text``, which has ``spoken`` words. A term of shape holds a space, which no word does."""
    asked = first.count(" ") + 1
    length = sum(map(len, options)) / len(options) if options else 0.0
    digits = _digits(text)
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
        numeric = sum(1 for option in options if _has_digit(option))
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


def _digits(text: str) -> int:
    return sum(map(text.count, "0123456789"))


def _has_digit(text: str) -> bool:
    return any(map(text.__contains__, "0123456789"))
