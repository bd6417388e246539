"""JSON objects, one a line, from bytes that come in any pieces."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any

from mai_backends.ollama.client.errors import Unreadable

__all__ = ["LONGEST_LINE", "as_object", "objects"]

LONGEST_LINE = 8 << 20
"""Bytes. Ollama itself gives up on a longer event of its engine."""


async def objects(chunks: AsyncIterable[bytes], *, longest: int = LONGEST_LINE) -> AsyncGenerator[dict[str, Any], None]:
    """The object on each line, as it comes; empty lines are passed over. A last line needs no newline.

    Only a newline ends a line: the other separators Unicode knows may stand within a JSON string. Raises
    ``Unreadable`` for a line that is no object or longer than ``longest``, without keeping more than that.
    """
    rest = bytearray()
    async for chunk in chunks:
        *ended, begun = chunk.split(b"\n")
        for line in ended:
            rest += line
            if len(rest) > longest:
                raise Unreadable(f"a line of more than {longest} bytes")
            if rest.strip():
                yield as_object(bytes(rest))
            rest.clear()
        rest += begun
        if len(rest) > longest:
            raise Unreadable(f"a line of more than {longest} bytes")
    if rest.strip():
        yield as_object(bytes(rest))


def as_object(written: bytes) -> dict[str, Any]:
    """The JSON object in ``written``; bytes that are no UTF-8 become replacement characters. Raises ``Unreadable``."""
    try:
        value = json.loads(written.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise Unreadable("a line that is no JSON") from error
    if not isinstance(value, dict):
        raise Unreadable("a line that is no JSON object")
    return value
