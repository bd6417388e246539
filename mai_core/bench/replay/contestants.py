"""Who competes: every strategy at each of its settings, and the references that say what is good."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mai_core.bench.replay.curves import Point, hull
from mai_core.bench.replay.forecasts import Forecast, rows_of, truth
from mai_core.bench.replay.pool import Pool
from mai_core.bench.replay.processes import mapped
from mai_core.bench.replay.requests import mean_quality, requests_of
from mai_core.bench.replay.tradeoff import STEPS, Choices, best_uses
from mai_core.plugin.ballots import ask
from mai_core.plugin.interfaces import SelectionStrategy

__all__ = [
    "ABOUT",
    "Contestant",
    "Run",
    "Setting",
    "blind",
    "oracle",
    "random_choice",
    "reference",
    "settings_of",
    "single_models",
    "strategies",
]

TARGETS = 40
# Prompts a process is given at a time.
PART = 250

ABOUT: Mapping[str, str] = {
    "learned": "quality learnt from texts minus a price for cost, at every price",
    "per-task mean": "the same by each model's means on the task, which it is told",
    "hull": "single models, and drawing blindly between two of them",
    "random": "any model, drawn blindly",
    "oracle": "knows every outcome beforehand: nobody can beat it",
}
"""Who is there to compare with, beside every strategy."""


@dataclass(frozen=True, slots=True)
class Run:
    """What became of every prompt at one setting: how right the answer was, and what it cost."""

    setting: str
    correct: tuple[float, ...]
    cost: tuple[float, ...]

    @classmethod
    def of(cls, pool: Pool, choices: Choices, setting: str = "") -> Run:
        """The answers of the models chosen."""
        return cls(
            setting,
            tuple(row[m] for row, m in zip(pool.correct, choices, strict=True)),
            tuple(row[m] for row, m in zip(pool.cost, choices, strict=True)),
        )


@dataclass(frozen=True, slots=True)
class Contestant:
    """A router: a curve of many settings or a point of one. ``fault`` says why it could not be measured to the end."""

    name: str
    runs: tuple[Run, ...]
    about: str = ""
    fault: str = ""
    reference: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """A strategy with options of its own; ``told`` is how a person would write them."""

    strategy: SelectionStrategy
    told: str = ""


def settings_of(
    build: Callable[[Mapping[str, Any]], SelectionStrategy], given: Mapping[str, Any], forecast: Forecast
) -> list[Setting]:
    """The settings a strategy is tried at: those ``given``, and every sensible ``target`` where it has one.

    A target is a quality. It goes through what is forecast of the prompts, from what every model reaches to what none
    does. A strategy of somebody else may have an attribute ``sweep``: its options, each with the values to be tried.
    """
    usual = build(given)
    values: Mapping[str, Sequence[Any]] = getattr(type(usual), "sweep", {})
    if not values and hasattr(usual, "target") and "target" not in given:
        values = {"target": _levels(forecast)}
    found = [
        Setting(build({**given, option: value}), f"{option} {value}")
        for option, each in values.items()
        for value in each
    ]
    return found or [Setting(usual, ", ".join(f"{k} {v}" for k, v in given.items()))]


def _levels(forecast: Forecast) -> list[float]:
    ordered = sorted(q for row in forecast.quality for q in row)
    steps = (ordered[(len(ordered) - 1) * i // (TARGETS - 2)] for i in range(TARGETS - 1))
    return sorted({round(q, 3) for q in (*steps, 0.0, 1.0)})


def strategies(
    pool: Pool,
    forecast: Forecast,
    tried: Mapping[str, Sequence[Setting]],
    progress: Callable[[float], None] = lambda share: None,
    *,
    jobs: int = 1,
) -> list[Contestant]:
    """Let strategies choose for every prompt, each at all of its settings.

    The first of the proposals answers, as the core would have it. Who raises, answers nonsense or nobody is out, with
    the fault. Strategies that cannot be sent to another process are asked in this one.
    """
    count = len(pool.prompts)
    parts = [range(start, min(start + PART, count)) for start in range(0, count, PART)]
    work = partial(_chosen, tried, mean_quality(forecast))
    items = [(pool.at(places), rows_of(forecast, places)) for places in parts]
    chosen: dict[str, list[list[int]]] = {name: [[] for _ in settings] for name, settings in tried.items()}
    faults: dict[str, str] = {}
    for at, found in enumerate(mapped(work, items, jobs if _can_be_sent(tried) else 1)):
        for name, told in found.items():
            if isinstance(told, str):
                faults.setdefault(name, told)
            else:
                for choices, more in zip(chosen[name], told, strict=True):
                    choices.extend(more)
        progress((at + 1) / len(parts))
    return [
        Contestant(name, (), fault=faults[name])
        if name in faults
        else Contestant(
            name,
            tuple(Run.of(pool, choices, s.told) for s, choices in zip(settings, chosen[name], strict=True)),
        )
        for name, settings in tried.items()
    ]


def _chosen(
    tried: Mapping[str, Sequence[Setting]], usual: float, part: tuple[Pool, Forecast]
) -> Mapping[str, list[list[int]] | str]:
    """Each strategy's choices at each of its settings, or its fault."""
    pool, forecast = part
    places = {model.name: m for m, model in enumerate(pool.models)}
    known = frozenset(places)
    chosen: dict[str, list[list[int]] | str] = {name: [[] for _ in settings] for name, settings in tried.items()}
    for prompt, request in zip(pool.prompts, requests_of(pool, forecast, usual), strict=True):
        for name, settings in tried.items():
            told = chosen[name]
            if isinstance(told, str):
                continue
            for setting, choices in zip(settings, told, strict=True):
                ballot = ask(setting.strategy, 1.0, request, known=known, clock=_no_clock, budget_seconds=1.0)
                if not ballot.proposals:
                    chosen[name] = f"{ballot.fault or 'proposed nothing'} (prompt {prompt.prompt_id})"
                    break
                choices.append(places[ballot.proposals[0].key])
    return chosen


def _can_be_sent(tried: Mapping[str, Sequence[Setting]]) -> bool:
    try:
        return bool(pickle.dumps(tried))
    except Exception:  # noqa: BLE001 - whatever somebody's class does when it is pickled; it is asked here instead
        return False


def _no_clock() -> float:
    """What a table makes of a strategy does not depend on how fast this machine is."""
    return 0.0


def reference(pool: Pool, forecast: Forecast, name: str, about: str = "", *, steps: int = STEPS) -> Contestant:
    """Quality minus a price for cost, at every price: what can be made of a forecast."""
    return Contestant(
        name, tuple(Run.of(pool, choices) for choices in best_uses(forecast, steps)), about, reference=True
    )


def single_models(pool: Pool) -> Contestant:
    """One model for every prompt, and what drawing between two comes to: the hull of single models."""
    return blind(pool, [pool.singles], [0] * len(pool.prompts), "hull", ABOUT["hull"])


def blind(pool: Pool, known: Sequence[Sequence[Point]], side: Sequence[int], name: str, about: str = "") -> Contestant:
    """Drawing among single models by what training sides know of them, blind to what is asked.

    ``known`` are the single models as each training side has them, and ``side`` says which is each prompt's. Every
    setting is one model; where it is not on a side's hull, the next cheaper one that is.
    """
    hulls = [_on_hull(singles) for singles in known]
    settings = sorted({m for models in hulls for m in models}, key=lambda m: (sum(s[m].cost for s in known), m))
    runs = []
    for m in settings:
        by_side = [
            max((on for on in models if singles[on].cost <= singles[m].cost), key=models.index, default=models[0])
            for models, singles in zip(hulls, known, strict=True)
        ]
        runs.append(Run.of(pool, [by_side[i] for i in side], pool.models[m].name))
    return Contestant(name, tuple(runs), about, reference=True)


def _on_hull(singles: Sequence[Point]) -> list[int]:
    """Places of the models on the hull, the cheapest first."""
    places = {point: m for m, point in reversed(list(enumerate(singles)))}
    return [places[point] for point in hull(singles)]


def oracle(pool: Pool) -> Contestant:
    """Who knows the answers beforehand: what nobody can beat."""
    return reference(pool, truth(pool), "oracle", ABOUT["oracle"])


def random_choice(pool: Pool) -> Contestant:
    """A model drawn blindly for every prompt, as the mean of all draws."""
    count = len(pool.models)
    run = Run("", tuple(sum(row) / count for row in pool.correct), tuple(sum(row) / count for row in pool.cost))
    return Contestant("random", (run,), ABOUT["random"], reference=True)
