"""Which sizes of a context window are believed when an engine tells them."""

from __future__ import annotations

from typing import Final

__all__ = ["LARGEST", "SMALLEST", "believable"]

SMALLEST: Final = 256
"""Tokens. No model that converses is trained for less; a server that tells less counts something else, or nothing."""

LARGEST: Final = 2**30
"""Tokens. The largest windows there are have some 10 million."""


def believable(tokens: object) -> int:
    """``tokens`` when it is a whole number that a window can have, else 0, which stands for unknown.

    What is not believed here would be shown to a person, and be advised to keep to, further on.
    """
    if isinstance(tokens, float) and tokens.is_integer():
        tokens = int(tokens)
    if not isinstance(tokens, int) or isinstance(tokens, bool):
        return 0
    return tokens if SMALLEST <= tokens <= LARGEST else 0
