"""A whole replay: forecasts, choices and figures, out of fold and, if wanted, with every task held out in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mai_core.bench.replay.cells import TableError
from mai_core.bench.replay.contestants import (
    ABOUT,
    Contestant,
    blind,
    oracle,
    random_choice,
    reference,
    settings_of,
    single_models,
    strategies,
)
from mai_core.bench.replay.curves import hull
from mai_core.bench.replay.folds import Split, by_fold, by_task, checks_of, in_blocks
from mai_core.bench.replay.forecasts import Forecast, by_means, by_overall_means, joined, rows_of, truth
from mai_core.bench.replay.gains import Gain, closed_gap, gap_intervals
from mai_core.bench.replay.learning import forecasts
from mai_core.bench.replay.pool import Pool
from mai_core.bench.replay.processes import mapped
from mai_core.bench.replay.result import HELD_OUT, OUT_OF_FOLD, Gap, Replayed, Section, Single, Trusted
from mai_core.bench.replay.standings import standings
from mai_core.bench.replay.trust import Check, believed, proven
from mai_core.plugin.interfaces import SelectionStrategy

__all__ = ["Terms", "replay"]

LEARNED, MEANS = "learned", "per-task mean"
DRAWN = 100
Progress = Callable[[str, float], None]
Builder = Callable[[str, Mapping[str, Any]], SelectionStrategy]
Learnt = Mapping[Split, Forecast]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a replay is run.

    folds, seed    in how many parts prompts are held out, and by what these and the resamples are drawn
    rounds         resamples
    held_out       adds the section with every task held out
    weak, strong   between whom APGR and CPT are measured; the cheapest model and the best where they are not named
    jobs, resume   processes, and the file of what has been learnt so far
    machine        what the pool's models had to fit, in words, for the record
    """

    folds: int = 5
    seed: int = 1
    rounds: int = 1000
    held_out: bool = False
    weak: str = ""
    strong: str = ""
    jobs: int = 1
    resume: Path | None = None
    machine: str = ""


def replay(
    pool: Pool,
    competing: Mapping[str, Mapping[str, Any]],
    build: Builder,
    terms: Terms,
    progress: Progress = lambda text, share: None,
) -> Replayed:
    """Replay ``pool`` for the strategies ``competing``, by name with their options.

    Raises ``TableError`` for folds that cannot be made or models that are not there, and what ``build`` raises for a
    strategy.
    """
    for name, options in competing.items():
        build(name, options)  # a wrong name or option is told before minutes of learning
    weak = _place(pool, terms.weak, pool.cheapest)
    strong = _place(pool, terms.strong, pool.best)
    ways = {OUT_OF_FOLD: by_fold(pool.prompts, terms.folds, terms.seed)}
    known = joined(len(pool.prompts), [(split, by_means(pool, split)) for split in ways[OUT_OF_FOLD]])
    if terms.held_out:
        ways[HELD_OUT] = by_task(pool.prompts)
    wanted = [split for splits in ways.values() for split in (*splits, *in_blocks(splits))]
    learnt = _learnt(pool, wanted, terms, progress)
    sections = []
    for name, splits in ways.items():
        forecast, trusted = _trusted(pool, splits, learnt, terms, progress)
        tried = {one: settings_of(partial(build, one), given, forecast) for one, given in competing.items()}
        chosen = strategies(
            pool, forecast, tried, lambda share: progress("letting strategies choose", share), jobs=terms.jobs
        )
        means = reference(pool, known, MEANS, ABOUT[MEANS])
        references = [
            _learned(pool, splits, forecast, trusted),
            means,
            single_models(pool),
            random_choice(pool),
            oracle(pool),
        ]
        progress("drawing prompts anew", 0.0)
        figures = standings(pool, [*chosen, *references], means, rounds=terms.rounds, seed=terms.seed)
        scores = {LEARNED: forecast, MEANS: known, "oracle": truth(pool)}
        gaps = _gaps(pool, scores, weak, strong, terms)
        sections.append(Section(name=name, standings=tuple(figures), gaps=gaps, trusted=trusted))
    return Replayed(
        table=pool.name,
        unit="the table's own" if pool.priced else "billions of active parameters x tokens of the answer",
        prompts=len(pool.prompts),
        tasks=len({prompt.task for prompt in pool.prompts if prompt.task}),
        folds=terms.folds,
        seed=terms.seed,
        rounds=terms.rounds,
        models=_singles(pool),
        weak=pool.models[weak].name,
        strong=pool.models[strong].name,
        sections=tuple(sections),
        left_out=pool.left_out,
        machine=terms.machine,
    )


def _place(pool: Pool, name: str, usual: int) -> int:
    names = [model.name for model in pool.models]
    if name and name not in names:
        raise TableError(f"{name}: not one of {', '.join(names)}")
    return names.index(name) if name else usual


def _learnt(pool: Pool, splits: Sequence[Split], terms: Terms, progress: Progress) -> Learnt:
    learnt: dict[Split, Forecast] = {}
    progress("learning from outcomes", 0.0)
    for split, forecast in forecasts(pool, splits, jobs=terms.jobs, resume=terms.resume):
        learnt[split] = forecast
        progress("learning from outcomes", len(learnt) / len(splits))
    return learnt


def _trusted(
    pool: Pool, splits: Sequence[Split], learnt: Learnt, terms: Terms, progress: Progress
) -> tuple[Forecast, tuple[Trusted, ...]]:
    """What was learnt, as far as it proved itself on the splits beside the one it is used for."""
    blocks = in_blocks(splits)
    checks: list[list[Check]] = [[] for _ in splits]
    for at, found in enumerate(checks):
        for other, which in checks_of(at, len(splits)).items():
            block, held = blocks[which], splits[other].held
            row = {place: i for i, place in enumerate(block.held)}
            rows = rows_of(learnt[block], [row[place] for place in held])
            found.append(Check(Split(splits[other].name, block.seen, held), rows))
    parts, told = [], []
    progress("checking what was learnt", 0.0)
    for split, trust in zip(splits, mapped(partial(proven, pool, seed=terms.seed), checks, terms.jobs), strict=True):
        parts.append((split, believed(by_overall_means(pool, split), learnt[split], trust)))
        told.append(Trusted(split.name, trust.quality, trust.cost))
        progress("checking what was learnt", len(told) / len(splits))
    return joined(len(pool.prompts), parts), tuple(told)


def _learned(pool: Pool, splits: Sequence[Split], forecast: Forecast, trusted: Sequence[Trusted]) -> Contestant:
    """What can be made of a forecast; where nothing learnt is trusted, drawing among single models."""
    if any(one.quality or one.cost for one in trusted):
        return reference(pool, forecast, LEARNED, ABOUT[LEARNED])
    side = {place: at for at, split in enumerate(splits) for place in split.held}
    known = [pool.at(split.seen).singles for split in splits]
    return blind(pool, known, [side[place] for place in range(len(pool.prompts))], LEARNED, ABOUT[LEARNED])


def _gaps(pool: Pool, scores: Mapping[str, Forecast], weak: int, strong: int, terms: Terms) -> tuple[Gap, ...]:
    """Between two models, prompts ordered by what is forecast of the two."""
    of_weak, of_strong = [row[weak] for row in pool.correct], [row[strong] for row in pool.correct]
    orders = {name: [row[strong] - row[weak] for row in told.quality] for name, told in scores.items()}
    found = gap_intervals(orders, of_weak, of_strong, rounds=terms.rounds, seed=terms.seed)
    curves = {name: closed_gap(orders[name], of_weak, of_strong) for name in found}
    shares = [i / DRAWN for i in range(DRAWN + 1)]
    return tuple(
        Gap(
            score=name,
            apgr=figures.apgr,
            cpt50=figures.cpt50,
            cpt80=figures.cpt80,
            curve=tuple(Gain(share, curves[name].at(share)) for share in shares),
        )
        for name, figures in found.items()
    )


def _singles(pool: Pool) -> tuple[Single, ...]:
    on_hull = frozenset(hull(pool.singles))
    singles = (
        Single(model.name, point.cost, point.accuracy, point in on_hull)
        for model, point in zip(pool.models, pool.singles, strict=True)
    )
    return tuple(sorted(singles, key=lambda single: (single.cost, single.name)))
