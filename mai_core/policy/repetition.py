"""When a model has lost itself in a loop."""

from __future__ import annotations

__all__ = ["loop_start"]

ANCHOR = 24
LEAST_ROUNDS = 4
LEAST_CHARACTERS = 240
MOST_PERIODS = 16
"""How many earlier places that end alike are tried as the length of the loop: a passage may repeat within itself."""


def loop_start(text: str) -> int | None:
    """Where the second round of a loop at the end of ``text`` begins, so that ``text[:start]`` says it once.

    A loop is the same passage at least four times in a row, 240 characters or more in all, to the very end. Shorter
    repetition is style: refrains, rules of dashes, columns of a table.
    """
    if len(text) < LEAST_CHARACTERS + ANCHOR:
        return None
    anchor = text[-ANCHOR:]
    end = len(text) - 1
    for _ in range(MOST_PERIODS):
        before = text.rfind(anchor, 0, end)
        if before < 0:
            return None
        if (start := _start_of(text, len(text) - ANCHOR - before)) is not None:
            return start
        end = before + ANCHOR - 1
    return None


def _start_of(text: str, period: int) -> int | None:
    """Where the second round begins, if the end of ``text`` repeats every ``period`` characters often enough."""
    rounds = max(LEAST_ROUNDS, -(-LEAST_CHARACTERS // period))
    if len(text) < rounds * period or text[-rounds * period : -period] != text[-(rounds - 1) * period :]:
        return None
    start = len(text) - rounds * period
    while start > 0 and text[start - 1] == text[start - 1 + period]:
        start -= 1
    return start + period
