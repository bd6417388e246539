"""When a model that answers does not answer well: it falls silent, crawls, goes round in circles, guesses.

A short answer is none of these, nor are code, tables, refrains and rows of zeros. The limits stand between replies of
two real models that went well and replies that went wrong: ``tests/core/policy/replies.jsonl``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from mai_core.policy.repetition import REACH, loop_start

if TYPE_CHECKING:
    from mai_core.policy.features import TaskFeatures
    from mai_core.policy.messages import GenerationOptions
    from mai_core.policy.selection import Candidate

__all__ = ["Patience", "Struggle", "StruggleWatch", "patience", "quicker", "surer"]

LOOP_CHECK_CHARACTERS = 128
CHARACTERS_PER_TOKEN = 8
"""Engines send a token a piece, some several together: a piece counts one token for every so many characters."""

RATE_WINDOW_SECONDS = 10.0
RATE_BASE_SECONDS = 4.0
RATE_BASE_TOKENS = 24
COLLAPSED = 0.2
"""Share of the earlier rate, and of the expected one, below which the rate has collapsed."""

COLLAPSED_SECONDS = 15.0
"""How long the rate must stay there: a shared machine takes a breath now and then."""

WORTH_SWITCHING = 0.5
"""Whoever takes over must be expected to finish in this share of the seconds the slow model still needs."""

LEAST_REST_TOKENS = 64

DOUBT_TOKENS = 48
DOUBT_LOGPROB = -2.5
"""Mean log-probability over ``DOUBT_TOKENS``: replies up to temperature 0.8 stay above -1.7, gibberish is near -10."""

GRACE = 2.0
SLOWEST_PREFILL = 10.0
SLOWEST_TOKENS = 50.0


class Struggle(StrEnum):
    """How a model struggles.

    silent       a deadline passed without a token
    empty        the answer ended before it began
    looped       the same passage, over and over
    slow         the rate collapsed, and another model would finish sooner
    unsure       whatever it writes is unlikely by its own probabilities
    doubted      its first words are, and a second opinion was asked for: nobody has read them
    window-full  the window was full before the answer ended
    """

    SILENT = "silent"
    EMPTY = "empty"
    LOOPED = "looped"
    SLOW = "slow"
    UNSURE = "unsure"
    DOUBTED = "doubted"
    WINDOW_FULL = "window-full"


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds without an event after which a backend has lost a reply: before its first, and between two."""

    first: float
    between: float


def patience(candidate: Candidate, options: GenerationOptions, features: TaskFeatures) -> Patience:
    """How long the core waits for a backend, which knows more and watches the deadlines of ``options`` itself.

    So it is generous: twice those deadlines, and ten times what the model should take to read the whole conversation
    or fifty times what a token should take. Tool calls come whole: while one may be on its way, nothing else need come.
    """
    # What is loaded may be expected to have read the rest: it has to read it again when it turns out otherwise.
    whole = max(1.0, features.prompt_tokens / max(1, features.new_tokens)) if candidate.is_loaded else 1.0
    first = GRACE * options.first_token_deadline + SLOWEST_PREFILL * candidate.prefill_seconds * whole
    between = GRACE * options.token_deadline + SLOWEST_TOKENS / candidate.tokens_per_second
    return Patience(first, max(first, between) if options.tools else between)


class StruggleWatch:
    """Watches one reply for loops, a collapse of its rate, and doubt. ``before`` is the text it goes on from.

    Takes a few microseconds for a token, however long the reply. What it has reported it reports again when it is still
    so after as many seconds or tokens more.
    """

    def __init__(self, *, expected_tps: float, before: str = "") -> None:
        self._text = _Loops(before)
        self._thoughts = _Loops("")
        self._rate = _Rate(expected_tps)
        self._doubt = _Doubt()

    @property
    def loop_start(self) -> int | None:
        """Where the second round of the loop that was found begins, in characters of the whole text."""
        return self._text.start

    @property
    def tokens_per_second(self) -> float:
        """The rate of the last seconds."""
        return self._rate.now

    @property
    def tokens(self) -> float:
        """Tokens so far, thoughts included, as far as their pieces tell."""
        return self._rate.tokens

    def feed(self, text: str, at: float, logprob: float | None = None) -> Struggle | None:
        """A piece of the reply, the seconds on a steady clock when it came, and its log-probability where known."""
        slow = self._rate.feed(text, at)
        unsure = logprob is not None and self._doubt.feed(logprob)
        if self._text.feed(text):
            return Struggle.LOOPED
        return Struggle.UNSURE if unsure else Struggle.SLOW if slow else None

    def think(self, text: str, at: float) -> Struggle | None:
        """A piece of what the model thinks before it answers. Doubt is what thoughts are for."""
        slow = self._rate.feed(text, at)
        if self._thoughts.feed(text):
            return Struggle.LOOPED
        return Struggle.SLOW if slow else None


class _Loops:
    """The end of a growing text, searched for a loop now and then."""

    def __init__(self, before: str) -> None:
        self._tail = before[-REACH:]
        self._length = len(before)
        self._pieces: list[str] = []
        self._unchecked = 0
        self.start: int | None = None

    def feed(self, text: str) -> bool:
        """Whether the text goes in circles."""
        self._pieces.append(text)
        self._unchecked += len(text)
        if self._unchecked < LOOP_CHECK_CHARACTERS:
            return False
        self._length += self._unchecked
        self._tail = (self._tail + "".join(self._pieces))[-REACH:]
        self._pieces.clear()
        self._unchecked = 0
        if (start := loop_start(self._tail)) is not None:
            self.start = self._length - len(self._tail) + start
        return start is not None


class _Rate:
    """Tokens a second in a sliding window, beside what they were before it."""

    def __init__(self, expected: float) -> None:
        self._expected = expected
        self._recent: deque[tuple[float, float]] = deque()
        self._began: float | None = None
        self._base = 0.0
        self._slow_since: float | None = None
        self._in_window = 0.0
        self.tokens = 0.0
        self.now = 0.0

    def feed(self, text: str, at: float) -> bool:
        """Whether the rate has been down for long enough."""
        if self._began is None:
            self._began = at  # the first token tells nothing: it waited for the prompt to be read
            return False
        size = max(1.0, len(text) / CHARACTERS_PER_TOKEN)
        self.tokens += size
        self._in_window += size
        self._recent.append((at, size))
        while self._recent[0][0] <= at - RATE_WINDOW_SECONDS:
            self._in_window -= self._recent.popleft()[1]
        seconds = at - self._began
        self.now = self._in_window / max(1e-3, min(seconds, RATE_WINDOW_SECONDS))
        if self._slow_since is None:
            earlier, before = self.tokens - self._in_window, seconds - RATE_WINDOW_SECONDS
            if before < RATE_BASE_SECONDS or earlier < RATE_BASE_TOKENS:
                return False
            self._base = earlier / before
        if self.now > COLLAPSED * min(self._base, self._expected):
            self._slow_since = None
            return False
        if self._slow_since is None:
            self._slow_since = at
        if at - self._slow_since < COLLAPSED_SECONDS:
            return False
        self._slow_since = at
        return True


class _Doubt:
    """The mean log-probability of the last tokens."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque()
        self._sum = 0.0

    def feed(self, logprob: float) -> bool:
        """Whether the last tokens were guesses."""
        # A token no sampler would draw, or that an engine reports as minus infinity, must not decide alone.
        logprob = max(-12.0, min(0.0, logprob)) if logprob == logprob else 0.0
        self._recent.append(logprob)
        self._sum += logprob
        if len(self._recent) < DOUBT_TOKENS:
            return False
        unsure = self._sum / len(self._recent) < DOUBT_LOGPROB
        if unsure:
            self._recent.clear()
            self._sum = 0.0
        else:
            self._sum -= self._recent.popleft()
        return unsure


def quicker(
    others: Iterable[Candidate], mine: Candidate, *, tokens_per_second: float, written: float, reply_tokens: float
) -> tuple[str, ...]:
    """Keys of the models expected to finish a reply well before ``mine`` at its present rate, the soonest first.

    ``written`` of about ``reply_tokens`` tokens are there and must be read by whoever takes over. What slows a model
    down slows its neighbours on the same host, too.
    """
    rest = max(LEAST_REST_TOKENS, reply_tokens - written)
    patience = WORTH_SWITCHING * rest / max(1e-3, tokens_per_second)
    slowdown = min(1.0, max(1e-3, tokens_per_second) / mine.tokens_per_second)

    def seconds(other: Candidate) -> float:
        speed = slowdown if other.host == mine.host else 1.0
        # Reading is at least five times as fast as writing.
        work = other.prefill_seconds + (rest + written / 5.0) / other.tokens_per_second
        return other.load_seconds + work / speed

    times = {other.key: seconds(other) for other in others}
    return tuple(sorted((key for key, time in times.items() if time < patience), key=lambda key: times[key]))


def surer(others: Iterable[Candidate], mine: Candidate) -> tuple[str, ...]:
    """Keys of the models more likely to answer well than ``mine``, in their order."""
    return tuple(other.key for other in others if other.quality > mine.quality)
