"""Threads for the cores that are free, batches short enough to be stopped."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_backends.embedded.tuning import (
    Look,
    busy_with_others,
    choose_batch,
    free_threads,
    threads_beside,
    writing_threads,
)


@pytest.mark.parametrize(
    ("busy", "cores", "threads"), [(0.0, 2, 2), (0.4, 2, 2), (1.0, 2, 1), (2.0, 2, 1), (9.0, 2, 1), (3.2, 8, 5)]
)
def test_a_thread_for_each_free_core(busy: float, cores: int, threads: int) -> None:
    assert threads_beside(busy, cores=cores) == threads


def test_own_work_does_not_count() -> None:
    before = Look(4, total=400.0, busy=100.0, own={1: 50.0, 2: 7.0})
    # One second later: three cores were busy, two of them with process 1; process 3 is new.
    after = Look(4, total=404.0, busy=103.0, own={1: 52.0, 2: 7.0, 3: 9.0})
    assert busy_with_others(before, after) == pytest.approx(1.0)


def test_no_time_has_passed() -> None:
    look = Look(2, total=10.0, busy=5.0, own={})
    assert busy_with_others(look, look) == 0.0


@pytest.fixture
def burner() -> Iterator[int]:
    """The id of a process that keeps a core busy."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        yield process.pid
        process.kill()


async def test_looks_at_this_machine(burner: int) -> None:
    """Work of one's own leaves no fewer threads than the same work of others."""
    (own, _), (others, _) = await asyncio.gather(free_threads([burner, 2**22 + 1]), free_threads([]))
    assert 1 <= others <= own <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("free", "cores", "threads"), [(2, 2, 1), (1, 2, 1), (1, 1, 1), (8, 8, 7), (5, 8, 5)])
def test_one_core_is_left_alone_while_writing(free: int, cores: int, threads: int) -> None:
    assert writing_threads(free, cores=cores) == threads


@given(size=st.integers(0, 10**12), threads=st.integers(1, 256), largest=st.integers(1, 4096))
def test_batches(size: int, threads: int, largest: int) -> None:
    batch = choose_batch(size, threads, largest=largest)
    assert min(16, largest) <= batch <= largest
    assert batch == largest or batch & (batch - 1) == 0
    assert choose_batch(size * 2, threads, largest=largest) <= batch <= choose_batch(size, threads * 2, largest=largest)


def test_small_models_read_in_larger_batches() -> None:
    assert choose_batch(98_000_000, 2, largest=512) == 32
    assert choose_batch(1_117_000_000, 2, largest=512) == 16
    assert choose_batch(98_000_000, 64, largest=512) == 512
