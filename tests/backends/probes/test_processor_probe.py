"""How busy the cores are, from one sample to the next."""

from __future__ import annotations

from typing import NamedTuple

from mai_backends.probes.processor import STILL_SECONDS, Processor
from mai_core.testing import FakeClock


class Times(NamedTuple):
    user: float
    idle: float
    iowait: float = 0.0
    guest: float = 0.0


class Clock:
    """Cores whose counters the test turns."""

    def __init__(self, *rows: Times, load: float = 0.0, usable: frozenset[int] = frozenset({0, 1})) -> None:
        self.rows = list(rows)
        self.processor = Processor(usable=lambda: usable, times=lambda: self.rows, load=lambda: load)

    def busy(self, *rows: Times) -> float:
        self.rows = list(rows) or self.rows
        return self.processor.read(None).busy


def test_the_first_sample_is_the_load_average() -> None:
    assert Clock(Times(5, 5), Times(5, 5), load=1.0).busy() == 0.5
    assert Clock(Times(5, 5), Times(5, 5), load=17.0).busy() == 1.0


def test_later_samples_are_the_share_since_the_last() -> None:
    clock = Clock(Times(10, 10), Times(10, 10))
    clock.busy()
    assert clock.busy(Times(11, 10), Times(10, 11)) == 0.5
    assert clock.busy(Times(11, 11), Times(10, 12)) == 0.0


def test_waiting_for_a_disk_is_idle_and_guests_are_counted_once() -> None:
    clock = Clock(Times(0, 0), Times(0, 0))
    clock.busy()
    assert clock.busy(Times(1, 0, 1, guest=1), Times(1, 1, guest=1)) == 0.5


def test_only_the_cores_this_process_may_use_count() -> None:
    clock = Clock(Times(0, 0), Times(0, 0), usable=frozenset({1}))
    clock.busy()
    assert clock.busy(Times(9, 0), Times(0, 9)) == 0.0


def test_a_look_too_short_to_tell_keeps_the_last_answer() -> None:
    clock = Clock(Times(0, 0), Times(0, 0))
    clock.busy()
    assert clock.busy(Times(3, 1), Times(4, 0)) == 0.875
    assert clock.busy(Times(3.01, 1), Times(4, 0.01)) == 0.875


def test_counters_that_step_back_begin_anew() -> None:
    clock = Clock(Times(50, 50), Times(50, 50), load=0.5)
    assert clock.busy() == 0.25
    assert clock.busy(Times(1, 1), Times(1, 1)) == 0.25
    assert clock.busy(Times(2, 1), Times(2, 1)) == 1.0


def test_cores_are_at_least_one() -> None:
    processor = Clock(Times(1, 1)).processor
    assert processor.read(0.01).cores == 1
    assert processor.read(64.0).cores == 2


def test_counters_that_do_not_count_leave_it_to_the_load_average() -> None:
    clock = FakeClock()
    processor = Processor(usable=lambda: frozenset({0}), times=lambda: [Times(0, 0)], load=lambda: 0.25, clock=clock)
    assert (processor.read(None).busy, processor.stands_still) == (0.25, False)
    clock.advance(STILL_SECONDS)
    assert (processor.read(None).busy, processor.stands_still) == (0.25, True)
