"""A strategy that never returns must not hold up the turn: ballots are collected in a thread with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from mai_core.plugin.ballots import ask
from mai_core.plugin.interfaces import SelectionStrategy
from mai_core.policy.selection import Ballot, SelectionRequest

__all__ = ["StrategyRunner"]

Voter = tuple[SelectionStrategy, float]


class _Abandoned(BaseException):
    """Raised inside a strategy that was given up."""


@dataclass(slots=True, eq=False)
class _Job:
    """One round of asking ``voters``.

    ``progress`` holds the ballots so far and when the next strategy was started. It is replaced as a whole, so the
    waiting thread never sees half of a step.
    """

    request: SelectionRequest
    voters: Sequence[Voter]
    progress: tuple[tuple[Ballot, ...], float]
    abandoned: bool = False
    done: SimpleQueue[tuple[Ballot, ...]] = field(default_factory=SimpleQueue)


class StrategyRunner:
    """Asks strategies, each within ``budget_seconds``, and gives up on one that does not come back at all.

    The hard limit is ten times the budget and at least a second, for each strategy. One that exceeds it loses its
    vote for good: every ballot from then on says so, and the others go on in a new thread. ``clock`` measures what
    counts against the budget; the hard limit is always real time. ``report`` hears of each strategy's first fault
    and of its being given up. ``ballots`` blocks and may be called from any thread.
    """

    def __init__(
        self,
        strategies: Sequence[Voter],
        budget_seconds: float,
        clock: Callable[[], float] = time.perf_counter,
        *,
        report: Callable[[SelectionStrategy, str], None] = lambda strategy, fault: None,
        limit_seconds: float | None = None,
    ) -> None:
        self._strategies = tuple(strategies)
        self._budget = budget_seconds
        self._clock = clock
        self._report = report
        self._limit = max(1.0, 10 * budget_seconds) if limit_seconds is None else limit_seconds
        self._given_up: set[int] = set()
        self._told: set[int] = set()
        self._lock = threading.Lock()
        self._worker: _Worker | None = None

    def ballots(self, request: SelectionRequest) -> tuple[Ballot, ...]:
        """One ballot for every strategy, in order; see ``collect_ballots`` for what they hold."""
        with self._lock:
            answers: dict[int, Ballot] = {}
            waiting = [i for i in range(len(self._strategies)) if i not in self._given_up]
            while waiting:
                ballots = self._ask([self._strategies[i] for i in waiting], request)
                answers.update(zip(waiting, ballots, strict=False))
                if len(ballots) < len(waiting):
                    self._give_up(waiting[len(ballots)])
                waiting = waiting[len(ballots) + 1 :]
            for index, ballot in answers.items():
                if ballot.fault and index not in self._told:
                    self._told.add(index)
                    self._report(self._strategies[index][0], ballot.fault)
            return tuple([answers.get(i) or self._lost(i) for i in range(len(self._strategies))])

    def close(self) -> None:
        """End the thread. The runner may be used again and then starts a new one."""
        with self._lock:
            if self._worker is not None:
                self._worker.dismiss()
                self._worker = None

    def __del__(self) -> None:
        if self._worker is not None:
            self._worker.dismiss()

    def _ask(self, voters: Sequence[Voter], request: SelectionRequest) -> tuple[Ballot, ...]:
        """Everyone's ballots, or those before the first strategy that did not come back."""
        if self._worker is None:
            self._worker = _Worker(self._clock, self._budget)
        job = _Job(request, voters, ((), time.monotonic()))
        self._worker.take(job)
        remaining = self._limit
        while remaining > 0:
            try:
                return job.done.get(timeout=remaining)
            except Empty:
                ballots, since = job.progress
                remaining = since + self._limit - time.monotonic()
        self._worker.abandon(job)
        self._worker = None
        return ballots

    def _give_up(self, index: int) -> None:
        self._given_up.add(index)
        self._report(self._strategies[index][0], self._lost(index).fault)

    def _lost(self, index: int) -> Ballot:
        strategy, weight = self._strategies[index]
        fault = f"did not return within {self._limit:g} s and is left out from then on"
        return Ballot(strategy=strategy.name, weight=weight, fault=fault)


class _Worker:
    """One daemon thread that works through jobs until it is dismissed or abandoned."""

    def __init__(self, clock: Callable[[], float], budget_seconds: float) -> None:
        self._clock = clock
        self._budget = budget_seconds
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="mai-strategies", daemon=True)
        self._thread.start()

    def take(self, job: _Job) -> None:
        """Start on a job as soon as the one before is done."""
        self._jobs.put(job)

    def dismiss(self) -> None:
        """End the thread once it has nothing to do."""
        self._jobs.put(None)

    def abandon(self, job: _Job) -> None:
        """Leave the thread to itself, and try to end what it runs, so that a busy loop does not keep a core.

        That reaches Python code only; a strategy stuck in a C call stays until the process ends.
        """
        import ctypes

        job.abandoned = True
        self.dismiss()
        ident = ctypes.c_ulong(self._thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(_Abandoned))

    def _work(self) -> None:
        try:
            while job := self._jobs.get():
                self._answer(job)
        except _Abandoned:
            return

    def _answer(self, job: _Job) -> None:
        known = frozenset([c.key for c in job.request.candidates])
        ballots: tuple[Ballot, ...] = ()
        for strategy, weight in job.voters:
            job.progress = (ballots, time.monotonic())
            ballot = ask(strategy, weight, job.request, known=known, clock=self._clock, budget_seconds=self._budget)
            if job.abandoned:
                return
            ballots = (*ballots, ballot)
        job.done.put(ballots)
