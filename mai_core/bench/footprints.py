"""Predicted memory beside measured, load by load, and how far Mai and others are off."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mai_core.bench.formulas import FORMULAS
from mai_core.errors import BackendError, ModelFileError
from mai_core.policy.footprint import predict_footprint
from mai_core.policy.models import Footprint, KvType, LoadPlan, ModelProfile

__all__ = ["CLOSE", "Accuracy", "Cell", "Grid", "MeasuresFootprints", "accuracies", "measured_cells"]

MIB = 1024 * 1024
CLOSE = 0.05
"""Errors that count as close: the aim is 95 % of all loads."""
REPLY = 4


@runtime_checkable
class MeasuresFootprints(Protocol):
    """A backend that can load a file exactly by a plan and tell what that takes."""

    async def measure(self, file: Path, plan: LoadPlan, *, filled: int) -> tuple[ModelProfile, Footprint]:
        """The model in a file, and the memory of its process after every conversation read ``filled`` tokens.

        Raises ``ModelFileError`` or ``BackendError``.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The loads to try: each of ``files`` with every combination. A prompt fills ``fill`` of the context, and no more
    than ``longest`` tokens."""

    files: tuple[Path, ...]
    contexts: tuple[int, ...] = (512, 2048, 8192)
    kv_types: tuple[KvType, ...] = (KvType.F16, KvType.Q8_0)
    batches: tuple[int, ...] = (512,)
    parallel: tuple[int, ...] = (1,)
    threads: int = 1
    fill: float = 0.9
    longest: int = 600

    def loads(self) -> Iterator[tuple[Path, LoadPlan, int]]:
        """File, plan and tokens of the prompt of every load."""
        for file, context, kv_type, batch, parallel in itertools.product(
            self.files, self.contexts, self.kv_types, self.batches, self.parallel
        ):
            plan = LoadPlan(
                context=context, kv_type=kv_type, batch=min(batch, context), parallel=parallel, threads=self.threads
            )
            yield file, plan, max(1, min(self.longest, int(self.fill * context)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One load: what was predicted for the ``filled`` tokens it read, what it took, and what others would have said.

    ``whole`` is what was predicted for the same load with a full context. ``fault`` says why nothing was measured.
    """

    model: str
    plan: LoadPlan
    filled: int
    predicted: Footprint = field(default_factory=Footprint)
    whole: Footprint = field(default_factory=Footprint)
    measured: Footprint = field(default_factory=Footprint)
    others: Mapping[str, int] = field(default_factory=dict)
    fault: str = ""

    @property
    def error(self) -> float:
        """How far the prediction of all memory is off, as a share of what was measured; below 0 when it is under."""
        return self.predicted.total / self.measured.total - 1.0 if self.measured.total else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values, in bytes."""
        return {
            "model": self.model,
            "context": self.plan.context,
            "kv_type": self.plan.kv_type.value,
            "batch": self.plan.batch,
            "parallel": self.plan.parallel,
            "filled": self.filled,
            "predicted": {"anonymous": self.predicted.anonymous, "file_backed": self.predicted.file_backed},
            "measured": {"anonymous": self.measured.anonymous, "file_backed": self.measured.file_backed},
            "predicted_full": self.whole.total,
            "error": round(self.error, 5),
            "others": dict(self.others),
            "fault": self.fault,
        }


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How good one way of predicting was over all loads: the share within ``CLOSE``, the worst errors, their median
    without sign."""

    name: str
    close: float
    worst_under: float
    worst_over: float
    median: float


async def measured_cells(grid: Grid, engine: MeasuresFootprints) -> AsyncIterator[Cell]:
    """Every load of the grid, one after the other, as each is done."""
    for file, plan, filled in grid.loads():
        try:
            model, measured = await engine.measure(file, plan, filled=filled)
        except (BackendError, ModelFileError) as error:
            yield Cell(model=file.stem, plan=plan, filled=filled, fault=error.message)
            continue
        yield Cell(
            model=model.key,
            plan=plan,
            filled=filled,
            predicted=predict_footprint(model, plan, filled=filled + REPLY),
            whole=predict_footprint(model, plan),
            measured=measured,
            others={name: formula(model, plan) for name, formula in FORMULAS.items()},
        )


def accuracies(cells: Iterable[Cell]) -> list[Accuracy]:
    """Mai's and each other formula's, over all loads that were measured."""
    done = [cell for cell in cells if cell.measured.total]
    if not done:
        return []
    errors = {"mai": [cell.error for cell in done]}
    for name in FORMULAS:
        errors[name] = [cell.others[name] / cell.measured.total - 1.0 for cell in done]
    return [_accuracy(name, found) for name, found in errors.items()]


def _accuracy(name: str, errors: Sequence[float]) -> Accuracy:
    sizes = sorted(abs(error) for error in errors)
    return Accuracy(
        name=name,
        close=sum(size <= CLOSE for size in sizes) / len(sizes),
        worst_under=min(0.0, *errors),
        worst_over=max(0.0, *errors),
        median=sizes[len(sizes) // 2],
    )
