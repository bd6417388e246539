"""When a model has lost itself in a loop."""

from __future__ import annotations

__all__ = ["loop_start"]

ANCHOR = 24
LEAST_ROUNDS = 4
LEAST_CHARACTERS = 240


def loop_start(text: str) -> int | None:
    """Where the second round of a loop at the end of ``text`` begins, so that ``text[:start]`` says it once.

    A loop is the same passage at least four times in a row, 240 characters or more in all, to the very end. Shorter
    repetition is style: refrains, rules of dashes, columns of a table.
    """
    if len(text) < LEAST_CHARACTERS + ANCHOR:
        return None
    anchor = text[-ANCHOR:]
    before = text.rfind(anchor, 0, len(text) - 1)
    if before < 0:
        return None
    period = len(text) - ANCHOR - before
    rounds = max(LEAST_ROUNDS, -(-LEAST_CHARACTERS // period))
    if len(text) < rounds * period or text[-rounds * period : -period] != text[-(rounds - 1) * period :]:
        return None
    start = len(text) - rounds * period
    while start > 0 and text[start - 1] == text[start - 1 + period]:
        start -= 1
    return start + period
