"""``mai bench replay``: strategies on tables of real outcomes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mai_core.cli.invocation import Invocation
from mai_core.cli.output import note, print_json, print_table, seconds
from mai_core.cli.tables import table
from mai_core.cli.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mai_core.bench.replay.pool import Pool
    from mai_core.bench.replay.result import Replayed
    from mai_core.bench.replay.study import Terms
    from mai_core.bench.replay.tables import RatedModel
    from mai_core.plugin.interfaces import SelectionStrategy
    from mai_core.plugin.registry import PluginRegistry

__all__ = ["replay"]


def replay(
    ctx: typer.Context,
    path: Annotated[
        Path | None,
        typer.Argument(metavar="TABLE", help="CSV file of outcomes, plain or .gz, or a folder of them.", exists=True),
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its prompts, where no file beside it is named alike.")
    ] = None,
    models_file: Annotated[
        Path | None, typer.Option("--sizes", metavar="FILE", help="Its models' parameters, likewise.")
    ] = None,
    names: Annotated[
        str, typer.Option("--strategies", metavar="NAME,...", help="Who competes; all when left out.")
    ] = "",
    models: Annotated[
        str, typer.Option(metavar="NAME,...", help="Models to choose among; left out, all that answered nearly all.")
    ] = "",
    memory: Annotated[str, typer.Option(metavar="SIZE", help="Only models that fit so much main memory: 8GiB.")] = "",
    machine: Annotated[
        str, typer.Option(metavar="NAME", help="Only models that fit a machine of mai bench simulate --list.")
    ] = "",
    quantisation: Annotated[str, typer.Option(metavar="TYPE", help="What weights are stored as there.")] = "Q4_K_M",
    folds: Annotated[int, typer.Option(help="Parts in which prompts are held out.", min=2)] = 5,
    held_out: Annotated[bool, typer.Option("--held-out-tasks", help="Hold out every task in turn, too.")] = False,
    weak: Annotated[str, typer.Option(metavar="MODEL", help="For APGR and CPT; the cheapest when left out.")] = "",
    strong: Annotated[str, typer.Option(metavar="MODEL", help="For APGR and CPT; the best when left out.")] = "",
    rounds: Annotated[int, typer.Option(help="Resamples for intervals.", min=100)] = 1000,
    seed: Annotated[int, typer.Option(help="Draws folds and resamples.")] = 1,
    jobs: Annotated[int, typer.Option(help="Processes; 0 for one a core.", min=0)] = 0,
    resume: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep what is learnt here, and go on from it.", dir_okay=False)
    ] = None,
    points: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every curve's points as CSV.", dir_okay=False)
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="List who may compete, and who is compared with.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Let strategies choose among models that have answered already, and tell how often that was right, and its cost.

    Every prompt is judged by what was learnt from others. AIQ is the mean accuracy over all costs from the cheapest
    model's to the dearest's, in percent; the bars to beat are the hull of single models and the per-task mean.
    """
    from mai_core.bench.replay.study import Terms

    invocation = Invocation.of(ctx)
    registry = invocation.registry()
    if show:
        _list(registry, as_json)
        return
    if path is None:
        raise typer.BadParameter("a table is wanted", param_hint="TABLE")
    competing = _competing(invocation, registry, names)
    fits, told = _fitting(memory, machine, quantisation)
    terms = Terms(
        folds=folds,
        seed=seed,
        rounds=rounds,
        held_out=held_out,
        weak=weak,
        strong=strong,
        jobs=jobs or os.cpu_count() or 1,
        resume=resume,
        machine=told,
    )
    started = time.perf_counter()
    chosen = [name for name in models.split(",") if name]
    found = [_replayed(pool, competing, registry, terms) for pool in _pools(path, prompts, models_file, chosen, fits)]
    if points is not None:
        from mai_core.bench.replay.export import write_points

        write_points(points, found)
    if as_json:
        print_json({"tables": [result.to_json() for result in found]})
    elif as_csv:
        from mai_core.bench.replay.export import standings_csv

        print(standings_csv(found), end="")
    else:
        from mai_core.cli.bench.replayview import replay_view

        for result in found:
            for part in replay_view(result):
                print_table(part) if not isinstance(part, str) else print(part)
        note(f"{sum(result.prompts for result in found):,} prompts, {seconds(time.perf_counter() - started)}.")
    for fault in dict.fromkeys(fault for result in found for fault in result.faults):
        note(fault, style="yellow")
    if any(result.faults for result in found):
        raise typer.Exit(1)


def _competing(invocation: Invocation, registry: PluginRegistry, names: str) -> Mapping[str, Mapping[str, Any]]:
    """Who competes, with the options the settings give them."""
    options = invocation.settings.settings.selection.options
    there = list(registry.strategies())
    meant = names.split(",") if names else there
    for name in meant:
        if name not in there:
            raise typer.BadParameter(f"{name}: there are {', '.join(there)}", param_hint="--strategies")
    return {name: dict(options.get(name, {})) for name in meant}


def _fitting(memory: str, machine: str, quantisation: str) -> tuple[Callable[[RatedModel], str] | None, str]:
    """What says of a model why it does not fit, and the machine in words; nothing where none is asked for."""
    from mai_core.bench.replay.fitting import BITS, bytes_of, fitting, host_of, with_memory
    from mai_core.bench.simulator.machines import MACHINES

    if quantisation not in BITS:
        raise typer.BadParameter(f"{quantisation}: there are {', '.join(BITS)}", param_hint="--quantisation")
    if memory and machine:
        raise typer.BadParameter("either that or --machine", param_hint="--memory")
    if memory:
        try:
            size = bytes_of(memory)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--memory") from error
        return fitting(with_memory(size), quantisation), f"{memory} of main memory, {quantisation}"
    if machine:
        if machine not in MACHINES:
            raise typer.BadParameter(f"{machine}: there are {', '.join(MACHINES)}", param_hint="--machine")
        return fitting(host_of(MACHINES[machine]), quantisation), f"{machine}, {quantisation}"
    return None, ""


def _pools(
    path: Path,
    prompts: Path | None,
    sizes: Path | None,
    models: Sequence[str],
    fits: Callable[[RatedModel], str] | None,
) -> Sequence[Pool]:
    """All tables are read before the first is replayed, so that a fault in the last is told at once."""
    from mai_core.bench.replay.pool import choose
    from mai_core.bench.replay.tables import find_tables, read_table

    pools = []
    with Waiting() as waiting:
        for file in find_tables(path):
            waiting.spin(f"reading {file.name}…")
            pools.append(choose(read_table(file, prompts, sizes), models, fits=fits))
    return pools


def _replayed(
    pool: Pool, competing: Mapping[str, Mapping[str, Any]], registry: PluginRegistry, terms: Terms
) -> Replayed:
    from mai_core.bench.replay.study import replay as replay_pool

    def build(name: str, options: Mapping[str, Any]) -> SelectionStrategy:
        return registry.strategy(name, dict(options))

    with Waiting() as waiting:
        return replay_pool(
            pool, competing, build, terms, lambda text, share: waiting.share(f"{pool.name}: {text}", share)
        )


def _list(registry: PluginRegistry, as_json: bool) -> None:
    from mai_core.bench.replay.contestants import ABOUT

    strategies = {
        name: ((cls.__doc__ or "").strip().splitlines() or [""])[0] for name, cls in registry.strategies().items()
    }
    if as_json:
        print_json({"strategies": strategies, "references": ABOUT})
        return
    for title, rows in (("Strategies", strategies), ("Compared with", ABOUT)):
        made = table(title, "", wrap=("",))
        for name, told in rows.items():
            made.add_row(name, told)
        print_table(made)
        print()
