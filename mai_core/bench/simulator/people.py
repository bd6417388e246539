"""The people who ask, each in one conversation at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mai_core.bench.simulator.choosing import Chosen
from mai_core.bench.simulator.memory import Resident
from mai_core.bench.simulator.oracle import CONDENSED_TO
from mai_core.bench.simulator.workloads import Turn

__all__ = ["CONDENSED_FROM", "INSTRUCTIONS", "Answer", "Answered", "Person"]

CONDENSED_FROM = 0.70
"""The share of a window at which a conversation is condensed."""

INSTRUCTIONS = 40
"""Tokens of the instruction every conversation begins with."""


@dataclass(slots=True, eq=False)
class Person:
    """One person's conversation: tokens it has, tokens it is told to have, and what each model has read of it.

    ``held`` are tokens in an engine's window, fewer than it read once the conversation was condensed.
    """

    number: int
    turns: Iterator[tuple[int, Turn]]
    size: int = INSTRUCTIONS
    told: int = INSTRUCTIONS
    read: dict[int, int] = field(default_factory=dict)
    told_read: dict[int, int] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)

    def begin(self) -> None:
        """Start a new conversation."""
        self.size = self.told = INSTRUCTIONS
        self.read.clear()
        self.told_read.clear()
        self.held.clear()

    def to_read(self, resident: Resident, question: int, reply: int) -> tuple[int, float]:
        """Tokens the model has to read before it answers, and the share of the conversation it does not see."""
        model, context = resident.model, resident.plan.context
        whole = self.size + question
        unread, held = whole - self.read.get(model, 0), self.held.get(model, 0)
        if held + unread + reply > CONDENSED_FROM * context:
            self.held[model] = kept = min(whole, int(CONDENSED_TO * context))
            return kept, max(0.0, 1.0 - kept / whole)
        self.held[model] = held + unread
        return unread, max(0.0, 1.0 - (held + unread) / whole)

    def has_read(self, model: int, tokens: int) -> None:
        """A model got ready by reading so much of the conversation."""
        if tokens > self.read.get(model, 0):
            self.read[model] = tokens
            self.held[model] = tokens

    def doubted(self, turn: Turn, model: int) -> None:
        """A model has read the question, and what it began to answer was kept from the person."""
        self.read[model] = self.size + turn.question
        self.told_read[model] = self.told + turn.told

    def heard(self, turn: Turn, model: int) -> None:
        """The answer is part of the conversation, and its model has read all of it."""
        self.size += turn.question + turn.reply
        self.told += turn.told + turn.reply
        self.read[model] = self.size
        self.told_read[model] = self.told
        self.held[model] = self.held.get(model, 0) + turn.reply


@dataclass(slots=True, eq=False)
class Answer:
    """A turn on its way to its end. ``stamp`` grows with every restart: what was planned before is void.

    ``left`` are tokens still to be written, ``first`` the moment the first of them was, below 0 before that; ``chosen``
    is the decision that led to the model that answers. ``judged`` when its first words were, or those in whose place it
    is given.
    """

    number: int
    turn: Turn
    person: Person
    asked_at: float
    resident: Resident
    left: int
    chosen: Chosen
    not_before: float = 0.0
    stamp: int = 0
    restarts: int = 0
    began: float = 0.0
    writes_from: float = 0.0
    ends: float = 0.0
    first: float = -1.0
    joules: float = 0.0
    unseen: float = 0.0
    judged: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that ended at that moment: whether it was good, and its utility (see ``oracle``)."""

    answer: Answer
    ended: float
    good: bool
    utility: float
