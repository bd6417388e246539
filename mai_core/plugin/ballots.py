"""Asking strategies for their proposals, and checking what they answer.

The hot path of a decision: a good answer is recognised by whole-column checks that run in C, and only a bad one is
looked at proposal by proposal to say what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter

from mai_core.plugin.faults import one_line
from mai_core.plugin.interfaces import SelectionStrategy
from mai_core.policy.selection import Ballot, Proposal, SelectionRequest

__all__ = ["ask", "collect_ballots"]

ROUNDING = 1e-9
"""How far a score may lie outside [0, 1] before it is nonsense rather than a sum of floats."""

_KEY = itemgetter(0)
_SCORE = itemgetter(1)
_NUMBERS = frozenset((float, int))


def collect_ballots(
    strategies: Sequence[tuple[SelectionStrategy, float]],
    request: SelectionRequest,
    *,
    clock: Callable[[], float],
    budget_seconds: float,
) -> tuple[Ballot, ...]:
    """Ask every strategy (with its weight) once, in order.

    One that raises, answers nonsense or takes longer than its budget loses its vote: its ballot has a ``fault`` and
    no proposals. Proposals are sorted by score, best first, then by key. No proposals at all is an abstention and
    no fault.
    """
    known = frozenset([c.key for c in request.candidates])
    return tuple(
        [
            ask(strategy, weight, request, known=known, clock=clock, budget_seconds=budget_seconds)
            for strategy, weight in strategies
        ]
    )


def ask(
    strategy: SelectionStrategy,
    weight: float,
    request: SelectionRequest,
    *,
    known: frozenset[str],
    clock: Callable[[], float],
    budget_seconds: float,
) -> Ballot:
    """One strategy's ballot; ``known`` are the keys of the request's candidates."""
    proposals: Sequence[Proposal] = ()
    started = clock()
    try:
        answer = strategy.propose(request)
        fault = ""
        if isinstance(answer, list | tuple):
            proposals = answer
        elif isinstance(answer, Sequence) and not isinstance(answer, str | bytes):
            proposals = tuple(answer)
        else:
            fault = f"answered {type(answer).__name__}, not a sequence of proposals"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - the fence around third-party code; its ballot says so
        fault = f"raised {one_line(error)}"
    seconds = clock() - started
    if not fault and seconds > budget_seconds:
        fault = f"took {seconds * 1000:.0f} ms of {budget_seconds * 1000:.0f} ms"
    if not fault and proposals and not _sound(proposals, known):
        fault = _wrong(proposals, known)
        if not fault:
            proposals = [p._replace(score=min(1.0, max(0.0, p.score))) for p in proposals]
    if fault:
        return Ballot(strategy=strategy.name, weight=weight, fault=fault, seconds=seconds)
    return Ballot(strategy=strategy.name, weight=weight, proposals=_best_first(proposals), seconds=seconds)


def _sound(proposals: Sequence[Proposal], known: frozenset[str]) -> bool:
    """Whether all is plainly well; False may also mean that it takes a closer look."""
    count = len(proposals)
    if list(map(type, proposals)).count(Proposal) != count:
        return False
    keys, scores, reasons, doubts = zip(*proposals, strict=True)
    if list(map(type, keys)).count(str) != count or list(map(type, reasons)).count(str) != count:
        return False
    if len(known.intersection(keys)) != count or not _NUMBERS.issuperset(map(type, scores)):
        return False
    if doubts.count(None) != count and not all(map(_is_logprob, doubts)):
        return False
    total = sum(scores)  # not a number as soon as one of them is none; then min and max would tell nothing
    return bool(total == total and min(scores) >= 0.0 and max(scores) <= 1.0)


def _is_logprob(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value <= 0.0)


def _best_first(proposals: Sequence[Proposal]) -> tuple[Proposal, ...]:
    """By score, best first, then by key. Two stable sorts on one column each beat one sort on a computed pair."""
    if len(set([p[1] for p in proposals])) < len(proposals):  # noqa: C403 - a third faster than the comprehension
        proposals = sorted(proposals, key=_KEY)
    return tuple(sorted(proposals, key=_SCORE, reverse=True))


def _wrong(proposals: Sequence[object], known: frozenset[str]) -> str:
    """The first thing wrong with an answer, in one line; empty when nothing is."""
    seen: set[str] = set()
    for proposal in proposals:
        if not isinstance(proposal, Proposal):
            return f"answered with {_shown(proposal)}, not a Proposal"
        key, score, reason, doubt_below = proposal
        if not isinstance(key, str):
            return f"proposed {_shown(key)}, which is no key"
        if key not in known:
            return f"proposed {_shown(key)}, which is not a candidate"
        if key in seen:
            return f"proposed {_shown(key)} twice"
        seen.add(key)
        if isinstance(score, bool) or not isinstance(score, int | float):
            return f"gave {key} the score {_shown(score)}, which is no number"
        if not -ROUNDING <= score <= 1.0 + ROUNDING:
            return f"gave {key} the score {score}, which is outside [0, 1]"
        if not isinstance(reason, str):
            return f"gave {key} the reason {_shown(reason)}, which is no text"
        if not _is_logprob(doubt_below):
            return f"doubts {key} below {_shown(doubt_below)}, which is no logarithm of a probability"
    return ""


def _shown(value: object) -> str:
    """A value as a plugin gave it, short, even when it cannot show itself."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a third party's __repr__; its type says enough
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 60 else f"{text[:57]}..."
