"""Work for all cores."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

__all__ = ["mapped"]

T = TypeVar("T")
R = TypeVar("R")


def mapped(work: Callable[[T], R], items: Sequence[T], jobs: int) -> Iterator[R]:
    """What ``work`` makes of each item, in their order, as it is done. Many jobs are as many processes."""
    if jobs <= 1 or len(items) <= 1:
        yield from map(work, items)
        return
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(items))) as workers:
        yield from workers.imap(work, items)
