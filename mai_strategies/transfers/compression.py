"""One step down: which messages stay whole, which requests are kept, what the notes quote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mai_core.policy.messages import Role
from mai_strategies.transfers.notes import EXTRACTS, REQUESTS, TITLE, Extract, Notes
from mai_strategies.transfers.prompt import SEPARATOR, Conversation, Prompt
from mai_strategies.transfers.requests import explicit_requests
from mai_strategies.transfers.room import Room
from mai_strategies.transfers.summarise import summarise

__all__ = ["Compressed", "compress"]

WORTH_QUOTING = 16
"""Tokens below which nothing is quoted."""


@dataclass(frozen=True, slots=True)
class Compressed:
    """A prompt, the turns it sends, its notes, and the number of requests there was no room for."""

    prompt: Prompt
    sent: list[int]
    notes: str
    lost: int


@dataclass(frozen=True, slots=True)
class _Standing:
    """Requests the last compression ``noted``, and those ``heard`` with the position of their message."""

    noted: tuple[str, ...]
    heard: tuple[tuple[int, str], ...]

    @classmethod
    def of(cls, conversation: Conversation, noted: tuple[str, ...]) -> _Standing:
        messages = conversation.request.messages
        return cls(
            noted,
            tuple(
                (i, request)
                for i in conversation.turns
                if messages[i].role is Role.USER and not messages[i].pinned
                for request in explicit_requests(messages[i].content)
            ),
        )

    def beyond(self, sent: Sequence[int]) -> tuple[str, ...]:
        """Those that can not be read in the turns ``sent``, each once, newest last."""
        own = set(sent)
        in_view = {request.casefold() for i, request in self.heard if i in own}
        newest: dict[str, str] = {}
        for request in (*self.noted, *(request for i, request in self.heard if i not in own)):
            key = request.casefold()
            newest.pop(key, None)
            newest[key] = request
        return tuple(request for key, request in newest.items() if key not in in_view)


def compress(conversation: Conversation, room: Room, recent_share: float, old: Notes) -> Compressed:
    """The conversation at about ``room.target``. ``old`` is what the last compression noted.

    Raises ``ValueError`` when pinned messages leave no room for the last one.
    """
    standing, present = _Standing.of(conversation, old.requests), conversation.present
    head = conversation.head(present)
    least = head + conversation.weight(present) + conversation.joints(present)
    if least > room.usable:
        return _around_a_giant(conversation, room, standing, old)

    # Requests matter more than meeting the target, but they may not take the window over.
    for_requests = max(room.target - least, min(room.usable - least, room.usable // 4))
    asked = _size(conversation, _fitting(conversation, standing.beyond(present), for_requests))
    recent = least + int(max(0, room.target - least - asked) * recent_share)

    def fits(size: int, exchanges: int) -> bool:
        return size <= recent or (exchanges == 1 and size + asked <= room.trigger)

    sent = conversation.suffix(fits, head)
    taken = conversation.head(sent) + conversation.weight(sent) + conversation.joints(sent)
    wanted = standing.beyond(sent)
    requests = _fitting(conversation, wanted, for_requests)
    notes = _noted(conversation, sent, requests, room.target - taken, old)
    prompt = conversation.compose(sent, notes.text)
    if prompt.tokens > room.usable:
        notes = Notes()
        prompt = conversation.compose(sent)
    return Compressed(prompt, sent, notes.text, len(wanted) - len(notes.requests))


def _around_a_giant(conversation: Conversation, room: Room, standing: _Standing, old: Notes) -> Compressed:
    """The last message alone is larger than the window: a quarter of the room for notes, what is left for it."""
    present = conversation.present
    share = room.beside(conversation.head(present)) // 4
    wanted = standing.beyond(present)
    notes = _noted(conversation, present, _fitting(conversation, wanted, share), share, old)
    try:
        sent, prompt = conversation.squeeze(room.beside, notes.text)
    except ValueError:
        notes = Notes()
        sent, prompt = conversation.squeeze(lambda head: room.usable - head)
    return Compressed(prompt, sent, notes.text, len(wanted) - len(notes.requests))


def _noted(conversation: Conversation, sent: Sequence[int], requests: tuple[str, ...], free: int, old: Notes) -> Notes:
    """Notes on everything that is not sent, in about ``free`` tokens, ``requests`` included."""
    messages, count = conversation.request.messages, conversation.request.count
    visible = {*sent, *conversation.pinned}
    absent = [i for i in conversation.turns if i not in visible]
    left = free - _size(conversation, requests) - count("\n" + EXTRACTS)
    if not absent or left < WORTH_QUOTING:
        return Notes(requests, (), len(absent))
    extracts = summarise(
        [Extract(messages[i].role, messages[i].content) for i in absent],
        messages[-1].content,
        left,
        count,
        old.extracts,
        {request.casefold() for request in requests},
    )
    return Notes(requests, extracts, len(absent))


def _fitting(conversation: Conversation, requests: Sequence[str], free: int) -> tuple[str, ...]:
    """The newest of ``requests`` that fit into ``free`` tokens, in order."""
    left, first = free - _size(conversation, ()), len(requests)
    while first and (left := left - _line(conversation, requests[first - 1])) >= 0:
        first -= 1
    return tuple(requests[first:])


def _size(conversation: Conversation, requests: Sequence[str]) -> int:
    """Tokens of notes that hold nothing but these."""
    request = conversation.request
    headings = request.count(SEPARATOR + TITLE + "\n" + REQUESTS) + request.budget.per_message
    return headings + sum(_line(conversation, text) for text in requests)


def _line(conversation: Conversation, text: str) -> int:
    return conversation.request.count(f"\n- {text}")
