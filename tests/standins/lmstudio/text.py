"""Tokens of the stand-in's models: words and signs, with the blanks before them."""

from __future__ import annotations

import re
import zlib

__all__ = ["pieces", "token_ids"]

_PIECE = re.compile(r"\s*(?:\w+|[^\w\s])|\s+$")


def pieces(text: str) -> list[str]:
    """``text`` cut so that the pieces put together are the text again."""
    return _PIECE.findall(text)


def token_ids(text: str) -> list[int]:
    """A number below 32000 for each piece, the same for the same piece."""
    return [zlib.crc32(piece.encode()) % 32_000 for piece in pieces(text)]
