"""The turns a table makes: what a strategy would have seen of each prompt, nothing of it known only afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mai_core.bench.replay.forecasts import Forecast
from mai_core.bench.replay.pool import Pool
from mai_core.policy.features import TaskFeatures, classify
from mai_core.policy.models import LoadPlan, Tier
from mai_core.policy.quality import logit
from mai_core.policy.selection import Candidate, SelectionRequest
from mai_core.policy.tasks import SLOPE

__all__ = ["mean_quality", "requests_of"]

# A machine on which all models are loaded: billions of parameters it reads a second, as a GPU of 250 GB/s does in four
# bits, at 150 watts. Costs of the table keep their proportions in seconds, joules and money.
PACE = 400.0
WATTS = 150.0
PRICE_KWH = 0.30
PRICE_HOUR = 1.0
JOULES_PER_KWH = 3.6e6
CONTEXT = 4096
# Of a model of unknown size.
TOKENS_PER_SECOND = 50.0


def requests_of(pool: Pool, forecast: Forecast, usual: float) -> Iterator[SelectionRequest]:
    """One request for each prompt, in their order. ``usual`` is the mean quality of the whole table (``mean_quality``).

    quality     what the forecast says; costs are expected ones, too
    money       where the table has prices, the price; else electricity
    features    kind of task and size by the text's cues; difficulty by what the forecast says of all models. Weights
                shipped to judge texts are not used: they were trained on public outcomes, these perhaps
    """
    tiers = [Tier.of_parameters(model.parameters) for model in pool.models]
    paces = [PACE * 1e9 / model.active if model.active else TOKENS_PER_SECOND for model in pool.models]
    plan = LoadPlan(context=CONTEXT)
    rows = zip(pool.prompts, forecast.quality, forecast.cost, forecast.tokens, strict=True)
    for prompt, quality, cost, tokens in rows:
        candidates = []
        for m, model in enumerate(pool.models):
            wait = tokens[m] / paces[m]
            joules = wait * WATTS
            money = cost[m] if pool.priced else joules / JOULES_PER_KWH * PRICE_KWH
            candidates.append(
                Candidate(
                    key=model.name,
                    model=model.name,
                    backend="replay",
                    tier=tiers[m],
                    plan=plan,
                    quality=quality[m],
                    tokens_per_second=paces[m],
                    wait_seconds=wait,
                    energy_joules=joules,
                    money=money,
                    cost=money if pool.priced else money + wait / 3600.0 * PRICE_HOUR,
                    is_loaded=True,
                )
            )
        yield SelectionRequest(
            features=_features(prompt.text, _mean(quality), usual, _mean(tokens)), candidates=tuple(candidates)
        )


def mean_quality(forecast: Forecast) -> float:
    """What is forecast of all models on all prompts: those less likely to be answered well are difficult."""
    return _mean([_mean(row) for row in forecast.quality])


def _features(text: str, quality: float, usual: float, tokens: float) -> TaskFeatures:
    difficulty = 0.5 - (logit(quality) - logit(usual)) / SLOPE
    return replace(
        classify(text), difficulty=min(1.0, max(0.0, difficulty)), reply_tokens=round(tokens), capabilities=frozenset()
    )


def _mean(values: tuple[float, ...] | list[float]) -> float:
    return sum(values) / len(values)
