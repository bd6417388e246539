"""``mai bench simulate --validate``: a real session beside the simulated one."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mai_core.cli.invocation import Invocation, run
from mai_core.cli.output import note, print_json, print_table, seconds, size
from mai_core.cli.tables import table
from mai_core.cli.waiting import Waiting

if TYPE_CHECKING:
    from mai_core.bench.simulator.validation import Validation
    from mai_core.plugin.interfaces import Backend
    from mai_core.policy.models import ModelProfile

__all__ = ["validated"]

BUSY = 0.3
"""Of the cores, by the load of the last minute, before anything is measured."""


def validated(invocation: Invocation, files: Sequence[Path], *, as_json: bool) -> None:
    """Run the session in a home of its own, and print every turn measured and simulated."""
    from mai_core.bench.simulator.validation import compared, run_session

    cores = max(1, (os.cpu_count() or 2) - 1)

    async def main() -> Validation:
        with tempfile.TemporaryDirectory() as home, Waiting() as waiting:
            backends, models = await _offered(invocation, files, Path(home))
            try:
                session = await run_session(models, threads=cores, told=waiting.spin)
            finally:
                for backend in backends:
                    await backend.close()
        return compared([model for _, model in models], session, cores=cores)

    if hasattr(os, "getloadavg") and os.getloadavg()[0] > BUSY * (os.cpu_count() or 1):
        note("Other work keeps this machine busy: what is measured now says as much about that.", style="yellow")
    found = run(main)
    if as_json:
        print_json({"threads": cores, "turns": found.turns, "memory": found.memory, "errors": found.quantities()})
        return
    _show(found)


def _show(found: Validation) -> None:
    numbers = ("Loads", "simulated", "Reads", "First token", "simulated ", "Writes", "End", "simulated  ", "Off by")
    turns = table(
        "Model",
        *numbers,
        right=numbers,
        drop=("simulated", "Loads", "simulated ", "First token"),
    )
    for turn in found.turns:
        loading, simulated = turn.measured[0], turn.simulated[0]
        turns.add_row(
            turn.model,
            *((seconds(loading), seconds(simulated)) if turn.begins else ("", "")),
            f"{turn.read} tokens",
            seconds(sum(turn.measured[:2])),
            seconds(sum(turn.simulated[:2])),
            f"{turn.written} tokens",
            seconds(sum(turn.measured)),
            seconds(sum(turn.simulated)),
            f"{turn.error:+.1%}",
        )
    print_table(turns)
    print()
    sums = table(
        *("All together", "Measured", "Simulated", "Off by", "Typically off by"),
        right=("Measured", "Simulated", "Off by", "Typically off by"),
    )
    for quantity in found.quantities():
        told = size if quantity.unit == "bytes" else seconds
        sums.add_row(
            quantity.name,
            told(quantity.measured),
            told(quantity.simulated),
            f"{quantity.error:+.1%}",
            f"{quantity.typical:.1%}",
        )
    print_table(sums)


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
