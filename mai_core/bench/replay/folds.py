"""Which prompts a predictor learns from and which it is judged on: no prompt is on both sides."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from mai_core.bench.replay.cells import TableError
from mai_core.bench.replay.tables import Prompt

__all__ = ["Split", "by_fold", "by_task", "in_pairs"]


@dataclass(frozen=True, slots=True)
class Split:
    """Places of prompts: those ``seen`` in training, and those ``held`` out. ``name`` is a fold's number or a task."""

    name: str
    seen: tuple[int, ...]
    held: tuple[int, ...]


def by_fold(prompts: Sequence[Prompt], folds: int, seed: int) -> list[Split]:
    """Every prompt is held out once, in one of ``folds`` parts of equal size drawn by ``seed``.

    The draw depends on the ids of the prompts, not on their order. Raises ``TableError`` for fewer than two folds.
    """
    if not 2 <= folds <= len(prompts):
        raise TableError(f"{folds} folds: two at least, and no more than the {len(prompts)} prompts")
    drawn = sorted(range(len(prompts)), key=lambda i: prompts[i].prompt_id)
    random.Random(seed).shuffle(drawn)
    part = {place: at % folds for at, place in enumerate(drawn)}
    return [
        _split(str(fold + 1), len(prompts), frozenset(i for i, of in part.items() if of == fold))
        for fold in range(folds)
    ]


def by_task(prompts: Sequence[Prompt]) -> list[Split]:
    """Every task is held out whole, in turn: what a predictor says of tasks it has never seen.

    Raises ``TableError`` where there is only one.
    """
    tasks = sorted({prompt.task for prompt in prompts})
    if len(tasks) < 2:
        raise TableError("a task can be held out only where there are two or more")
    return [
        _split(task, len(prompts), frozenset(i for i, prompt in enumerate(prompts) if prompt.task == task))
        for task in tasks
    ]


def in_pairs(splits: Sequence[Split]) -> list[Split]:
    """Neighbours held out together, in a ring: what is fitted so can be checked on either for the use of the other.

    None where there are but two, since nothing would be left to learn from.
    """
    if len(splits) < 3:
        return []
    pairs = zip(splits, [*splits[1:], splits[0]], strict=True)
    return [
        Split(
            f"{a.name} and {b.name}",
            tuple(sorted(frozenset(a.seen).intersection(b.seen))),
            tuple(sorted((*a.held, *b.held))),
        )
        for a, b in pairs
    ]


def _split(name: str, count: int, held: frozenset[int]) -> Split:
    return Split(name, tuple(i for i in range(count) if i not in held), tuple(sorted(held)))
