"""How many threads and how large a batch a model gets on this machine, now."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from mai_backends.probes.cgroup import Groups
from mai_backends.probes.processor import times_of_cores, usable_cores

__all__ = [
    "Look",
    "busy_with_others",
    "choose_batch",
    "free_threads",
    "reading_rate",
    "threads_beside",
    "writing_threads",
]

LOOK_SECONDS = 0.2
BATCH_SECONDS = 0.2
SMALLEST_BATCH = 16
"""Below it the engine reads the weights too often: 16 costs 10 % of the speed of 512, 8 costs 40 %."""
WEIGHT_RATE = 15e9
"""Bytes of weights times tokens one thread gets through in a second while it reads a prompt.

From 98 MB at 315 tokens a second with two threads; models with larger matrices are up to twice as fast.
"""


def choose_batch(size_bytes: int, threads: int, *, largest: int) -> int:
    """Prompt tokens to compute in one go: a power of two that takes about 0.2 s, since only between batches the
    engine notices that nobody wants the answer any more."""
    wanted = BATCH_SECONDS * reading_rate(size_bytes, threads)
    batch = SMALLEST_BATCH
    while batch * 2 <= min(wanted, largest):
        batch *= 2
    return min(batch, largest)


def reading_rate(size_bytes: int, threads: int) -> float:
    """Tokens a second of a prompt that a model of this size will about read."""
    return threads * WEIGHT_RATE / max(1, size_bytes)


def threads_beside(busy: float, *, cores: int) -> int:
    """Threads for an engine on ``cores`` of which others keep ``busy`` busy: a thread without a core of its own
    holds all others up."""
    return max(1, min(cores, round(cores - busy)))


def writing_threads(free: int, *, cores: int) -> int:
    """Threads for writing an answer: the free cores, but never all there are.

    While it writes, the engine makes its threads wait for each other hundreds of times a token. One core that others
    need now and then holds all of them up each time: Qwen 0.5B wrote 1 token a second with two threads beside one busy
    core, 15 with one thread; with both cores free it was 34 and 24. Reading a prompt is coarser work and takes all free
    cores.
    """
    return max(1, min(free, cores - 1))


@dataclass(frozen=True, slots=True)
class Look:
    """Seconds since the machine started, of all ``cores`` this process may use together: ``total`` that passed,
    ``busy`` of it, and what each of Mai's own processes took, by id."""

    cores: int
    total: float
    busy: float
    own: Mapping[int, float]


def busy_with_others(before: Look, after: Look) -> float:
    """Cores that others than Mai kept busy between two looks.

    Mai's own work does not count: a model is loaded while another one answers, and they take turns afterwards.
    """
    seconds = (after.total - before.total) / after.cores
    mine = sum(taken - before.own[pid] for pid, taken in after.own.items() if pid in before.own)
    return max(0.0, after.busy - before.busy - mine) / seconds if seconds > 0 else 0.0


async def free_threads(own: Collection[int]) -> tuple[int, int]:
    """The cores that only this process and the processes ``own`` used during the coming 0.2 s, and all there are."""
    before = _look(own)
    await asyncio.sleep(LOOK_SECONDS)
    after = _look(own)
    cores = _cores(after.cores)
    return threads_beside(busy_with_others(before, after), cores=cores), cores


def _look(own: Collection[int]) -> Look:
    rows = times_of_cores()
    usable = usable_cores()
    mine = [row for number, row in enumerate(rows) if number in usable] or rows
    idle = sum(row.idle + getattr(row, "iowait", 0.0) for row in mine)
    total = sum(sum(row) - getattr(row, "guest", 0.0) - getattr(row, "guest_nice", 0.0) for row in mine)
    return Look(len(mine), total, total - idle, _own_seconds(own))


def _own_seconds(own: Collection[int]) -> dict[int, float]:
    import psutil

    seconds: dict[int, float] = {}
    for pid in {os.getpid(), *own}:
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(pid).cpu_times()
            seconds[pid] = times.user + times.system
    return seconds


def _cores(usable: int) -> int:
    """Whole cores this process may keep busy: a quota counts, since the kernel stops all threads that exceed it."""
    try:
        quota = Groups(Path("/proc"), Path("/sys/fs/cgroup")).cores()
    except (OSError, ValueError):
        quota = None
    return usable if quota is None else max(1, min(usable, int(quota)))
