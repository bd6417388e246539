"""Keys that are sent to a server, and that no error may repeat."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

from mai_core.errors import MaiError

__all__ = ["Secrets"]

_STRUCK_OUT = "***"
_SHORTEST_WORD = 8
"""Characters. Of ``Bearer KEY`` a server may repeat the key alone; shorter words are schemes, and everyday words."""


class Secrets:
    """What one server is shown, struck out of all that it says.

    Empty until ``learn`` is called, as keys are read when they are first needed.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._spellings: tuple[str, ...] = ()
        self.learn(values)

    def learn(self, values: Iterable[str]) -> None:
        """These are secret from now on, in every spelling in which an error may quote them."""
        found = {spelling for value in values for part in _parts(value) for spelling in _spelled(part)}
        self._spellings = tuple(sorted(found.union(self._spellings), key=len, reverse=True))

    def scrub(self, text: str) -> str:
        """The text without any of them. Scrub before a text is cut: half a key is no longer recognised."""
        for spelling in self._spellings:
            text = text.replace(spelling, _STRUCK_OUT)
        return text

    def describe(self, error: Exception) -> str:
        """What kind of error, and what it says, scrubbed. Its ``repr`` would escape once more what it quotes."""
        return f"{type(error).__name__}: {self.scrub(str(error))}"

    @contextmanager
    def kept(self) -> Iterator[None]:
        """What a ``MaiError`` that leaves has to say, it says itself, and scrubbed.

        Its causes are let go: the exceptions of an HTTP client quote what came and hold the request with its headers.
        """
        try:
            yield
        except MaiError as error:
            error.message, error.remedy = self.scrub(error.message), self.scrub(error.remedy)
            error.detail, error.args = self.scrub(error.detail), (error.message,)
            error.__cause__ = error.__context__ = None
            raise


def _parts(value: str) -> Iterator[str]:
    words = value.split()
    yield from (word for word in words if len(word) >= _SHORTEST_WORD)
    yield from words[-1:]
    if value:
        yield value


def _spelled(secret: str) -> Iterator[str]:
    """As it is, in a URL, in JSON, and in the ``repr`` of bytes, in which HTTP clients quote what they cannot read.

    Secrets are printable ASCII: see ``read_secret``.
    """
    in_json, in_bytes = json.dumps(secret)[1:-1], secret.replace("\\", "\\\\")
    yield from (secret, quote(secret, safe=""), quote_plus(secret), in_json, in_json.replace("/", "\\/"))
    yield from (in_bytes, in_bytes.replace("'", "\\'"))
