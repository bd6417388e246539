"""What is rounded before it is decided on, so that equal decisions are made once.

Memory goes down to the next line of a grid, so that rounding never makes a model seem to fit. Tokens go to the nearest
line, at most a quarter or 100 away, which is about what an estimate without a tokenizer is off by. Calm goes down to
what the core tells apart, and the share of memory left beside a model to the next of a few lines. The history of
switches is put into a form that decides the same: how many of them still count, and whether one took more memory of
late. Everything else a decision sees is exact.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache

from mai_core.policy.feasibility import Limits
from mai_core.policy.stability import StabilityRules, Switch, was_up_lately

__all__ = ["POOL_STEPS", "calm_on_grid", "down", "history_of", "lately", "nearest", "spare_on_grid"]

POOL_STEPS = 32
"""Lines of the grid in a pool. Other programs take memory in as many steps, so it is mostly exact, too."""

SPARE = (0.1, 0.25, 0.5)
RATIO = 1.6
LEAST = 128
_LOG = math.log(RATIO)
_TOKENS = tuple(round(LEAST * RATIO**step) for step in range(18))


def nearest(tokens: int) -> int:
    """The nearest of the numbers 128, 205, 328, ..., by their ratio."""
    return _TOKENS[round(math.log(tokens / LEAST) / _LOG)] if tokens > LEAST else LEAST


def down(size: int, total: int) -> int:
    """Bytes, rounded down to a line of a pool's grid; may be below 0."""
    unit = max(1, total // POOL_STEPS)
    return size // unit * unit


def spare_on_grid(spare: float, limits: Limits) -> float:
    """The share of memory left beside a model, rounded down; the share that a switch needs is a line of its own."""
    return max((line for line in (0.0, limits.spare, *SPARE) if line <= spare), default=spare)


def calm_on_grid(calm: float, rules: StabilityRules) -> float:
    """Seconds of calm, rounded down to what the core tells apart."""
    lines = (0.0, 1.0, rules.up_after_seconds, max(3600.0, 2 * rules.up_after_seconds))
    return calm if calm == float("inf") else lines[bisect_right(lines, calm) - 1]


def lately(history: Sequence[Switch], now: float, rules: StabilityRules) -> tuple[int, bool]:
    """How many switches that were paid for still count, and whether one of late took more memory than before."""
    if not history:
        return 0, False
    counted = sum(now - switch.at < rules.remember_seconds for switch in history)
    return counted, was_up_lately(history, now, rules.up_after_seconds)


@cache
def history_of(counted: int, up: bool) -> tuple[Switch, ...]:
    """The plainest history of which ``lately`` says that, seen at 0 seconds: all of it just happened."""
    return tuple([Switch(0.0, "", up and not place) for place in range(counted)])
