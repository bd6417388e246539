"""Numbers and texts of a header's metadata, as somebody else wrote them."""

from __future__ import annotations

from collections.abc import Mapping

from mai_backends.gguf.types import Value

__all__ = ["number_of", "numbers_of", "text_of"]

_MAX_NUMBER = 1 << 40


def text_of(metadata: Mapping[str, Value], key: str) -> str:
    """A text; empty where there is none."""
    value = metadata.get(key, "")
    return value if isinstance(value, str) else ""


def number_of(metadata: Mapping[str, Value], key: str, default: int) -> int:
    """A number, or the largest of several. Raises ``ValueError`` for what is none, or makes no sense."""
    return max(numbers_of(metadata, key, default))


def numbers_of(metadata: Mapping[str, Value], key: str, default: int) -> tuple[int, ...]:
    """A number, or one for each layer; never empty, never negative. Raises ``ValueError`` like ``number_of``."""
    value = metadata.get(key, default)
    written = value if isinstance(value, tuple) and value else (value,)
    numbers = tuple(number for number in written if isinstance(number, int) and 0 <= number <= _MAX_NUMBER)
    if len(numbers) != len(written):
        raise ValueError(f"no usable number in {key[:64]!r}")
    return numbers
