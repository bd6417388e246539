"""The engine: a chain of words. It blocks, and knows nothing of Mai: any other engine could stand here."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

__all__ = ["Chain"]


class Chain:
    """How often which word follows a word; the empty word begins and ends each paragraph.

    It takes some ``MEMORY`` bytes, measured, for each byte of its text. Raises ``OSError``, or ``ValueError`` when the
    file is not UTF-8 or has no words.
    """

    MEMORY = 18

    def __init__(self, file: str) -> None:
        self._following: dict[str, Counter[str]] = {}
        for words in filter(None, map(str.split, Path(file).read_text(encoding="utf-8").split("\n\n"))):
            for word, following in pairwise(["", *words, ""]):
                self._following.setdefault(word, Counter())[following] += 1
        if not self._following:
            raise ValueError("it has no words")

    def walk(
        self, begun: str, limit: int, temperature: float = 1.0, seed: int | None = None, stop: Sequence[str] = ()
    ) -> Iterator[str]:
        """Go on from the last word of what was ``begun``, to the end of a paragraph, a stop word or ``limit`` words.

        One piece of text for each word, empty while it may be the beginning of a stop word. Words are drawn by how
        often they follow, sharpened by a ``temperature`` below 1; at 0 it is the commonest one.
        """
        dice, held, longest = random.Random(seed), "", max(map(len, stop), default=1)
        last = begun.split()[-1] if begun.strip() else ""
        word = self._draw(last, temperature, dice)
        while word and limit:
            held += f" {word}" if last else word
            limit -= 1
            last, word = word, self._draw(word, temperature, dice)
            if found := [held.index(end) for end in stop if end in held]:
                yield held[: min(found)]
                return
            sure = max(0, len(held) + 1 - longest) if word and limit else len(held)
            yield held[:sure]
            held = held[sure:]

    def _draw(self, word: str, temperature: float, dice: random.Random) -> str:
        following = self._following.get(word) or self._following[""]
        [(commonest, most)] = following.most_common(1)
        if not temperature:
            return commonest
        weights = [(times / most) ** (1 / temperature) for times in following.values()]
        return dice.choices(list(following), weights)[0]
