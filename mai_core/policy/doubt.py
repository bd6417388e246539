"""Whether a model is sure of what it begins to say, judged before anybody reads it.

The mean log-probability of the first tokens, as the model's own engine tells them: a model that guesses spreads its
probability. Where an engine tells none nothing is judged, and the reply is watched for struggle like any other.
"""

from __future__ import annotations

from collections.abc import Iterable

from mai_core.policy.selection import Candidate

__all__ = ["FirstWords", "successors"]

JUDGED_TOKENS = 32
"""Tokens that are held back: some seconds of a slow model, a sentence or two."""
LEAST_TOKENS = 3
SECONDS_VALUE = 0.005
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
    """Keys of those more likely to answer well than ``mine``, by that and by how long they take, the best first."""
    better = [other for other in others if other.quality > mine.quality]
    return tuple(
        other.key for other in sorted(better, key=lambda other: other.wait_seconds * SECONDS_VALUE - other.quality)
    )
