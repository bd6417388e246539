"""``mai calibrate``: measure this machine with the models it has."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mai_core.cli.help import new_app
from mai_core.cli.invocation import Invocation, run
from mai_core.cli.output import ink, note, print_json, print_table, seconds, size, to_json
from mai_core.cli.tables import table
from mai_core.cli.waiting import Waiting

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from mai_core.policy.learning import Corrections
    from mai_core.runtime.calibrating import Calibrated, Calibration

__all__ = ["app", "calibration_json", "memory_view", "speed_view"]

app = new_app()

NOTHING = "–"


@app.command()
def calibrate(
    ctx: typer.Context,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL", help="Keys or their beginnings; all models when left out.")
    ] = None,
    budget: Annotated[float, typer.Option("--seconds", metavar="N", help="How long it may take.", min=1.0)] = 60.0,
    keep_all: Annotated[
        bool, typer.Option("--keep-all", help="Keep speeds also when others use the machine meanwhile.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure this machine with the models it has: the smallest first, each loaded, read to and left again.

    What comes of it is used from the next question on: what models take in memory, how fast they are, and what those
    that never ran here will do.
    """
    invocation = Invocation.of(ctx)
    found: list[Calibration] = []

    async def main() -> None:
        async with invocation.mai() as mai:
            with Waiting() as waiting:
                measuring = mai.calibrate(keys or (), seconds=budget, keep_all=keep_all, progress=waiting.share)
                async with aclosing(measuring) as steps:
                    async for step in steps:
                        found[:] = [step]

    try:
        run(main)
    except typer.Exit:
        note("Stopped before the end; what was measured until then is kept.")
        raise
    finally:
        if found:
            print_json(calibration_json(found[0])) if as_json else _tell(found[0], keep_all=keep_all)


def _tell(found: Calibration, *, keep_all: bool) -> None:
    measured = [one for one in found.models if one.repetitions]
    if measured:
        print_table(memory_view(measured))
        print()
        print_table(speed_view(measured))
        note("In brackets: what was expected before.")
        print()
        for line in _machine(found):
            print(line)
    for one in found.models:
        if one.fault:
            note(f"{one.model.key}: {_with_remedy(one.fault, one.remedy)}", style="red")
    for left in found.untried:
        note(f"{left.key}: {_with_remedy(left.why, left.remedy)}")
    if busy := found.busy or next((one.busy for one in found.models if one.busy), ""):
        note(f"The machine was busy: {busy}. Speeds are better measured when it is not.", style="yellow")
    if not keep_all and any(one.busy for one in found.models):
        note("Speeds measured while it was busy are kept only with --keep-all; what models take in memory is.")


def _with_remedy(why: str, remedy: str) -> str:
    return f"{why} → {remedy}" if remedy else why


def memory_view(models: list[Calibrated]) -> Table:
    """Predicted beside measured, and what that teaches."""
    made = table(
        *("Model", "Context", "Predicted", "Measured", "Off by", "Correction", "Error bar"),
        right=("Context", "Predicted", "Measured", "Off by", "Correction", "Error bar"),
        drop=("Context", "Correction"),
    )
    for one in models:
        known = one.measured is not None and one.predicted is not None
        made.add_row(
            one.model.key,
            str(one.context),
            size(one.predicted.footprint.total) if one.predicted else NOTHING,
            size(one.measured.total) if one.measured else NOTHING,
            f"{one.error:+.1%}" if one.error is not None else NOTHING,
            f"×{one.corrections.private.factor:.3f}" if known else NOTHING,
            _bar(one) if known else NOTHING,
        )
    return made


def _bar(one: Calibrated) -> str:
    before = f"±{one.predicted.error:.1%}" if one.predicted else NOTHING
    return f"{before} → ±{_error(one.corrections, one):.1%}"


def _error(corrections: Corrections, one: Calibrated) -> float:
    return corrections.estimate(one.measured).error if one.measured else 0.0


def speed_view(models: list[Calibrated]) -> Table:
    """Seconds to load, tokens a second read and written; in brackets what was expected."""
    made = table(
        *("Model", "Loads", "Reads tok/s", "Writes tok/s", "Runs"),
        right=("Loads", "Reads tok/s", "Writes tok/s", "Runs"),
        drop=("Runs",),
    )
    for one in models:
        speed, expected = one.speed, one.expected
        loaded = seconds(speed.load_seconds) if speed.load_seconds else "loaded"
        read = f"{speed.prompt_tps:.0f}" if speed.prompt_tps else NOTHING
        written = f"{speed.generation_tps:.1f}" if speed.generation_tps else NOTHING
        made.add_row(
            one.model.key,
            _beside(loaded, seconds(expected.load_seconds)),
            _beside(read, f"{expected.prompt_tps:.0f}"),
            _beside(written, f"{expected.generation_tps:.1f}"),
            str(one.repetitions),
        )
    return made


def _beside(measured: str, expected: str) -> Text:
    return ink(measured, (f" ({expected})", "dim"))


def _machine(found: Calibration) -> list[str]:
    """What it means for models that never ran here."""
    before, after = found.before, found.after
    return [
        "For models that never ran here:",
        f"  memory bandwidth   {after.bytes_per_second / 1e9:.1f} GB/s (was {before.bytes_per_second / 1e9:.1f})",
        f"  compute            {after.flops_per_core / 1e9:.0f} GFLOP/s a core (was {before.flops_per_core / 1e9:.0f})",
    ]


def calibration_json(found: Calibration) -> dict[str, Any]:
    """Everything that was measured, in bytes, seconds and tokens a second."""
    return {
        "models": [_model_json(one) for one in found.models],
        "untried": to_json(found.untried),
        "machine": {"before": to_json(found.before), "after": to_json(found.after)},
        "busy": found.busy,
        "seconds": round(found.seconds, 3),
    }


def _model_json(one: Calibrated) -> dict[str, Any]:
    return {
        "key": one.model.key,
        "backend": one.model.backend,
        "context": one.context,
        "repetitions": one.repetitions,
        "memory": {
            "predicted": to_json(one.predicted),
            "measured": to_json(one.measured),
            "error": one.error,
            "corrections": to_json(one.corrections),
        },
        "speed": {"expected": to_json(one.expected), "measured": to_json(one.speed)},
        "busy": one.busy,
        "fault": one.fault,
        "remedy": one.remedy,
    }
