"""What outcomes taught of each model and kind of task, in figures a person can read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mai_core.policy.kinds import TaskKind
from mai_core.policy.outcomes import Abilities, Outcome, Sign
from mai_core.policy.quality import logit
from mai_core.policy.regression import sigmoid

__all__ = ["Lesson", "lessons"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """Of one model at one kind of task, over the turns it answered.

    outcomes    how many there were; ``rated`` of them by the person
    before      the mean probability of a good answer that was expected of them beforehand
    turned_out  how good they were, each counted by what its sign is worth
    now         the mean probability that would be expected of them now, ``error`` as one standard deviation
    """

    model: str
    kind: TaskKind
    outcomes: int
    rated: int
    before: float
    turned_out: float
    now: float
    error: float


def lessons(outcomes: Iterable[Outcome], abilities: Abilities) -> tuple[Lesson, ...]:
    """What was learnt, by model, and by kind of task the one with the most outcomes first."""
    cells: dict[tuple[str, TaskKind], list[Outcome]] = {}
    for one in outcomes:
        cells.setdefault((one.model, one.kind), []).append(one)
    found = [_lesson(model, kind, rows, abilities) for (model, kind), rows in cells.items()]
    return tuple(sorted(found, key=lambda lesson: (lesson.model, -lesson.outcomes, lesson.kind)))


def _lesson(model: str, kind: TaskKind, rows: list[Outcome], abilities: Abilities) -> Lesson:
    shift, weight = abilities.of(model, kind), sum(row.sign.weight for row in rows)
    now = [sigmoid(logit(row.expected) + row.discrimination * shift.value) for row in rows]
    slopes = [row.discrimination * p * (1.0 - p) for row, p in zip(rows, now, strict=True)]
    return Lesson(
        model=model,
        kind=kind,
        outcomes=len(rows),
        rated=sum(row.sign is Sign.RATED for row in rows),
        before=sum(row.expected for row in rows) / len(rows),
        turned_out=sum(row.sign.weight * row.value for row in rows) / weight,
        now=sum(now) / len(now),
        error=shift.error * sum(slopes) / len(slopes),
    )
