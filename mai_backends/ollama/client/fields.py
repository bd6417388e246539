"""Fields of JSON somebody else wrote: what has not the type it should have is as good as not there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mai_backends.windows import believable

__all__ = ["NANOSECONDS", "mapping", "number", "text", "texts", "window"]

NANOSECONDS = 1e9
_LARGEST = 1 << 60


def text(row: Mapping[str, Any], key: str) -> str:
    """A text, or an empty one."""
    value = row.get(key)
    return value if isinstance(value, str) else ""


def texts(row: Mapping[str, Any], key: str) -> tuple[str, ...] | None:
    """The texts of a list; None where there is no list."""
    value = row.get(key)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else None


def number(row: Mapping[str, Any], key: str) -> int:
    """A whole number that is not negative, else 0."""
    value = row.get(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST else 0


def window(row: Mapping[str, Any], key: str) -> int:
    """The tokens of a context window, else 0."""
    return believable(row.get(key))


def mapping(row: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object, or an empty one."""
    value = row.get(key)
    return value if isinstance(value, dict) else {}
