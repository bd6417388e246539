"""The requests of a conversation that still hold, in order, and how they fit beside everything else.

They are what a person notices at once when it is lost, so all that can give way to them does: earlier exchanges, notes,
and in the end the middle of a message that fills the window. Of two that contradict each other both are told, the newer
one last; one that is taken back in so many words ("Forget that.") is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mai_core.policy.messages import Role
from mai_strategies.transfers.cut import level
from mai_strategies.transfers.notes import REQUESTS, TITLE
from mai_strategies.transfers.prompt import SEPARATOR, Conversation
from mai_strategies.transfers.requests import explicit_requests, takes_back
from mai_strategies.transfers.text import CLIPPED, clip

__all__ = ["Standing", "fitting", "size_of"]

SHORTEST = 48
"""Characters of a request that are told at least: what it asks for stands at its beginning."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Requests of messages that are gone, which the last compression ``noted``, and those ``heard``, with positions.

    Each is there once, in the place where it was made last. ``places`` are all positions at which any was made.
    """

    noted: tuple[str, ...]
    heard: tuple[tuple[int, str], ...]
    places: frozenset[int] = frozenset()

    @classmethod
    def of(cls, conversation: Conversation, noted: Sequence[str]) -> Standing:
        """What the person asked for in ``conversation``, without what was taken back in the next message."""
        messages = conversation.request.messages
        heard = dict[str, tuple[int, str]]()
        ever, latest, places = set[str](), list[str](), set[int]()
        for i in conversation.turns:
            message = messages[i]
            if message.role is not Role.USER or message.pinned:
                continue
            requests = explicit_requests(message.content)
            if not requests and takes_back(message.content):
                for key in latest:
                    heard.pop(key, None)
            latest = [request.casefold() for request in requests]
            places.update([i] if requests else ())
            ever.update(latest)
            for key, request in zip(latest, requests, strict=True):
                heard.pop(key, None)
                heard[key] = (i, request)
        gone = (request for request in dict.fromkeys(noted) if not _is_among(request.casefold(), ever))
        return cls(tuple(gone), tuple(heard.values()), frozenset(places))

    def beyond(self, sent: Sequence[int]) -> tuple[str, ...]:
        """Those that are to be told when the turns ``sent`` are shown, newest last.

        What can be read in these need not be told, unless a newer request is: else the older would come last.
        """
        own, told = set(sent), len(self.heard)
        while told and self.heard[told - 1][0] in own:
            told -= 1
        return (*self.noted, *(request for _, request in self.heard[:told]))

    def outdated(self, sent: Sequence[int]) -> frozenset[int]:
        """Positions not to be shown beside the turns ``sent``: notes stand first, and what follows them seems newer."""
        own = set(sent)
        newest_told = max((i for i, _ in self.heard if i not in own), default=-1)
        return frozenset(i for i in self.places if i < newest_told)


def _is_among(request: str, heard: set[str]) -> bool:
    """Whether a request, told in full or shortened, is one of ``heard``; both in lower case."""
    if request in heard:
        return True
    beginning = request.removesuffix(CLIPPED)
    return beginning != request and any(text.startswith(beginning) for text in heard)


def fitting(conversation: Conversation, requests: Sequence[str], room: int) -> Mapping[str, str]:
    """How each of ``requests`` is told for all to take ``room`` tokens as notes of their own.

    In full where that is possible; else the longest are shortened, and only when that does not help the oldest are
    left out.
    """
    left = room - size_of(conversation, ())
    lines = [_line(conversation, request) for request in requests]
    if sum(lines) <= left:
        return {request: request for request in requests}
    cap = level(lines, max(0, left))
    told: dict[str, str] = {}
    for request, size in zip(reversed(requests), reversed(lines), strict=True):
        text = request if size <= cap else _shortened(conversation, request, cap)
        left -= _line(conversation, text)
        if left < 0:
            break
        told[request] = text
    return dict(reversed(told.items()))


def size_of(conversation: Conversation, requests: Sequence[str]) -> int:
    """Tokens of notes that hold nothing but these."""
    request = conversation.request
    headings = request.count(SEPARATOR + TITLE + "\n" + REQUESTS) + request.budget.per_message
    return headings + sum(_line(conversation, text) for text in requests)


def _shortened(conversation: Conversation, request: str, cap: int) -> str:
    """A request in a line of at most ``cap`` tokens, or as short as it can be told."""
    length = len(request)
    while length > SHORTEST:
        length = max(SHORTEST, int(length * 0.9))
        if _line(conversation, text := clip(request, length)) <= cap:
            return text
    return clip(request, SHORTEST)


def _line(conversation: Conversation, text: str) -> int:
    return conversation.request.count(f"\n- {text}")
