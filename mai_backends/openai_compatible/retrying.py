"""When a reply that did not begin is asked for again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["MOST_REQUESTS", "pause", "retry_after"]

MOST_REQUESTS = 3
"""For one question, whatever they are sent anew for: a server with too much to do is not helped by more."""

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 8.0


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds a server asks to wait, from ``Retry-After`` in seconds or as a date, or OpenAI's milliseconds."""
    if milliseconds := _number(headers.get("retry-after-ms", "")):
        return milliseconds / 1000
    value = headers.get("retry-after", "").strip()
    if (seconds := _number(value)) is not None:
        return seconds
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds())


def pause(attempt: int, asked_for: float | None) -> float:
    """Seconds before the attempt that follows number ``attempt``, counted from 0: what was asked for, else doubling."""
    return asked_for if asked_for is not None else min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number < 1e9 else None
