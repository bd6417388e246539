"""Going on with a broken-off answer where a server cannot: asked for in words, and joined without a repetition."""

from __future__ import annotations

from collections.abc import Sequence

from mai_core.policy.messages import Message, Role

__all__ = ["GO_ON", "Seam", "ask_to_go_on"]

GO_ON = (
    "Your last message was cut off. Go on exactly where it stops, in the same language and format. "
    "Do not repeat any of it, do not begin anew, and write nothing about this request."
)
SHORTEST_REPETITION = 8
"""Characters. Less than that two texts share by chance, unless it is a word from its beginning."""

SHORTEST_WORD = 3

LONGEST_REPETITION = 4096
"""Characters of the given text a repetition is looked for in, and so the most that is ever held back."""


def ask_to_go_on(messages: Sequence[Message]) -> list[Message]:
    """The messages, with a last one that asks to continue the assistant's."""
    return [*messages, Message(role=Role.USER, content=GO_ON)]


class Seam:
    """Joins the pieces of a continuation to the text before it.

    When the continuation begins with what ``given`` ends with, be it the last line or all of it, that part is dropped.
    A piece is held back only as long as all that came so far could be such a repetition. A space is put between two
    words, as models begin without one.
    """

    def __init__(self, given: str) -> None:
        self._given = given[-LONGEST_REPETITION:]
        self._whole = len(self._given) == len(given)
        self._held = ""
        self._places: list[int] | None = None
        self._open = bool(given)

    def feed(self, piece: str) -> str:
        """What of it, and of the pieces before, can be shown now."""
        if not self._open:
            return piece
        began, self._held = len(self._held), self._held + piece
        if self._places is None:
            self._places = list(range(len(self._given)))
        # A place stays possible while the text from there on and what is held are one the beginning of the other.
        self._places = [p for p in self._places if self._agrees(p, began)]
        if any(len(self._given) - p > len(self._held) for p in self._places):
            return ""
        return self.close()

    def close(self) -> str:
        """What is still held back, without the repetition: the continuation is over, or has left the given text."""
        if not self._open:
            return ""
        self._open = False
        ends = [p for p in self._places or () if len(self._given) - p <= len(self._held)]
        repeated = max((len(self._given) - p for p in ends if self._long_enough(p)), default=0)
        shown, self._held = self._held[repeated:], ""
        return self._spaced(shown) if not repeated else shown

    def _agrees(self, place: int, began: int) -> bool:
        end = min(len(self._given), place + len(self._held))
        start = min(place + began, end)
        return self._given[start:end] == self._held[start - place : end - place]

    def _long_enough(self, place: int) -> bool:
        length = len(self._given) - place
        if length >= SHORTEST_REPETITION or (place == 0 and self._whole):
            return True
        return length >= SHORTEST_WORD and place > 0 and not self._given[place - 1].isalnum()

    def _spaced(self, shown: str) -> str:
        """Scripts from U+2E80 on write no spaces."""
        last, first = self._given[-1:], shown[:1]
        if first.isalnum() and first < "\u2e80" and (last.isalnum() or last in ".,;:!?") and last < "\u2e80":
            return f" {shown}"
        return shown
