"""The best use of a forecast: quality minus a price for cost, at every price.

For each prompt and price the model with the largest ``quality - price x cost`` is chosen (the linear router of
RouterBench, Hu et al. 2024). As the price falls from infinity to nothing, every prompt climbs its own hull of models,
so that all prices which change anything are known without search.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from mai_core.bench.replay.forecasts import Forecast

__all__ = ["STEPS", "Choices", "best_uses"]

# The model chosen for each prompt, by its place in the pool.
Choices = Sequence[int]

# Prices at which choices are made, so far apart that expected costs between them are alike.
STEPS = 60


def best_uses(forecast: Forecast, steps: int = STEPS) -> list[Choices]:
    """What is chosen at each of about ``steps`` prices, from the cheapest for all to the best for each."""
    ladders = [_ladder(q, c) for q, c in zip(forecast.quality, forecast.cost, strict=True)]
    climbs = sorted((price, cost) for prices, _, costs in ladders for price, cost in zip(prices, costs, strict=True))
    whole = sum(cost for _, cost in climbs)
    prices, spent, reached = [], 0.0, 0
    for at, (price, cost) in enumerate(climbs):
        spent += cost
        last = at + 1 == len(climbs)
        if last or (spent * steps >= whole * (reached + 1) and climbs[at + 1][0] > price):
            prices.append(price)
            reached = int(spent * steps / whole) if whole else 0
    start: list[Choices] = [[models[0] for _, models, _ in ladders]]
    return start + [[models[bisect_right(at, price)] for at, models, _ in ladders] for price in prices]


def _ladder(quality: Sequence[float], cost: Sequence[float]) -> tuple[list[float], list[int], list[float]]:
    """The models one prompt climbs, each the best for some price, and at every step its negative price and its cost."""
    order = sorted(range(len(cost)), key=lambda m: (cost[m], -quality[m]))
    kept: list[int] = []
    for m in order:
        if kept and quality[m] <= quality[kept[-1]]:
            continue
        while len(kept) > 1 and _price(kept[-2], kept[-1], quality, cost) <= _price(kept[-1], m, quality, cost):
            kept.pop()
        kept.append(m)
    steps = list(pairwise(kept))
    return [-_price(a, b, quality, cost) for a, b in steps], kept, [cost[b] - cost[a] for a, b in steps]


def _price(a: int, b: int, quality: Sequence[float], cost: Sequence[float]) -> float:
    """The price of cost at which two models are worth the same."""
    more = cost[b] - cost[a]
    return (quality[b] - quality[a]) / more if more > 0.0 else float("inf")
