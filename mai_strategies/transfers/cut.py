"""Shortening messages that do not fit whole: a visible marker instead of a failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["characters_for", "left_out", "level", "marker", "shorten"]

BEGINNING = 0.6
"""Share of what stays of a cut message that is its beginning; a question often stands at the very end."""
WORTH_SHOWING = 8
"""Characters below which the marker stands alone."""


def marker(tokens: int) -> str:
    """What a reader sees where text was left out."""
    return f"[... {tokens:,} tokens left out ...]"


def shorten(text: str, size: int, characters: int) -> str:
    """``text``, of ``size`` tokens, with its middle left out so that about so many characters stay; 0 for none."""
    if not characters:
        return marker(size)
    first = int(characters * BEGINNING)
    head, tail = text[:first], text[len(text) - (characters - first) :]
    if (space := head.rfind(" ")) > first * 0.8:
        head = head[:space]
    if 0 <= (space := tail.find(" ")) < len(tail) * 0.2:
        tail = tail[space + 1 :]
    return f"{head}\n{marker(left_out(text, size, characters))}\n{tail}"


def left_out(text: str, size: int, characters: int) -> int:
    """About how many of the ``size`` tokens of ``text`` are missing where so many of its characters stay."""
    return max(1, size - round(size * characters / len(text))) if characters else size


def characters_for(text: str, size: int, room: int, count: Callable[[str], int]) -> int | None:
    """How many characters of ``text`` can stay for it to take at most ``room`` tokens when it is shortened.

    Returns None when not even the marker fits. ``count`` is asked about short pieces only, never about ``text``.
    """
    free = room - count(marker(size))
    if free < 0:
        return None
    characters = min(len(text) - 1, free * len(text) // max(1, size))
    while characters >= WORTH_SHOWING:
        taken = count(shorten(text, size, characters))
        if taken <= room:
            return characters
        # ``count`` is an upper bound and may run far above ``size``: approach it by proportion, always by some.
        characters = int(characters * min(0.95, room / taken))
    return 0


def level(sizes: Sequence[int], room: int) -> int:
    """The largest size that no message may exceed so that all of ``sizes`` together take at most ``room``."""
    left = room
    ordered = sorted(sizes)
    for position, size in enumerate(ordered):
        share = left // (len(ordered) - position)
        if size > share:
            return max(0, share)
        left -= size
    return ordered[-1] if ordered else room
