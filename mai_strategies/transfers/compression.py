"""One step down: which messages stay whole, which requests are kept, what the notes quote.

The recent stays whole. Of the middle, the exchanges that have most to do with the present question stay whole too: a
quotation would tear code and tables. Of the rest there are notes.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from mai_core.policy.context import ContextState
from mai_core.policy.messages import Role
from mai_strategies.transfers.digest import digest_lines
from mai_strategies.transfers.hits import find
from mai_strategies.transfers.notes import DIGEST, EXTRACTS, Extract, Notes
from mai_strategies.transfers.prompt import Conversation, Prompt
from mai_strategies.transfers.room import Room
from mai_strategies.transfers.standing import Standing, fitting, size_of
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


def compress(conversation: Conversation, room: Room, shares: Shares, state: ContextState | None) -> Compressed:
    """The conversation at about ``room.target``. ``state`` is what the last compression left.

    Raises ``ValueError`` when pinned messages leave no room for the last one.
    """
    old = Notes.parse(state.summary) if state else Notes()
    standing, present = Standing.of(conversation, old.requests), conversation.present
    head = conversation.head(present)
    least = head + conversation.weight(present) + conversation.joints(present)
    wanted = standing.beyond(present)
    told = fitting(conversation, wanted, room.usable - least)
    if least > room.usable or len(told) < len(wanted):
        return _around_a_giant(conversation, room, shares, standing, old)

    asked = size_of(conversation, tuple(told.values())) if told else 0
    free = max(0, room.target - least - asked)
    recent = least + int(free * shares.recent)
    # Requests may lift a prompt above the target, as large instructions do; the last exchange is not lost to them.
    most = room.trigger_above(least + asked)

    def fits(size: int, exchanges: int) -> bool:
        return size <= recent or (exchanges == 1 and size + asked <= most)

    sent = conversation.suffix(fits, head)
    taken = conversation.head(sent) + conversation.weight(sent) + conversation.joints(sent)
    most_relevant = min(int(free * shares.relevant), room.target - taken - asked)
    middle, size = _relevant(conversation, sent, most_relevant, standing.outdated(sent))
    if not shares.extracts and (rest := room.target - asked - taken - size) > 0:
        # What no hit took, and no quotation will take, is for more of what was said last.
        sent = conversation.suffix(lambda size, _: size <= taken + rest, head)
    sent = sorted({*middle, *sent})
    taken = conversation.head(sent) + conversation.weight(sent) + conversation.joints(sent)
    taken += conversation.gap * conversation.gaps(sent)
    requests = tuple(told[request] for request in standing.beyond(sent))
    notes = _noted(conversation, sent, requests, room.target - taken, shares, old)
    prompt = conversation.compose(sent, notes.text)
    if prompt.tokens > room.usable:
        # The sums are bounds for the parts, and what a tokenizer makes of the whole may be more.
        sent, notes = list(present), Notes(tuple(told.values()), (), len(conversation.turns) - len(present))
        prompt = conversation.compose(sent, notes.text)
    if prompt.tokens > room.usable:
        return _around_a_giant(conversation, room, shares, standing, old)
    return Compressed(prompt, sent, notes, 0)


def _relevant(conversation: Conversation, sent: Sequence[int], free: int, barred: Set[int]) -> tuple[list[int], int]:
    """Whole exchanges not yet ``sent`` that have most to do with the question, in ``free`` tokens, and their size.

    None of them holds a turn that is ``barred``.
    """
    if free <= 0:
        return [], 0
    messages, own = conversation.request.messages, set(sent)
    earlier = [e for e in conversation.exchanges if own.isdisjoint(e) and barred.isdisjoint(e)]
    earlier = [e for e in earlier if messages[e[0]].role is Role.USER]
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
    conversation: Conversation, room: Room, shares: Shares, standing: Standing, old: Notes
) -> Compressed:
    """The last message does not fit beside what must be told: that comes first, the message gets all the rest.

    What was asked for may take half of the room, so that the message is never crowded out, and other notes an eighth.
    """
    present = conversation.present
    free = max(0, room.usable - conversation.head(present))
    # The part of the message that says it may be the part that is cut.
    wanted = standing.beyond(())
    requests = tuple(fitting(conversation, wanted, free // 2).values())
    share = max(free // 8, size_of(conversation, requests))
    notes = _noted(conversation, present, requests, share, shares, old)
    try:
        sent, prompt = conversation.squeeze(lambda head: room.usable - head, notes.text)
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
    left = free - size_of(conversation, requests) - count("\n" + EXTRACTS)
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


def _line(conversation: Conversation, text: str) -> int:
    return conversation.request.count(f"\n- {text}")
