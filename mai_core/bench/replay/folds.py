"""Which prompts a predictor learns from and which it is judged on: no prompt is on both sides."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from mai_core.bench.replay.cells import TableError
from mai_core.bench.replay.tables import Prompt

__all__ = ["Split", "by_fold", "by_task", "checks_of", "in_blocks"]


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


def in_blocks(splits: Sequence[Split]) -> list[Split]:
    """Neighbours in a ring held out together: what is fitted so can be checked on one for the use of another.

    There are as many blocks as splits, each of two or, where there are many, about a quarter of them; the first begins
    with the first split. None where there are but two, since nothing would be left to learn from.
    """
    count = len(splits)
    if count < 3:
        return []
    return [_together([splits[place] for place in _members(at, count)]) for at in range(count)]


def checks_of(at: int, count: int) -> dict[int, int]:
    """For one of ``count`` splits: others to check on, each with a block that holds out both. Empty where none are."""
    found: dict[int, int] = {}
    for block in range(count) if count > 2 else ():
        members = _members(block, count)
        if at in members:
            found.update({other: block for other in members if other != at and other not in found})
    return found


def _members(block: int, count: int) -> list[int]:
    return [(block + i) % count for i in range(max(2, count // 4 + 1))]


def _together(splits: Sequence[Split]) -> Split:
    held = sorted(place for split in splits for place in split.held)
    seen = frozenset(splits[0].seen).difference(held)
    return Split(" and ".join(split.name for split in splits), tuple(sorted(seen)), tuple(held))


def _split(name: str, count: int, held: frozenset[int]) -> Split:
    return Split(name, tuple(i for i in range(count) if i not in held), tuple(sorted(held)))
