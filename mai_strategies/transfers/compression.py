"""One step down: which messages stay whole, which requests are kept, what the notes quote.

The recent stays whole. Of the middle, the exchanges that have most to do with the present question stay whole too: a
quotation would tear code and tables. Of the rest there are notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mai_core.policy.context import ContextState
from mai_core.policy.messages import Role
from mai_strategies.transfers.digest import digest_lines
from mai_strategies.transfers.hits import find
from mai_strategies.transfers.notes import DIGEST, EXTRACTS, REQUESTS, TITLE, Extract, Notes
from mai_strategies.transfers.prompt import SEPARATOR, Conversation, Prompt
from mai_strategies.transfers.requests import explicit_requests
from mai_strategies.transfers.room import Room
from mai_strategies.transfers.summarise import summarise

__all__ = ["Compressed", "Shares", "compress"]

WORTH_QUOTING = 16
"""Tokens below which nothing is quoted."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Of what is free at the target, the parts for ``recent`` and for ``relevant`` whole exchanges; the rest is notes.

    With ``extracts`` the notes quote what is not sent, with ``digests`` they hold what a model wrote of it.
    """

    recent: float
    relevant: float
    extracts: bool = True
    digests: bool = True


@dataclass(frozen=True, slots=True)
class Compressed:
    """A prompt, the turns it sends, its notes, and the number of requests there was no room for."""

    prompt: Prompt
    sent: list[int]
    notes: Notes
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


def compress(conversation: Conversation, room: Room, shares: Shares, state: ContextState | None) -> Compressed:
    """The conversation at about ``room.target``. ``state`` is what the last compression left.

    Raises ``ValueError`` when pinned messages leave no room for the last one.
    """
    old = Notes.parse(state.summary) if state else Notes()
    standing, present = _Standing.of(conversation, old.requests), conversation.present
    head = conversation.head(present)
    least = head + conversation.weight(present) + conversation.joints(present)
    if least > room.usable:
        return _around_a_giant(conversation, room, shares, standing, old)

    # Requests matter more than meeting the target, but they may not take the window over.
    for_requests = max(room.target - least, min(room.usable - least, room.usable // 4))
    asked = _size(conversation, _fitting(conversation, standing.beyond(present), for_requests))
    free = max(0, room.target - least - asked)
    recent = least + int(free * shares.recent)

    def fits(size: int, exchanges: int) -> bool:
        return size <= recent or (exchanges == 1 and size + asked <= room.trigger)

    sent = conversation.suffix(fits, head)
    taken = conversation.head(sent) + conversation.weight(sent) + conversation.joints(sent)
    middle, size = _relevant(conversation, sent, min(int(free * shares.relevant), room.target - taken - asked))
    if not shares.extracts and (rest := room.target - asked - taken - size) > 0:
        # What no hit took, and no quotation will take, is for more of what was said last.
        sent = conversation.suffix(lambda size, _: size <= taken + rest, head)
    sent = sorted({*middle, *sent})
    taken = conversation.head(sent) + conversation.weight(sent) + conversation.joints(sent)
    taken += conversation.gap * conversation.gaps(sent)
    wanted = standing.beyond(sent)
    requests = _fitting(conversation, wanted, for_requests)
    notes = _noted(conversation, sent, requests, room.target - taken, shares, old)
    prompt = conversation.compose(sent, notes.text)
    if prompt.tokens > room.usable:
        notes = Notes()
        prompt = conversation.compose(sent)
    return Compressed(prompt, sent, notes, len(wanted) - len(notes.requests))


def _relevant(conversation: Conversation, sent: Sequence[int], free: int) -> tuple[list[int], int]:
    """Whole exchanges not yet ``sent`` that have most to do with the question, in ``free`` tokens, and their size."""
    if free <= 0:
        return [], 0
    messages, own = conversation.request.messages, set(sent)
    earlier = [e for e in conversation.exchanges if own.isdisjoint(e) and messages[e[0]].role is Role.USER]
    of = {i: exchange for exchange in earlier for i in exchange if not messages[i].pinned}
    chosen, left = list[int](), free
    for hit in find(conversation, list(of)).found:
        exchange = of[hit.index]
        # Both the exchange and what follows it may need to tell that something is missing before them.
        size = conversation.weight(exchange) + conversation.joints(exchange) + 2 * conversation.gap
        if exchange[0] not in own and size <= left:
            own.update(exchange)
            chosen += exchange
            left -= size
    return chosen, free - left


def _around_a_giant(
    conversation: Conversation, room: Room, shares: Shares, standing: _Standing, old: Notes
) -> Compressed:
    """The last message alone is larger than the window: a quarter of the room for notes, what is left for it."""
    present = conversation.present
    share = room.beside(conversation.head(present)) // 4
    wanted = standing.beyond(present)
    notes = _noted(conversation, present, _fitting(conversation, wanted, share), share, shares, old)
    try:
        sent, prompt = conversation.squeeze(room.beside, notes.text)
    except ValueError:
        notes = Notes()
        sent, prompt = conversation.squeeze(lambda head: room.usable - head)
    return Compressed(prompt, sent, notes, len(wanted) - len(notes.requests))


def _noted(
    conversation: Conversation, sent: Sequence[int], requests: tuple[str, ...], free: int, shares: Shares, old: Notes
) -> Notes:
    """Notes on everything that is not sent, in about ``free`` tokens, ``requests`` included.

    At most half of them is what a model wrote: the quotations beside it keep the names, numbers and dates as they were
    said.
    """
    messages, count, state = conversation.request.messages, conversation.request.count, conversation.request.state
    visible = {*sent, *conversation.pinned}
    absent = [i for i in conversation.turns if i not in visible]
    left = free - _size(conversation, requests) - count("\n" + EXTRACTS)
    if not absent or left < WORTH_QUOTING:
        return Notes(requests, (), len(absent))
    digest = digest_lines(conversation, state, left // 2 - count("\n" + DIGEST)) if shares.digests else ()
    if digest:
        left -= count("\n" + DIGEST) + sum(_line(conversation, text) for text in digest)
    extracts: tuple[Extract, ...] = ()
    if shares.extracts:
        extracts = summarise(
            [Extract(messages[i].role, messages[i].content) for i in absent],
            messages[-1].content,
            left,
            count,
            old.extracts,
            {text.casefold() for text in (*requests, *digest)},
        )
    return Notes(requests, extracts, len(absent), digest)


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
