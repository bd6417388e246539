"""An extractive summary: the sentences of a conversation that are worth their tokens.

No model is asked, so it costs milliseconds, invents nothing, and the same conversation gives the same summary. A
passage scores by what it shares with the present question (rare words count more, as in tf-idf: Spärck Jones 1972),
by how much it speaks of what the conversation is about (word frequency: Luhn 1958), by its place (Edmundson 1969),
and by the specifics it holds: numbers, names, code, decisions. Messages are scored first and only the best of them
are read sentence by sentence.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from math import log, sqrt

from mai_core.policy.messages import Role
from mai_strategies.transfers.notes import Extract
from mai_strategies.transfers.text import CLIPPED, PUNCTUATION, clip, flat, sentences, stems, tokens

__all__ = ["summarise"]

LONGEST = 280
"""Characters of a sentence that are quoted."""
READ = 24_000
"""Characters of one message that are read: half from its beginning, half from its end."""
CHOICE = 4
"""How many times the text that fits is read sentence by sentence."""
NOVEL = 0.5
"""Share of its pairs of neighbouring words a sentence must add to what was chosen before."""
CARRY = 0.5
"""Share of its relevance a passage lends to the next: answers seldom repeat the words of their question."""
KNOWN = 0.4
"""Advantage of what the last summary quoted: a fact once worth keeping is not lost to the next compression."""

_NUMBER_OR_CODE = re.compile(r"[0-9`_{}=<>/\\$€£%@]")
# A capital that neither opens a sentence nor is the English "I". The letter comes first: that makes the search fast.
_NAME = re.compile(r"[A-ZÀ-ÖØ-ÞЀ-Я](?<=[^\s.!?:…] .)(?!['’\s])")
_DECISIONS = frozenset(
    tokens(
        "decide decided decision agree agreed chose chosen choose settled concluded conclusion must deadline important "
        "because prefer favourite favorite allergic entschieden entscheidung beschlossen wichtig muss müssen weil "
        "décidé décision important doit parce decidido decisión importante debe porque deciso decisione deve perché "
        "besloten belangrijk moet omdat решили решил важно"
    )
)


@dataclass(slots=True)
class _Passage:
    """A message or a sentence with what its score follows from; ``source`` is the position of its message."""

    source: int
    role: Role
    text: str
    words: Set[str]
    relevance: float = 0.0
    score: float = 0.0


def summarise(
    sources: Sequence[Extract],
    question: str,
    room: int,
    count: Callable[[str], int],
    earlier: Sequence[Extract] = (),
    without: Set[str] = frozenset(),
) -> tuple[Extract, ...]:
    """Quotations from ``sources``, oldest first, that take at most ``room`` tokens by ``count``, one for each message.

    ``question`` is what is being asked now; ``earlier`` is what the last summary quoted. Sentences of ``without``,
    compared without regard to case, are left to somebody else.
    """
    if room <= 0:
        return ()
    messages = [_passage(k, s.role, _readable(s.text)) for k, s in enumerate(sources)]
    orphans = _credited(messages, earlier)
    scale = _Scale.of([*orphans, *messages], question)
    scale.score(messages)
    best = _best(messages, CHOICE * room)
    found = orphans + [
        _passage(m.source, m.role, clip(flat(sentence), LONGEST))
        for m in best
        for sentence in sentences(m.text)
        if sentence.casefold() not in without
    ]
    scale.score(found)
    return _quotations(_choose(found, room, count))


def _passage(source: int, role: Role, text: str, score: float = 0.0) -> _Passage:
    return _Passage(source, role, text, set(tokens(text)), score=score)


def _readable(text: str) -> str:
    return text if len(text) <= READ else f"{text[: READ // 2]}\n{text[-READ // 2 :]}"


@dataclass(frozen=True, slots=True)
class _Scale:
    """What the words of a conversation are worth, for the present question and in themselves."""

    asked: Mapping[str, float]
    most: float
    topics: Mapping[str, float]
    last: int

    @classmethod
    def of(cls, messages: Sequence[_Passage], question: str) -> _Scale:
        total = len(messages)
        frequency = Counter(chain.from_iterable(m.words for m in messages))
        said = tokens(f"{question[:1000]} {question[-1000:]}")
        asked = _rarity(frequency, {stem for word in said for stem in stems(word)}, total)
        # A word in a fifth of all messages is grammar; a word in a single one is no topic.
        common = max(3, total // 5)
        topics = {w: log(n) / log(common) for w, n in frequency.items() if 1 < n <= common and len(w) > 3}
        return cls(asked, sum(sorted(asked.values())[-4:]) or 1.0, topics, max(1, total - 1))

    def score(self, passages: Sequence[_Passage]) -> None:
        """Give every passage a score from 0 to about 5; relevance to the question outweighs all the rest."""
        shared, topical, carried = frozenset(self.asked), frozenset(self.topics), 0.0
        for p in passages:
            own = min(1.0, sum(map(self.asked.__getitem__, p.words & shared)) / self.most)
            p.relevance = max(own, CARRY * carried)
            carried = p.relevance
            about = sum(map(self.topics.__getitem__, p.words & topical)) / (len(p.words) + 4)
            p.score += 3.0 * p.relevance + 0.3 * about + 0.3 * p.source / self.last + _specifics(p)


def _rarity(frequency: Mapping[str, int], question: Set[str], total: int) -> dict[str, float]:
    """Weights of the conversation's words that the question holds too, inflected or not."""
    beginnings = {stem[:3] for stem in question}
    shared = [
        (word, stem)
        for word in frequency
        if (core := word.strip(PUNCTUATION))[:3] in beginnings or not core.isalnum()
        for stem in stems(core)
        if stem in question
    ]
    by_stem: Counter[str] = Counter()
    for word, stem in shared:
        by_stem[stem] += frequency[word]
    # Squared: one rare word in common says more than several frequent ones.
    return {word: log(1 + total / by_stem[stem]) ** 2 for word, stem in shared}


def _specifics(p: _Passage) -> float:
    text = p.text
    value = 0.4 if p.role is Role.USER else 0.0
    value += 0.3 if _NUMBER_OR_CODE.search(text) else 0.0
    value += 0.3 if _NAME.search(text) else 0.0
    value += 0.0 if _DECISIONS.isdisjoint(p.words) else 0.4
    value -= 0.5 if text.endswith(("?", "？")) else 0.0
    value -= 0.5 if len(p.words) < 4 else 0.0
    return value


def _credited(messages: Sequence[_Passage], earlier: Sequence[Extract]) -> list[_Passage]:
    """Give the messages the last summary quoted their advantage; returns quotations of messages that are gone."""
    if not earlier:
        return []
    ends = list(accumulate(len(m.text) + 1 for m in messages))
    everything = "\n".join(m.text for m in messages)
    gone = []
    for extract in earlier:
        for sentence in sentences(extract.text):
            place = everything.find(sentence.removesuffix(CLIPPED))
            if place < 0:
                gone.append(_passage(0, extract.role, sentence, KNOWN))
            else:
                messages[bisect_right(ends, place)].score += KNOWN
    return gone


def _best(messages: Sequence[_Passage], tokens: int) -> list[_Passage]:
    """The messages of the highest score that hold about so many tokens together, in order."""
    best, left = list[_Passage](), 4 * tokens
    for m in sorted(messages, key=lambda m: (-m.score, -m.source)):
        if left <= 0:
            break
        best.append(m)
        left -= len(m.text)
    return sorted(best, key=lambda m: m.source)


def _choose(found: Sequence[_Passage], room: int, count: Callable[[str], int]) -> list[_Passage]:
    """Greedily by score for the root of the length, until the room is used up; near repetitions are passed over."""
    worth = [p.score / sqrt(8 + len(p.words)) for p in found]
    label = count("- Assistant: \n")
    chosen, lines, heard, left, misses = list[int](), set[int](), set[tuple[str, str]](), room, 0
    for i in sorted(range(len(found)), key=lambda i: (-worth[i], i)):
        p = found[i]
        pairs = set(pairwise(["", *tokens(p.text)]))
        if len(pairs - heard) < NOVEL * len(pairs):
            continue
        size = count(" " + p.text) + (0 if p.source in lines else label)
        if size > left:
            misses += 1
            if misses > 20:
                break
            continue
        left -= size
        chosen.append(i)
        lines.add(p.source)
        heard |= pairs
    return [found[i] for i in sorted(chosen)]


def _quotations(chosen: Sequence[_Passage]) -> tuple[Extract, ...]:
    """One quotation for each message."""
    by_message: dict[tuple[int, Role], list[str]] = {}
    for p in chosen:
        by_message.setdefault((p.source, p.role), []).append(p.text)
    return tuple(Extract(role, " ".join(texts)) for (_, role), texts in by_message.items())
