"""Names and lines a person reads and types."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["excerpt", "id_at", "single_line", "storable", "typed_id"]

ID_LENGTH = 8
TICKS_PER_SECOND = 256  # 40 bits of them last until 2106
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no letter looks like a digit
MISREAD = str.maketrans("oil", "011")

TITLE_LENGTH = 60
LONGEST_SOUGHT = 100


def id_at(seconds: float, attempt: int = 0) -> str:
    """The ``attempt``-th id for something made at that time: later ones sort after earlier ones."""
    ticks = int(seconds * TICKS_PER_SECOND) + attempt
    return "".join(ALPHABET[ticks >> shift & 31] for shift in range(5 * (ID_LENGTH - 1), -1, -5))


def typed_id(text: str) -> str:
    """The id, or the beginning of one, a person meant."""
    return text.strip().lower().translate(MISREAD)


def storable(text: str) -> str:
    """The text with halves of surrogate pairs, which no file can hold, joined where possible and marked otherwise."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def single_line(text: str, length: int = TITLE_LENGTH) -> str:
    """The beginning of a text as one printable line of at most ``length`` characters, cut between words."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 20 * length]).split())
    if len(line) <= length:
        return line
    head = line[: length - 1]
    words, space, _ = head.rpartition(" ")
    return (words if space and len(words) > length // 2 else head) + "…"


def excerpt(text: str, words: Sequence[str], before: int = 30, after: int = 60) -> str:
    """One line around the first of the ``words`` in the text, or its beginning when they are not there literally."""
    found = (
        re.search("|".join(re.escape(word[:LONGEST_SOUGHT]) for word in words), text, re.IGNORECASE) if words else None
    )
    start = max(0, found.start() - before) if found else 0
    end = (found.start() if found else 0) + after
    line = single_line(text[start:end], length=before + after)
    return ("…" if start else "") + line + ("…" if end < len(text) and not line.endswith("…") else "")
