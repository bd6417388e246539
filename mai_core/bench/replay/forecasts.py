"""What can be said of a prompt before it is answered: who will be right, and what each answer will cost.

A learner is fitted on the prompts of a training split, and asked about those held out; it never sees their answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mai_core.bench.predictor import Predictor
from mai_core.bench.predictor import Table as Outcomes
from mai_core.bench.replay.folds import Split
from mai_core.bench.replay.pool import Pool
from mai_core.bench.replay.tables import Prompt

__all__ = [
    "Fit",
    "Forecast",
    "Reads",
    "Rows",
    "by_means",
    "by_overall_means",
    "by_text",
    "joined",
    "rows_of",
    "stacked",
    "truth",
]

ORDINARY = 200.0
Rows = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Forecast:
    """For each prompt and model of a pool: the probability of a right answer, and the expected ``cost`` and tokens."""

    quality: tuple[tuple[float, ...], ...]
    cost: tuple[tuple[float, ...], ...]
    tokens: tuple[tuple[float, ...], ...]


class Reads(Protocol):
    """What a fit returns. It is given texts alone."""

    def predict(self, text: str, /) -> Mapping[str, float]:
        """The probability that each model answers ``text`` correctly."""

    def predict_tokens(self, text: str, /) -> Mapping[str, float]:
        """Tokens each model is expected to answer with; nothing where that was not learnt."""


class Fit(Protocol):
    """Learns from prompts and, by prompt and model, how right answers were and how many tokens they took."""

    def __call__(self, prompts: Sequence[Prompt], outcomes: Outcomes, tokens: Outcomes, /) -> Reads:
        """What has been learnt."""


def by_text(pool: Pool, split: Split, fit: Fit = Predictor.fit) -> Forecast:
    """What ``fit``, having seen one side of ``split``, says of the texts on the other; rows are those held out.

    Where answers have a price of their own, what is learnt as their length is that price, in units that make an
    ordinary answer ``ORDINARY`` tokens long.
    """
    names = [model.name for model in pool.models]
    lengths = _lengths(pool)
    seen = [pool.prompts[i] for i in split.seen]
    reader = fit(seen, _named(pool, split.seen, pool.correct), _named(pool, split.seen, lengths))
    means = dict(zip(names, _means(lengths, split.seen), strict=True))
    rates = [c / n if n else 0.0 for c, n in zip(_totals(pool.cost), _totals(lengths), strict=True)]
    usual = _means(pool.tokens, split.seen)
    quality, cost, tokens = [], [], []
    for text in (pool.prompts[i].text for i in split.held):
        told = reader.predict(text)
        expected = reader.predict_tokens(text) or means
        quality.append(tuple(told[name] for name in names))
        cost.append(tuple(rate * expected[name] for name, rate in zip(names, rates, strict=True)))
        tokens.append(usual if pool.priced else tuple(expected[name] for name in names))
    return Forecast(tuple(quality), tuple(cost), tuple(tokens))


def by_means(pool: Pool, split: Split) -> Forecast:
    """Each model's means over the prompts seen of the same task; over all prompts seen where there are none.

    It is told the task of a prompt, which whoever sees only the text is not.
    """
    of_task: dict[str, list[int]] = {}
    for i in split.seen:
        of_task.setdefault(pool.prompts[i].task, []).append(i)
    known = {task: _all_means(pool, places) for task, places in of_task.items()}
    fallback = _all_means(pool, split.seen)
    rows = [known.get(pool.prompts[i].task, fallback) for i in split.held]
    return Forecast(*(tuple(column) for column in zip(*rows, strict=True)))


def by_overall_means(pool: Pool, split: Split) -> Forecast:
    """Each model's means over all prompts seen: what is known of a prompt that nothing is known of."""
    quality, cost, tokens = _all_means(pool, split.seen)
    count = len(split.held)
    return Forecast((quality,) * count, (cost,) * count, (tokens,) * count)


def truth(pool: Pool) -> Forecast:
    """What really came: for the oracle."""
    return Forecast(pool.correct, pool.cost, pool.tokens)


def joined(count: int, parts: Sequence[tuple[Split, Forecast]]) -> Forecast:
    """One forecast for all ``count`` prompts, of splits that hold out each of them once."""
    quality: list[tuple[float, ...]] = [()] * count
    cost, tokens = list(quality), list(quality)
    for split, forecast in parts:
        for row, place in enumerate(split.held):
            quality[place], cost[place] = forecast.quality[row], forecast.cost[row]
            tokens[place] = forecast.tokens[row]
    return Forecast(tuple(quality), tuple(cost), tuple(tokens))


def stacked(parts: Sequence[Forecast]) -> Forecast:
    """The rows of all ``parts``, one after the other."""
    return Forecast(
        tuple(row for part in parts for row in part.quality),
        tuple(row for part in parts for row in part.cost),
        tuple(row for part in parts for row in part.tokens),
    )


def rows_of(forecast: Forecast, places: Sequence[int]) -> Forecast:
    """Only some of the rows."""
    return Forecast(
        tuple(forecast.quality[i] for i in places),
        tuple(forecast.cost[i] for i in places),
        tuple(forecast.tokens[i] for i in places),
    )


def _all_means(pool: Pool, places: Sequence[int]) -> tuple[tuple[float, ...], ...]:
    return _means(pool.correct, places), _means(pool.cost, places), _means(pool.tokens, places)


def _means(rows: Rows, places: Sequence[int]) -> tuple[float, ...]:
    return tuple(sum(column) / len(places) for column in zip(*(rows[i] for i in places), strict=True))


def _totals(rows: Rows) -> list[float]:
    return [sum(column) for column in zip(*rows, strict=True)]


def _lengths(pool: Pool) -> Rows:
    if not pool.priced:
        return pool.tokens
    unit = sum(_totals(pool.cost)) / (len(pool.prompts) * len(pool.models) * ORDINARY) or 1.0
    return [[cost / unit for cost in row] for row in pool.cost]


def _named(pool: Pool, places: Sequence[int], rows: Rows) -> Outcomes:
    names = [model.name for model in pool.models]
    return {pool.prompts[i].prompt_id: dict(zip(names, rows[i], strict=True)) for i in places}
