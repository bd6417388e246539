"""``mai bench simulate --validate``: a real session beside the simulated one."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from mai_core.cli.invocation import Invocation, run
from mai_core.cli.output import print_json, print_table, seconds
from mai_core.cli.tables import table
from mai_core.cli.waiting import Waiting

if TYPE_CHECKING:
    from mai_core.bench.simulator.validation import Compared
    from mai_core.plugin.interfaces import Backend
    from mai_core.policy.models import ModelProfile

__all__ = ["validated"]


def validated(invocation: Invocation, files: Sequence[Path], *, as_json: bool) -> None:
    """Run the session in a home of its own, and print every turn measured and simulated."""
    from mai_core.bench.simulator.validation import compared, run_session

    cores = max(1, (os.cpu_count() or 2) - 1)
    found: list[Compared] = []

    async def main() -> None:
        with tempfile.TemporaryDirectory() as home, Waiting() as waiting:
            backends, models = await _offered(invocation, files, Path(home))
            try:
                looks, steps = await run_session(models, threads=cores, told=waiting.spin)
            finally:
                for backend in backends:
                    await backend.close()
        found.extend(compared([model for _, model in models], looks, steps, cores=cores))

    run(main)
    if as_json:
        print_json({"threads": cores, "turns": found, "errors": [turn.error for turn in found]})
        return
    made = table(
        *("Model", "Loads", "Reads", "Writes", "First token", "simulated", "End", "simulated ", "Off by"),
        right=("Loads", "Reads", "Writes", "First token", "simulated", "End", "simulated ", "Off by"),
    )
    for turn in found:
        step = turn.step
        made.add_row(
            turn.model,
            seconds(step.loading) if step.begins else "",
            str(step.read),
            str(step.written),
            seconds(step.loading + step.first),
            seconds(turn.first),
            seconds(step.loading + step.end),
            seconds(turn.end),
            f"{turn.error:+.1%}",
        )
    print_table(made)
    real, simulated = sum(t.step.loading + t.step.end for t in found), sum(t.end for t in found)
    print(
        f"\nall of it: {seconds(real)} measured, {seconds(simulated)} simulated, {simulated / real - 1.0:+.1%}; ",
        end="",
    )
    print(f"a turn is off by {median(abs(t.error) for t in found):.1%} in the median")


async def _offered(
    invocation: Invocation, files: Sequence[Path], home: Path
) -> tuple[list[Backend], list[tuple[Backend, ModelProfile]]]:
    """The first backend's offer of each file. Raises ``UnknownModel``."""
    from mai_core.paths import Paths
    from mai_core.runtime.assembly import build_backends
    from mai_core.settings import load_settings

    folders = sorted({str(file.resolve().parent) for file in files})
    own = [
        f"backends.embedded.models_dirs={json.dumps(folders)}",
        "backends.embedded.scan_other_tools=false",
        *(f"backends.{name}.enabled=false" for name in invocation.settings.settings.backends if name != "embedded"),
    ]
    paths = Paths.of({"MAI_HOME": str(home)})
    settings = load_settings(paths, {}, own).settings
    backends, _ = build_backends(settings, invocation.registry(settings=settings), paths, ())
    listed = [(backend, model) for backend in backends.values() for model in await backend.models()]
    return list(backends.values()), [_offer(listed, file) for file in files]


def _offer(listed: Sequence[tuple[Backend, ModelProfile]], file: Path) -> tuple[Backend, ModelProfile]:
    from mai_core.errors import UnknownModel

    for backend, model in listed:
        if os.path.realpath(model.location) == os.path.realpath(file):
            return backend, model
    raise UnknownModel(f"no engine here loads {file}", remedy="give a GGUF file")
