"""How far a forecast is believed: no further than it has proven itself on prompts it had not seen.

Between the means of all prompts, by which every prompt is alike and choosing comes down to drawing among single models,
and what was learnt of texts, as much is believed as made better choices on the splits that served to check. These lie
within the training side: nothing that is measured afterwards is looked at. Where nothing was won for certain, or
nothing could be checked, the means are all that remains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import NamedTuple

from mai_core.bench.replay.contestants import blind, reference
from mai_core.bench.replay.folds import Split
from mai_core.bench.replay.forecasts import Forecast, Rows, by_overall_means, stacked
from mai_core.bench.replay.intervals import Interval
from mai_core.bench.replay.pool import Pool
from mai_core.bench.replay.standings import standings

__all__ = ["NONE", "Check", "Trust", "believed", "proven"]

STEPS = 24
ROUNDS = 400


class Trust(NamedTuple):
    """The shares in which what texts tell beyond the means is believed, of ``quality`` and of ``cost``."""

    quality: float
    cost: float


NONE = Trust(0.0, 0.0)
TRIED = (Trust(1.0, 1.0), Trust(0.5, 1.0), Trust(1.0, 0.0), Trust(0.5, 0.0), Trust(0.0, 1.0))


class Check(NamedTuple):
    """A split, and what was forecast of the prompts it holds out."""

    split: Split
    forecast: Forecast


def believed(means: Forecast, told: Forecast, trust: Trust) -> Forecast:
    """``told`` as far as it is trusted, ``means`` for the rest."""
    return Forecast(
        _between(means.quality, told.quality, trust.quality),
        _between(means.cost, told.cost, trust.cost),
        _between(means.tokens, told.tokens, trust.cost),
    )


def proven(pool: Pool, checks: Sequence[Check], *, seed: int = 1) -> Trust:
    """The trust that won most on ``checks``, of those that won for certain.

    For certain is: area under the curve beyond that of single models, with a paired interval above zero over all
    prompts of the checks, and by more than the checks waver one by one: their mean gain exceeds its own standard error.
    Of two, that is a gain on both.
    """
    if not checks:
        return NONE
    together = _won(pool, checks, ROUNDS, seed)
    each = [_won(pool, [check], 1, seed) for check in checks]
    certain = [
        (gain.value, trust)
        for at, (trust, gain) in enumerate(zip(TRIED, together, strict=True))
        if gain.above_zero and _beyond_error([gains[at].value for gains in each])
    ]
    return max(certain)[1] if certain else NONE


def _beyond_error(gains: Sequence[float]) -> bool:
    if len(gains) < 2:
        return gains[0] > 0.0
    return fmean(gains) > stdev(gains) / math.sqrt(len(gains))


def _won(pool: Pool, checks: Sequence[Check], rounds: int, seed: int) -> list[Interval]:
    """What every trust tried wins over none."""
    held = pool.at([place for check in checks for place in check.split.held])
    means = [by_overall_means(pool, check.split) for check in checks]

    def curve(trust: Trust) -> Forecast:
        return stacked([believed(mean, check.forecast, trust) for mean, check in zip(means, checks, strict=True)])

    tried = [reference(held, curve(trust), str(tuple(trust)), steps=STEPS) for trust in TRIED]
    side = [at for at, check in enumerate(checks) for _ in check.split.held]
    none = blind(held, [pool.at(check.split.seen).singles for check in checks], side, "none")
    found = standings(held, tried, none, rounds=rounds, seed=seed)
    return [standing.over_means or Interval(0.0, 0.0, 0.0) for standing in found]


def _between(means: Rows, told: Rows, share: float) -> tuple[tuple[float, ...], ...]:
    return tuple(
        tuple(a + share * (b - a) for a, b in zip(mine, theirs, strict=True))
        for mine, theirs in zip(means, told, strict=True)
    )
