"""``mai bench footprint``: predicted memory beside measured."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mai_core.cli.invocation import Invocation, run
from mai_core.cli.output import print_json

if TYPE_CHECKING:
    from mai_core.bench.footprints import Cell, MeasuresFootprints
    from mai_core.policy.models import Footprint

__all__ = ["footprint"]

MIB = 1024 * 1024


def footprint(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="GGUF files to load.", exists=True)],
    contexts: Annotated[
        str, typer.Option("--context", metavar="TOKENS,...", help="Contexts to try.")
    ] = "512,2048,8192",
    kv_types: Annotated[str, typer.Option("--kv", metavar="TYPE,...", help="Types of cache to try.")] = "f16,q8_0",
    batches: Annotated[str, typer.Option("--batch", metavar="TOKENS,...", help="Batch sizes to try.")] = "512",
    parallel: Annotated[str, typer.Option("--parallel", metavar="N,...", help="Conversations at once.")] = "1",
    fill: Annotated[float, typer.Option(help="Share of the context the prompt fills.", min=0.0, max=1.0)] = 0.9,
    longest: Annotated[int, typer.Option(help="Tokens no prompt exceeds.", min=1)] = 600,
    threads: Annotated[int, typer.Option(help="Threads of the engine.", min=1)] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Load models in every way asked for, and print the predicted memory beside the measured."""
    from mai_core.bench.footprints import Grid, accuracies, measured_cells
    from mai_core.policy.models import KvType

    try:
        grid = Grid(
            files=tuple(file.resolve() for file in files),
            contexts=_numbers(contexts),
            kv_types=tuple(KvType(name) for name in kv_types.split(",")),
            batches=_numbers(batches),
            parallel=_numbers(parallel),
            threads=threads,
            fill=fill,
            longest=longest,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    engine = _engine(Invocation.of(ctx))
    cells: list[Cell] = []

    async def main() -> None:
        if not as_json:
            print(f"{'model':<32} {'context':>7} {'cache':>5} {'batch':>5} {'par':>3} {'read':>6}", end=" ")
            print(f"{'predicted':>21} {'measured':>21} {'error':>7}   (MiB: private + mapped)")
        async for cell in measured_cells(grid, engine):
            cells.append(cell)
            if not as_json:
                print(_row(cell), flush=True)

    run(main)
    rows = accuracies(cells)
    if as_json:
        print_json(
            {
                "cells": [cell.to_json() for cell in cells],
                "accuracy": {
                    row.name: {
                        "within_5_percent": row.close,
                        "worst_under": row.worst_under,
                        "worst_over": row.worst_over,
                        "median": row.median,
                    }
                    for row in rows
                },
            }
        )
        return
    print()
    print(f"{'formula':<12} {'within 5 %':>10} {'median':>8} {'worst under':>12} {'worst over':>11}")
    for row in rows:
        print(f"{row.name:<12} {row.close:>10.0%} {row.median:>8.1%} {row.worst_under:>12.1%} {row.worst_over:>11.1%}")


def _row(cell: Cell) -> str:
    plan = cell.plan
    start = (
        f"{cell.model:<32.32} {plan.context:>7} {plan.kv_type:>5} {plan.batch:>5} {plan.parallel:>3} {cell.filled:>6}"
    )
    if cell.fault:
        return f"{start} {cell.fault}"
    return f"{start} {_pools(cell.predicted)} {_pools(cell.measured)} {cell.error:>+7.1%}"


def _pools(footprint: Footprint) -> str:
    return f"{math.ceil(footprint.anonymous / MIB):>9} + {math.ceil(footprint.file_backed / MIB):>9}"


def _numbers(written: str) -> tuple[int, ...]:
    numbers = tuple(int(one) for one in written.split(","))
    if any(number < 1 for number in numbers):
        raise ValueError(f"{written}: numbers from 1 up")
    return numbers


def _engine(invocation: Invocation) -> MeasuresFootprints:
    """The first backend that can measure. Raises ``BackendUnavailable``."""
    from mai_core.bench.footprints import MeasuresFootprints
    from mai_core.errors import BackendUnavailable
    from mai_core.runtime.assembly import build_backends

    backends, _ = build_backends(invocation.settings.settings, invocation.registry(), invocation.paths, ())
    for backend in backends.values():
        if isinstance(backend, MeasuresFootprints):
            return backend
    raise BackendUnavailable("no backend here can measure what a model takes", remedy="turn one on: mai plugins")
