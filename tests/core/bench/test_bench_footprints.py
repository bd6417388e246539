"""The bench of footprints: which loads it tries, what it says of them, and that others' formulas are theirs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from mai_core.bench.footprints import Cell, Grid, MeasuresFootprints, accuracies, measured_cells
from mai_core.bench.formulas import FORMULAS
from mai_core.errors import OutOfMemory
from mai_core.policy.models import (
    Architecture,
    Footprint,
    KvType,
    LoadPlan,
    ModelProfile,
    WeightBytes,
    like_layers,
)

MODEL = ModelProfile(
    key="m",
    backend="b",
    location="m",
    size_bytes=1_000_000_000,
    parameters=2e9,
    quantisation="Q4_K_M",
    architecture=Architecture(
        name="llama",
        groups=like_layers(10, 1000),
        embedding=1000,
        feed_forward=4000,
        vocabulary=10_000,
        weights=WeightBytes(input=90_000_000, layers=(90_000_000,) * 10, output=4000, tied=True),
    ),
)


class Engine:
    """Takes what it is told to, by context."""

    def __init__(self, taken: Mapping[int, Footprint]) -> None:
        self.taken = taken

    async def measure(self, file: Path, plan: LoadPlan, *, filled: int) -> tuple[ModelProfile, Footprint]:
        if plan.context not in self.taken:
            raise OutOfMemory("no memory for m")
        return MODEL, self.taken[plan.context]


def cell(predicted: int, measured: int) -> Cell:
    others = dict.fromkeys(FORMULAS, 0)
    return Cell(
        model="m",
        plan=LoadPlan(context=512),
        filled=1,
        predicted=Footprint(predicted),
        measured=Footprint(0, measured),
        others=others,
    )


def test_every_combination_is_loaded_once_and_no_prompt_is_longer_than_asked() -> None:
    grid = Grid(
        files=(Path("a"), Path("b")), contexts=(100, 1000), kv_types=(KvType.F16,), batches=(512, 64), longest=300
    )
    loads = list(grid.loads())
    assert len(loads) == len(set(loads)) == 8
    assert {filled for _, _, filled in loads} == {90, 300}
    assert all(plan.batch <= plan.context for _, plan, _ in loads)


async def test_a_load_that_fails_is_told_and_the_others_go_on() -> None:
    engine = Engine({2048: Footprint(200, 900)})
    assert isinstance(engine, MeasuresFootprints)
    grid = Grid(files=(Path("m.gguf"),), contexts=(512, 2048), kv_types=(KvType.F16,))
    failed, done = [cell async for cell in measured_cells(grid, engine)]
    assert (failed.fault, failed.measured) == ("no memory for m", Footprint())
    assert done.measured.total == 1100
    assert done.to_json()["error"] == round(done.predicted.total / 1100 - 1, 5)


def test_accuracy_counts_what_is_close_and_names_the_worst() -> None:
    mai = accuracies([cell(104, 100), cell(90, 100), cell(100, 100), cell(120, 100), Cell(
        model="failed", plan=LoadPlan(context=1), filled=1, fault="x")])[0]  # fmt: skip
    assert (mai.name, mai.close) == ("mai", 0.5)
    assert (mai.worst_under, mai.worst_over, mai.median) == pytest.approx((-0.1, 0.2, 0.1))
    assert accuracies([]) == []


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("naive", 1_000_000_000 + 10 * 1000 * 2048 * 34 // 32),
        ("ollama", 1_000_000_000 + 10 * 1000 * 4096 * 2),
        ("llmfit", 1_160_000_000 + 10 * 1000 * 2048 * 2 + 500_000_000),
    ],
)
def test_formulas_of_others(name: str, size: int) -> None:
    assert FORMULAS[name](MODEL, LoadPlan(context=2048, parallel=2, kv_type=KvType.Q8_0)) == size


def test_gguf_parser_counts_a_tied_output_twice() -> None:
    plan = LoadPlan(context=2048)
    assert FORMULAS["gguf-parser"](MODEL, plan) > FORMULAS["naive"](MODEL, plan) + 90_000_000
