"""A whole replay: forecasts, choices and figures, out of fold and, if wanted, with every task held out in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mai_core.bench.replay.contestants import (
    Contestant,
    oracle,
    random_choice,
    reference,
    settings_of,
    strategies,
)
from mai_core.bench.replay.folds import Split, by_fold, by_task
from mai_core.bench.replay.forecasts import Forecast, by_means, joined, truth
from mai_core.bench.replay.gains import GapClosed, closed_gap
from mai_core.bench.replay.learning import forecasts
from mai_core.bench.replay.pool import Pool
from mai_core.bench.replay.standings import Bars, Standing, bars_of, standings
from mai_core.plugin.interfaces import SelectionStrategy

__all__ = ["MEANS", "REFERENCE", "Section", "Study", "Terms", "replay"]

MEANS, REFERENCE = "per-task mean", "best use"
Progress = Callable[[str, float], None]
Builder = Callable[[str, Mapping[str, Any]], SelectionStrategy]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a replay is run: ``folds`` and the ``seed`` they and the resamples are drawn by, resampling ``rounds``.

    ``held_out`` adds the section with tasks held out; ``jobs`` are processes, ``resume`` the file of what is learnt.
    """

    folds: int = 5
    seed: int = 1
    rounds: int = 1000
    held_out: bool = False
    jobs: int = 1
    resume: Path | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """Figures that rest on one way of holding prompts out; ``gaps`` are between the cheapest model and the best."""

    name: str
    standings: Sequence[Standing]
    gaps: Mapping[str, GapClosed]


@dataclass(frozen=True, slots=True)
class Study:
    """Everything a replay found."""

    pool: Pool
    bars: Bars
    sections: Sequence[Section]

    @property
    def faults(self) -> Sequence[str]:
        """What strategies did wrong, by name."""
        return [f"{s.name}: {s.fault}" for section in self.sections for s in section.standings if s.fault]


def replay(
    pool: Pool,
    competing: Mapping[str, Mapping[str, Any]],
    build: Builder,
    terms: Terms,
    progress: Progress = lambda text, share: None,
) -> Study:
    """Replay ``pool`` for the strategies ``competing``, by name with their options.

    Raises ``ValueError`` for folds that cannot be made, and what ``build`` raises for a strategy.
    """
    for name, options in competing.items():
        build(name, options)  # a wrong name or option is told before minutes of learning
    folds = by_fold(pool.prompts, terms.folds, terms.seed)
    tasks = by_task(pool.prompts) if terms.held_out else []
    known = joined(len(pool.prompts), [(split, by_means(pool, split)) for split in folds])
    means = reference(pool, known, MEANS, "told the task of every prompt")
    learnt = _learnt(pool, [*folds, *tasks], terms, progress)
    sections = []
    for name, splits in ((f"out of fold, {terms.folds} folds", folds), ("every task held out in turn", tasks)):
        if not splits:
            continue
        forecast = joined(len(pool.prompts), [(split, learnt[split]) for split in splits])
        tried = {one: settings_of(partial(build, one), given, forecast) for one, given in competing.items()}
        chosen = strategies(pool, forecast, tried, lambda share: progress("letting strategies choose", share))
        best = reference(pool, forecast, REFERENCE, "quality minus a price for cost, at every price")
        references = [best, means, random_choice(pool), oracle(pool)]
        progress("resampling prompts", 0.0)
        figures = standings(pool, [*chosen, *references], means, rounds=terms.rounds, seed=terms.seed)
        gaps = {"text": _gap(pool, forecast), MEANS: _gap(pool, known), "oracle": _gap(pool, truth(pool))}
        sections.append(Section(name, figures, gaps))
    return Study(pool, bars_of(pool), sections)


def _learnt(pool: Pool, splits: Sequence[Split], terms: Terms, progress: Progress) -> dict[Split, Forecast]:
    learnt: dict[Split, Forecast] = {}
    progress("learning from outcomes", 0.0)
    for split, forecast in forecasts(pool, splits, jobs=terms.jobs, resume=terms.resume):
        learnt[split] = forecast
        progress("learning from outcomes", len(learnt) / len(splits))
    return learnt


def _gap(pool: Pool, forecast: Forecast) -> GapClosed:
    """Between the cheapest model and the best, by what is forecast of the two."""
    weak, strong = pool.cheapest, pool.best
    return closed_gap(
        [row[strong] - row[weak] for row in forecast.quality],
        [row[weak] for row in pool.correct],
        [row[strong] for row in pool.correct],
    )
