"""How much a text has to do with a question: BM25 over the messages of one conversation.

The weights and constants are those of Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and
Beyond" (2009). Words are compared by their stems, and only words that begin like one of the question's are looked at,
so a thousand messages take milliseconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from math import log

from mai_strategies.transfers.text import PUNCTUATION, stems, tokens

__all__ = ["Matcher"]

K1 = 1.2
"""How soon saying a word again stops to count."""
B = 0.5
"""How much a long message has to say a word more often; little, because a fact told in passing is told once."""
WINDOW = 100
"""Words that are judged together: of a long message its best part counts, or a fact in it would drown."""
ASKED = 1000
"""Characters of the question that are read: so many from its beginning, so many from its end."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """The words of a set of texts that are words of a question too, with the stem and the weight of each."""

    stem_of: Mapping[str, str]
    weight: Mapping[str, float]
    mean_length: float

    @classmethod
    def of(cls, texts: Sequence[Sequence[str]], question: str) -> Matcher:
        """``texts`` are lists of ``tokens``."""
        asked = {stem for word in tokens(f"{question[:ASKED]} {question[-ASKED:]}") for stem in stems(word)}
        words = [set(text) for text in texts]
        stem_of = _shared(set(chain.from_iterable(words)), asked)
        known = stem_of.keys()
        frequency = Counter(stem for own in words for stem in {stem_of[w] for w in own & known})
        total = len(texts)
        # With one added inside the logarithm no weight is negative, however common the word.
        weight = {stem: log(1 + (total - n + 0.5) / (n + 0.5)) for stem, n in frequency.items()}
        return cls(stem_of, weight, sum(min(WINDOW, len(text)) for text in texts) / max(1, len(texts)))

    def score(self, text: Sequence[str]) -> float:
        """The BM25 score of a text, or of the best part of a long one; 0 when it shares no word with the question."""
        if len(text) <= WINDOW:
            return self._score(text)
        starts = {at // (WINDOW // 2) * (WINDOW // 2) for at, word in enumerate(text) if word in self.stem_of}
        return max((self._score(text[start : start + WINDOW]) for start in starts), default=0.0)

    def _score(self, text: Sequence[str]) -> float:
        often = Counter(self.stem_of[word] for word in text if word in self.stem_of)
        if not often:
            return 0.0
        damping = K1 * (1 - B + B * len(text) / max(1.0, self.mean_length))
        return sum(self.weight.get(s, 0.0) * n * (K1 + 1) / (n + damping) for s, n in often.items())


def _shared(words: Set[str], asked: Set[str]) -> dict[str, str]:
    """Those of ``words`` with a stem that was ``asked`` for, and that stem."""
    beginnings = {stem[:3] for stem in asked}
    found: dict[str, str] = {}
    for word in words:
        core = word.strip(PUNCTUATION)
        if core[:3] in beginnings or not core.isalnum():
            stem = next((s for s in stems(core) if s in asked), None)
            if stem is not None:
                found[word] = stem
    return found
