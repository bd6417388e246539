"""A strategy that does not come back is given up, and the others go on."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from mai_core.plugin.isolation import StrategyRunner
from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import LoadPlan
from mai_core.policy.selection import Candidate, Proposal, SelectionRequest

REQUEST = SelectionRequest(features=TaskFeatures(), candidates=(Candidate(key="a", plan=LoadPlan(context=1024)),))


class Strategy:
    def __init__(self, name: str, then: Callable[[], object] = lambda: None) -> None:
        self.name = name  # type: ignore[misc]
        self.then = then
        self.threads: list[str] = []

    name: str = ""  # type: ignore[misc]

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        self.threads.append(threading.current_thread().name)
        self.then()
        return [Proposal("a", 0.5, "x")]


def runner(*strategies: Strategy, limit: float = 0.2, told: list[tuple[str, str]] | None = None) -> StrategyRunner:
    def report(strategy: object, fault: str) -> None:
        assert isinstance(strategy, Strategy)
        if told is not None:
            told.append((strategy.name, fault))

    return StrategyRunner([(s, 1.0) for s in strategies], 0.05, report=report, limit_seconds=limit)


def test_all_are_asked_in_one_other_thread() -> None:
    first, second = Strategy("first"), Strategy("second")
    asked = runner(first, second)
    for _ in range(3):
        assert [b.strategy for b in asked.ballots(REQUEST)] == ["first", "second"]
    assert first.threads == second.threads == ["mai-strategies"] * 3
    asked.close()


def test_one_that_sleeps_forever_is_named_and_left_out() -> None:
    forever = threading.Event()
    told: list[tuple[str, str]] = []
    before, stuck, after = Strategy("before"), Strategy("stuck", forever.wait), Strategy("after")
    asked = runner(before, stuck, after, told=told)
    started = time.monotonic()
    ballots = asked.ballots(REQUEST)
    assert time.monotonic() - started < 2.0
    assert [bool(b.proposals) for b in ballots] == [True, False, True]
    assert ballots[1].fault == "did not return within 0.2 s and is left out from then on"
    assert told == [("stuck", ballots[1].fault)]
    started = time.monotonic()
    assert asked.ballots(REQUEST)[1].fault == ballots[1].fault
    assert time.monotonic() - started < 0.15, "it was asked again"
    assert len(stuck.threads) == 1
    assert len(before.threads) == len(after.threads) == 2
    assert len(told) == 1
    forever.set()


def test_a_busy_loop_does_not_keep_a_core() -> None:
    running: list[threading.Thread] = []

    def spin() -> None:
        running.append(threading.current_thread())
        while True:
            pass

    ballots = runner(Strategy("busy", spin), Strategy("after")).ballots(REQUEST)
    assert [bool(b.fault) for b in ballots] == [True, False]
    running[0].join(timeout=5.0)
    assert not running[0].is_alive(), "the loop still runs"


def test_the_thread_ends_with_its_runner() -> None:
    running: list[threading.Thread] = []
    runner(Strategy("only", lambda: running.append(threading.current_thread()))).ballots(REQUEST)
    gc.collect()
    running[0].join(timeout=5.0)
    assert not running[0].is_alive()


def test_two_that_never_return_are_both_named() -> None:
    forever = threading.Event()
    asked = runner(Strategy("one", forever.wait), Strategy("two", forever.wait), Strategy("three"), limit=0.1)
    assert [bool(b.fault) for b in asked.ballots(REQUEST)] == [True, True, False]
    forever.set()


def test_slow_but_coming_back_is_not_given_up() -> None:
    told: list[tuple[str, str]] = []
    slow = Strategy("slow", lambda: time.sleep(0.15))
    asked = runner(slow, Strategy("slow too", lambda: time.sleep(0.15)), limit=0.2, told=told)
    for _ in range(2):
        assert all("of 50 ms" in b.fault for b in asked.ballots(REQUEST))
    assert len(slow.threads) == 2
    assert [name for name, _ in told] == ["slow", "slow too"], "each is reported once"


def test_a_late_answer_of_one_given_up_counts_for_nothing() -> None:
    release = threading.Event()
    fine = Strategy("fine")
    asked = runner(Strategy("late", release.wait), fine, limit=0.1)
    first = asked.ballots(REQUEST)
    release.set()
    time.sleep(0.05)
    second = asked.ballots(REQUEST)
    assert [b.fault for b in first] == [b.fault for b in second]
    assert second[1].proposals
    assert len(fine.threads) == 2, "the abandoned thread went on asking"


def test_may_be_used_from_several_threads() -> None:
    asked = runner(Strategy("first"), Strategy("second"))
    with ThreadPoolExecutor(4) as threads:
        for ballots in threads.map(lambda _: asked.ballots(REQUEST), range(40)):
            assert [b.strategy for b in ballots] == ["first", "second"]


def test_may_be_used_after_close_and_without_strategies() -> None:
    asked = runner(Strategy("first"))
    assert asked.ballots(REQUEST)
    asked.close()
    asked.close()
    assert asked.ballots(REQUEST)[0].proposals
    assert runner().ballots(REQUEST) == ()


def test_the_way_through_the_thread_costs_little() -> None:
    asked = runner(Strategy("quick"))
    asked.ballots(REQUEST)
    took = []
    for _ in range(300):
        started = time.perf_counter()
        asked.ballots(REQUEST)
        took.append(time.perf_counter() - started)
    assert statistics.median(took) < 0.001, "ten times what is aimed for, on a machine that is busy"
