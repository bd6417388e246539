"""One valid prompt out of what a transfer chose to send.

Strict chat templates accept one system message at the very beginning, then user and assistant in turn, the user
first. Whatever is chosen is brought into that form without losing text: system messages join at the head, together
with notes and with pinned messages whose surroundings are gone; neighbours of one role become one message. A tool's
result is sent with the call it answers, and a call with its results. Where messages between two that are sent are
missing, the prompt says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

from mai_core.policy.context import TransferRequest, calls_text
from mai_core.policy.messages import Message, Role
from mai_strategies.transfers.cut import characters_for, level, shorten

__all__ = ["Conversation", "Prompt"]

SEPARATOR = "\n\n"
LABELS = {
    Role.USER: "Said earlier by the person:\n",
    Role.ASSISTANT: "Said earlier by the assistant:\n",
    Role.TOOL: "Returned earlier by a tool:\n",
}
MERGED = (Role.USER, Role.ASSISTANT)
GAP = "[... {:,} messages left out ...]" + SEPARATOR
"""Stands before the message that follows others which are not sent."""

NOTHING: Mapping[int, int] = MappingProxyType({})
SILENCE: Mapping[int, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Prompt:
    """Messages to send and their tokens with ``per_message``.

    ``whole`` of the request's messages are in it unchanged; ``cut`` says of the turns that are not how many of their
    characters are.
    """

    messages: tuple[Message, ...]
    tokens: int
    whole: int
    cut: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Conversation:
    """A request with its messages sorted by what they are. Messages are named by their position in the request.

    All sizes are tokens with ``per_message``, by the same sums ``compose`` reports.
    """

    request: TransferRequest

    @cached_property
    def systems(self) -> list[int]:
        """Instructions: always sent whole, at the head."""
        return [i for i, m in enumerate(self.request.messages) if m.role is Role.SYSTEM]

    @cached_property
    def turns(self) -> list[int]:
        """What the person, the assistant and tools said."""
        return [i for i, m in enumerate(self.request.messages) if m.role is not Role.SYSTEM]

    @cached_property
    def exchanges(self) -> list[list[int]]:
        """``turns`` in groups that begin with a message of the person; what comes before the first is a group too.

        A result that comes after the person spoke again stays in one group with its call.
        """
        messages, groups, calls = self.request.messages, list[list[int]](), self.call_of
        for i in self.turns:
            if not groups or messages[i].role is Role.USER:
                groups.append([])
            groups[-1].append(i)
            while i in calls and calls[i] < groups[-1][0]:
                later = groups.pop()
                groups[-1] += later
        return groups

    @cached_property
    def call_of(self) -> dict[int, int]:
        """For the results of tools, where the call stands that they answer."""
        latest, found = dict[str, int](), dict[int, int]()
        for i in self.turns:
            message = self.request.messages[i]
            latest.update((call.id, i) for call in message.tool_calls)
            if message.role is Role.TOOL and message.tool_call_id in latest:
                found[i] = latest[message.tool_call_id]
        return found

    @cached_property
    def present(self) -> list[int]:
        """The message to be answered; a reply that is to be continued comes with the message it answers."""
        return self.exchanges[-1] if self.exchanges else []

    @cached_property
    def place(self) -> dict[int, int]:
        """For each of ``turns``, how many came before it."""
        return {i: place for place, i in enumerate(self.turns)}

    @cached_property
    def gap(self) -> int:
        """Size of what tells that messages are missing, at most."""
        return self.request.count(GAP.format(1_000_000))

    def gaps(self, indices: Sequence[int]) -> int:
        """How many of these follow a turn that is not among them."""
        return sum(self.place[b] - self.place[a] > 1 for a, b in itertools.pairwise(indices))

    @cached_property
    def pinned(self) -> list[int]:
        """Pinned messages of ``turns``."""
        return [i for i in self.turns if self.request.messages[i].pinned]

    @cached_property
    def total(self) -> int:
        """Size of the whole conversation."""
        return sum(self.request.tokens) + self.request.budget.per_message * len(self.request.messages)

    @cached_property
    def is_strict(self) -> bool:
        """Whether the conversation satisfies strict templates as it is."""
        previous: Role | None = None
        for position, message in enumerate(self.request.messages):
            role = message.role
            if role is Role.SYSTEM:
                if position:
                    return False
                continue
            if (role is not Role.USER) if previous is None else (role is previous and role in MERGED):
                return False
            previous = role
        return True

    def weight(self, indices: Iterable[int]) -> int:
        """Size of these as messages of their own."""
        tokens, each = self.request.tokens, self.request.budget.per_message
        return sum(tokens[i] + each for i in indices)

    def joints(self, indices: Sequence[int]) -> int:
        """What joining neighbours of one role among these adds."""
        roles = [self.request.messages[i].role for i in indices]
        pairs = sum(a is b and a in MERGED for a, b in itertools.pairwise(roles))
        return pairs * self._separator

    def quote(self, index: int) -> int:
        """Size of this message when it is quoted at the head."""
        return self.weight([index]) + self.request.count(SEPARATOR + LABELS[self.request.messages[index].role])

    def head(self, sent: Iterable[int], notes: str = "") -> int:
        """Size of what stands before the turns ``sent``: instructions, pinned turns not among them, notes."""
        own = set(sent) if self.pinned else ()
        return self._head([i for i in self.pinned if i not in own], notes)

    def _head(self, quoted: Sequence[int], notes: str) -> int:
        size = self.weight(self.systems) + max(0, len(self.systems) - 1) * self._separator
        size += sum(map(self.quote, quoted))
        if notes:
            size += self.request.count(SEPARATOR + notes)
            size += 0 if self.systems else self.request.budget.per_message
        return size

    @cached_property
    def _separator(self) -> int:
        return self.request.count(SEPARATOR)

    def everything(self) -> Prompt:
        """The whole conversation, unchanged when it is strict already."""
        if self.is_strict:
            messages = self.request.messages
            return Prompt(messages, self.total, len(messages))
        return self.compose(self.turns)

    def suffix(self, fits: Callable[[int, int], bool], head: int) -> list[int]:
        """``present`` and as many whole exchanges before it as fit, in order.

        ``fits(size, exchanges)`` judges the size of head and turns with so many exchanges before ``present``;
        ``head`` is the size of everything else when only ``present`` is sent.
        """
        messages = self.request.messages
        size, first = head + self.weight(self.present) + self.joints(self.present), len(self.present)
        following = self.present
        for number, exchange in enumerate(reversed(self.exchanges[:-1]), start=1):
            if messages[exchange[0]].role is not Role.USER:
                break
            size += self.weight(exchange) + self.joints([*exchange, following[0]])
            size -= sum(self.quote(i) for i in exchange if messages[i].pinned)
            if not fits(size, number):
                break
            first, following = first + len(exchange), exchange
        return self.turns[len(self.turns) - first :]

    def squeeze(self, room: Callable[[int], int], notes: str = "") -> tuple[list[int], Prompt]:
        """The turns of ``present`` that can be sent by cutting what is longest among them, and that prompt.

        ``room(head)`` says how much they may take beside a head of that size. Raises ``ValueError`` when the pinned
        messages leave no room even for a marker.
        """
        budget = self.request.budget
        present = self.present
        last = self._groups.get(present[-1], present[-1:]) if present else []
        for sent in (present, sorted({*present[:1], *last}), last, present[-1:]) if present else ():
            cut = self.cut(sent, room(self.head(sent, notes)))
            if cut is not None and (prompt := self.compose(sent, notes, cut)).tokens <= budget.usable:
                return list(sent), prompt
        left = max(0, budget.usable - self.head(present[-1:], notes))
        raise ValueError(
            f"instructions and pinned messages leave {left:,} of {budget.usable:,} tokens for the last message; "
            f"load the model with a larger context than {budget.window:,} tokens or shorten what is pinned"
        )

    @cached_property
    def _groups(self) -> dict[int, list[int]]:
        """For every answered call, and for every result of it, the call and all its results."""
        groups: dict[int, list[int]] = {}
        for result, call in self.call_of.items():
            group = groups.setdefault(call, [call])
            group.append(result)
            groups[result] = group
        return groups

    def cut(self, indices: Sequence[int], room: int) -> dict[int, int] | None:
        """How many characters of the longest of ``indices`` may stay so that all take at most ``room``.

        Pinned messages are never cut. None when it cannot be done.
        """
        tokens, messages = self.request.tokens, self.request.messages
        loose = [i for i in indices if not messages[i].pinned]
        room -= self.weight(i for i in indices if messages[i].pinned) + self.joints(indices)
        room -= self.request.budget.per_message * len(loose)
        if room < 0:
            return None
        cap = level([tokens[i] for i in loose], room)
        found: dict[int, int] = {}
        for i in loose:
            if tokens[i] > cap:
                calls = self._calls(i)
                content = messages[i].content
                characters = characters_for(content, max(0, tokens[i] - calls), cap - calls, self.request.count)
                if characters is None:
                    return None
                found[i] = characters
        return found

    def compose(
        self,
        sent: Sequence[int],
        notes: str = "",
        cut: Mapping[int, int] = NOTHING,
        before: Mapping[int, str] = SILENCE,
    ) -> Prompt:
        """The prompt that sends the turns ``sent``, in order, of those in ``cut`` only so many characters.

        Pinned turns that are not sent are quoted at the head, before the notes; so are turns before the first
        message of the person. The texts in ``before`` precede the turns they belong to.
        """
        messages, present = self.request.messages, set(self.present)
        start = next((k for k, i in enumerate(sent) if messages[i].role is Role.USER or i in present), len(sent))
        own = set(sent[start:])
        quoted = sorted({*sent[:start], *(i for i in self.pinned if i not in own)})
        size = self._head(quoted, notes)
        merged: list[Message] = []
        for k, i in enumerate(sent[start:], start=start):
            message, tokens = self._sendable(i, own), self.request.tokens[i]
            if i in cut:
                content = shorten(message.content, max(0, tokens - self._calls(i)), cut[i])
                message, tokens = replace(message, content=content), self.request.count(content) + self._calls(i)
            ahead = (self._missing(sent[k - 1], i, quoted) if k > start else "") + before.get(i, "")
            if message.role is not messages[i].role:
                ahead += LABELS[messages[i].role]
            if ahead:
                message = replace(message, content=ahead + message.content)
                tokens += self.request.count(ahead)
            size += tokens + self.request.budget.per_message
            if merged and merged[-1].role is message.role and message.role in MERGED:
                message = _joined(merged.pop(), message)
                size += self._separator
            merged.append(message)
        whole = len(self.systems) + len(quoted) + len(sent) - start - len(cut)
        return Prompt((*self._first(quoted, notes), *merged), size, whole, cut)

    def _missing(self, previous: int, index: int, quoted: Sequence[int]) -> str:
        """What stands before a turn when some between it and the ``previous`` one are not in the prompt."""
        missing = self.place[index] - self.place[previous] - 1
        missing -= sum(previous < i < index for i in quoted) if missing else 0
        return GAP.format(missing) if missing > 0 else ""

    def _sendable(self, index: int, own: Set[int]) -> Message:
        """A turn as strict engines accept it among ``own``: no result without its call, no call without its results."""
        message = self.request.messages[index]
        if all(i in own for i in self._groups.get(index, ())):
            return message
        if message.role is Role.TOOL:
            return replace(message, role=Role.USER, tool_call_id="")
        return replace(message, tool_calls=())

    def _calls(self, index: int) -> int:
        """Size of the calls a message makes."""
        text = calls_text(self.request.messages[index])
        return self.request.count(text) if text else 0

    def _first(self, quoted: Sequence[int], notes: str) -> tuple[Message, ...]:
        messages = self.request.messages
        parts = [messages[i].content for i in self.systems]
        parts += [LABELS[messages[i].role] + messages[i].content for i in quoted]
        parts += [notes] if notes else []
        if not parts:
            return ()
        if not self.systems:
            return (Message(role=Role.SYSTEM, content=SEPARATOR.join(parts), pinned=True),)
        first = messages[self.systems[0]]
        return (first if len(parts) == 1 else replace(first, content=SEPARATOR.join(parts)),)


def _joined(first: Message, second: Message) -> Message:
    """Two messages as one, in the place of the second."""
    content = first.content + SEPARATOR + second.content
    calls = first.tool_calls + second.tool_calls
    return replace(second, content=content, pinned=first.pinned or second.pinned, tool_calls=calls)
