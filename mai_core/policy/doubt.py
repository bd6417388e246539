"""Whether a model is sure of what it begins to say, judged before anybody reads it.

The mean log-probability of the first tokens, as the model's own engine tells them: a model that guesses spreads its
probability. Where an engine tells none nothing is judged, and the reply is watched for struggle like any other.
"""

from __future__ import annotations

from collections.abc import Iterable

from mai_core.policy.selection import Candidate

__all__ = ["JUDGED_TOKENS", "FirstWords", "successors"]

JUDGED_TOKENS = 32
"""Tokens that are held back: some seconds of a slow model, a sentence or two."""
LEAST_TOKENS = 3
SECONDS_VALUE = 0.005
"""Probability of a good answer that a second of waiting is worth, as the rules of stability have it."""
DOUBTED_ODDS = 0.44
"""Of the odds that an answer is good, what is left of them once it is doubted: below -0.4 began 2 of 12 good and 3 of 8
bad answers that a model of half a billion parameters gave to short questions."""
LEAST_LOGPROB = -12.0


class FirstWords:
    """The beginning of one reply; ``below`` is the mean log-probability at which it is doubted."""

    def __init__(self, below: float) -> None:
        self._below = below
        self._sum = 0.0
        self._told = 0
        self._pieces = 0

    def feed(self, logprob: float | None) -> bool:
        """One token more. Whether there is enough to judge."""
        self._pieces += 1
        if logprob is not None and logprob == logprob:
            self._sum += max(LEAST_LOGPROB, min(0.0, logprob))
            self._told += 1
        return self._pieces >= JUDGED_TOKENS

    @property
    def doubted(self) -> bool:
        """Whether another model had better answer. Never of a reply too short to tell."""
        return self._told >= LEAST_TOKENS and self._sum / self._told < self._below


def successors(others: Iterable[Candidate], mine: Candidate) -> tuple[str, ...]:
    """Keys of those whose answer is worth waiting for once that of ``mine`` is doubted, the best first.

    None is less likely to answer well than ``mine`` was before anybody doubted it, and the one in use is worth what is
    left of its odds, and of its waiting: it has been loaded, and has read.
    """
    odds = mine.quality * DOUBTED_ODDS
    writing = max(0.0, mine.wait_seconds - mine.load_seconds - mine.prefill_seconds)
    as_it_is = odds / (1.0 - mine.quality + odds) - SECONDS_VALUE * writing
    worth = {o.key: o.quality - SECONDS_VALUE * o.wait_seconds for o in others if o.quality > mine.quality}
    return tuple(sorted((key for key in worth if worth[key] > as_it_is), key=lambda key: -worth[key]))
