"""Which messages have to do with the present question, by an index where there is one.

When another model takes over, it does so for a kind of task, and messages of that kind count for more: code for a
model that is to program, figures for one that is to calculate. Models themselves are not told of the change: what
helps them is what they are shown, and a remark on who spoke before invites them to talk about it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mai_core.policy.messages import Role
from mai_strategies.transfers.bm25 import Matcher
from mai_strategies.transfers.prompt import Conversation
from mai_strategies.transfers.text import tokens

__all__ = ["Hit", "Hits", "find"]

MOST = 40
SAMPLE = 100
"""Messages that tell how common a word is, where the index found those that hold it."""
LEAST = 2.0
"""BM25 of one word that a seventh of all messages hold: what is below is small talk."""
BESIDE_THE_BEST = 0.3
"""Share of the best score below which a message is not taken to answer the same question."""
NEWNESS = 0.1
"""Advantage of the newest message over the oldest: of two that say the same, the later one holds."""
OF_THE_KIND = 1.4
"""Advantage of messages of the kind another model took over for."""

_CODE = re.compile(r"```|^(?: {4}|\t)\S|[\w\]]\(\)|[{};]$", re.MULTILINE)
_FIGURES = re.compile(r"\d\s*[-+*/^=×÷%]|\d+[.,]\d|\$[^$]+\$")
_KINDS = {"code": _CODE, "tool-use": _CODE, "math": _FIGURES, "reasoning": _FIGURES}


@dataclass(frozen=True, slots=True)
class Hit:
    """A message by its position, and how much it has to do with the question; nothing but its kind if ``by_kind``."""

    index: int
    score: float
    by_kind: bool = False


@dataclass(frozen=True, slots=True)
class Hits:
    """Messages that have to do with a question, the best first, and what the question's words are worth."""

    found: tuple[Hit, ...]
    matcher: Matcher


def find(conversation: Conversation, among: Sequence[int]) -> Hits:
    """Those of ``among`` that have to do with the last message; none when that asks for nothing."""
    request = conversation.request
    if not among or request.messages[-1].role is not Role.USER:
        return Hits((), Matcher({}, {}, 0.0))
    question = request.messages[-1].content
    scores, matcher = _indexed(conversation, question, among)
    if not scores:
        scores, matcher = _read(conversation, question, among)
    kind = _KINDS.get(request.switched)
    newest = len(request.messages)

    def worth(index: int, score: float) -> float:
        fits = kind is not None and kind.search(request.messages[index].content)
        return score * (1 + NEWNESS * index / newest) * (OF_THE_KIND if fits else 1.0)

    hits = [Hit(i, worth(i, score)) for i, score in scores if score >= LEAST]
    least = BESIDE_THE_BEST * max((hit.score for hit in hits), default=0.0)
    best = sorted((hit for hit in hits if hit.score >= least), key=lambda hit: (-hit.score, -hit.index))[:MOST]
    newest_of_kind = _newest_of_kind(conversation, kind, among) if kind is not None else None
    if newest_of_kind is not None and all(hit.index != newest_of_kind for hit in best):
        best.append(Hit(newest_of_kind, 0.0, by_kind=True))
    return Hits(tuple(best), matcher)


def _newest_of_kind(conversation: Conversation, kind: re.Pattern[str], among: Sequence[int]) -> int | None:
    """What another model takes over to work on, where the question need not name it: "Now write a test for it"."""
    messages, hidden = conversation.request.messages, set(among)
    of_kind = (i for i in reversed(conversation.turns[:-1]) if kind.search(messages[i].content))
    newest = next(of_kind, None)
    return newest if newest in hidden else None


Scored = tuple[list[tuple[int, float]], Matcher]


def _indexed(conversation: Conversation, question: str, among: Sequence[int]) -> Scored:
    """By the index; it may know messages that are not, or no longer, in the request."""
    messages, search = conversation.request.messages, conversation.request.search
    if search is None:
        return [], Matcher({}, {}, 0.0)
    by_id = {messages[i].id: i for i in among}
    known = search(question, MOST + len(messages) - len(among))
    scores = [(by_id[id], score) for id, score in known if id in by_id][:MOST]
    sample = {*among[:: max(1, len(among) // SAMPLE)], *(i for i, _ in scores)}
    return scores, Matcher.of([tokens(messages[i].content) for i in sorted(sample)], question)


def _read(conversation: Conversation, question: str, among: Sequence[int]) -> Scored:
    words = [tokens(conversation.request.messages[i].content) for i in among]
    matcher = Matcher.of(words, question)
    return [(i, matcher.score(text)) for i, text in zip(among, words, strict=True)], matcher
