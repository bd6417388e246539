"""Shortening messages that do not fit whole: a visible marker instead of a failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["cut_middle", "level", "marker"]

BEGINNING = 0.6
"""Share of what stays of a cut message that is its beginning; a question often stands at the very end."""


def marker(tokens: int) -> str:
    """What a reader sees where text was left out."""
    return f"[... {tokens:,} tokens left out ...]"


def cut_middle(text: str, size: int, room: int, count: Callable[[str], int]) -> str | None:
    """``text``, of ``size`` tokens, with its middle left out so that it takes at most ``room`` tokens.

    Returns None when not even the marker fits. ``count`` is asked about short pieces only, never about ``text``.
    """
    alone = marker(size)
    free = room - count(alone)
    if free < 0:
        return None
    characters_per_token = len(text) / max(1, size)
    characters = min(len(text), int(free * characters_per_token))
    while characters >= 8:
        kept = round(characters / characters_per_token)
        piece = _around(text, characters, marker(max(1, size - kept)))
        taken = count(piece)
        if taken <= room:
            return piece
        # ``count`` is an upper bound and may run far above ``size``: approach it by proportion, always by some.
        characters = int(characters * min(0.95, room / taken))
    return alone


def _around(text: str, characters: int, middle: str) -> str:
    first = int(characters * BEGINNING)
    head, tail = text[:first], text[len(text) - (characters - first) :]
    if (space := head.rfind(" ")) > first * 0.8:
        head = head[:space]
    if 0 <= (space := tail.find(" ")) < len(tail) * 0.2:
        tail = tail[space + 1 :]
    return f"{head}\n{middle}\n{tail}"


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
