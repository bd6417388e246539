"""Timing small functions on a machine that does other things too."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence

__all__ = ["medians"]


def medians(functions: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """The median seconds of each function, all of them measured in turn so that noise meets them alike."""
    taken: list[list[float]] = [[] for _ in functions]
    for function in functions:
        function()
    gc.collect()
    for _ in range(rounds):
        for function, times in zip(functions, taken, strict=True):
            started = time.perf_counter()
            function()
            times.append(time.perf_counter() - started)
    return [statistics.median(times) for times in taken]
