"""``mai bench simulate``: strategies in simulated worlds."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from mai_core.cli.invocation import Invocation
from mai_core.cli.output import note, print_json, print_table, seconds
from mai_core.cli.tables import table
from mai_core.cli.waiting import Waiting

if TYPE_CHECKING:
    from mai_core.bench.simulator.campaign import Campaign, Outcome
    from mai_core.bench.simulator.contestants import Contestant
    from mai_core.plugin.registry import PluginRegistry
    from mai_core.settings.model import Settings

__all__ = ["campaign_of", "contestant_of", "meant", "played", "simulate"]

ALL = "all"


class Size(NamedTuple):
    """How much is simulated where nobody says."""

    machines: str
    turns: int
    seeds: int


FULL = Size(ALL, 2000, 3)
QUICK = Size("laptop-8gb,desktop-gpu-12gb,mac-16gb", 200, 2)


def simulate(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="STRATEGY", help="Who competes; mai and every strategy there is when left out."),
    ] = None,
    machine: Annotated[str, typer.Option(metavar="NAME,...", help="Machines; all when left out.")] = "",
    workload: Annotated[str, typer.Option(metavar="NAME,...", help="Workloads, or all.")] = "mixed",
    turns: Annotated[int | None, typer.Option(help="Turns in each world; 2000 when left out.", min=1)] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Worlds of each machine and workload; 3 when left out.", min=1)
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few machines, short days: what is left out is chosen smaller.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Number of the first one.")] = 1,
    by: Annotated[str, typer.Option(metavar="machine|workload", help="A table for each.")] = "",
    jobs: Annotated[int, typer.Option(help="Processes; 0 for one a core.", min=0)] = 0,
    resume: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep what is done here, and go on from it.", dir_okay=False)
    ] = None,
    validate: Annotated[
        list[Path] | None,
        typer.Option("--validate", metavar="FILE", help="Lay a real session with GGUF files beside it.", exists=True),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List machines, workloads and who may compete.")] = False,
    prove: Annotated[
        bool, typer.Option("--prove", help="Check what Mai claims of its strategies; exit with 1 where it fails.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Let strategies choose models on simulated machines, and compare what becomes of it.

    Everybody is asked the same at the same chance, on machines that differ from what Mai believes of them. Regret is
    what a clairvoyant would have had more: one that knows how good and how fast every model is, and finds it loaded.

    Quality is the mean probability of a good answer; "No memory" counts loads for which there was not the memory. Cost,
    worth (what answers are worth, less their cost) and regret are money for a thousand turns, under your settings.
    """
    from mai_core.bench.simulator.machines import MACHINES
    from mai_core.bench.simulator.results import results
    from mai_core.bench.simulator.workloads import WORKLOADS
    from mai_core.cli.bench.standings import show

    if by not in ("", "machine", "workload"):
        raise typer.BadParameter(f"{by}: machine or workload", param_hint="--by")
    invocation = Invocation.of(ctx)
    registry = invocation.registry()
    if listing:
        _list(registry.strategies(), as_json)
        return
    if validate:
        from mai_core.cli.bench.validating import validated

        validated(invocation, validate, as_json=as_json)
        return
    size = QUICK if quick else FULL
    machines = meant(machine or (ALL if prove else size.machines), list(MACHINES), "--machine")
    seen = range(seed, seed + (seeds or size.seeds))
    if prove:
        from mai_core.cli.bench.proving import proved

        proved(invocation, registry, machines, turns or size.turns, seen, jobs or os.cpu_count() or 1, as_json=as_json)
        return
    workloads = meant(workload, list(WORKLOADS), "--workload")
    campaign = campaign_of(invocation, registry, names, machines, workloads, turns or size.turns, seen)
    started = time.perf_counter()
    found = results(campaign, outcomes := played(campaign, registry, jobs or os.cpu_count() or 1, resume))
    took = time.perf_counter() - started
    if as_json:
        print_json({**found.to_json(), "worlds": [outcome.to_json() for outcome in outcomes]})
        return
    show(found, by)
    count = sum(standing.turns for standing in found.overall.standings)
    rate = "" if resume else f": {60.0 * count / took:,.0f} a minute"
    note(f"{count:,} turns in {len(outcomes)} worlds, {seconds(took)}{rate}.")


def played(campaign: Campaign, registry: PluginRegistry, jobs: int, resume: Path | None = None) -> list[Outcome]:
    """Run a campaign to its end, with a bar for those who wait; outcomes in the order of its cells."""
    from mai_core.bench.simulator.campaign import run_cells

    outcomes: list[Outcome] = []
    with Waiting() as waiting:
        waiting.share("simulating", 0.0)
        for outcome in run_cells(campaign, jobs=jobs, resume=resume, registry=registry):
            outcomes.append(outcome)
            cell = outcome.cell
            share = len(outcomes) / len(campaign.cells)
            waiting.share(f"{cell.machine}, {cell.workload}, seed {cell.seed}", share)
    order = {cell: place for place, cell in enumerate(campaign.cells)}
    return sorted(outcomes, key=lambda outcome: order[outcome.cell])


def campaign_of(
    invocation: Invocation,
    registry: PluginRegistry,
    names: Sequence[str] | None,
    machines: Sequence[str],
    workloads: Sequence[str],
    turns: int,
    seeds: Sequence[int],
) -> Campaign:
    """What is asked for, under this person's settings. Raises ``PluginError``."""
    from mai_core.bench.simulator.campaign import Campaign, Cell
    from mai_core.runtime.assembly import limits_of
    from mai_core.settings import load_catalogue

    settings = invocation.settings.settings
    competing = dict.fromkeys(names or ["mai", *registry.strategies()])
    return Campaign(
        contestants=tuple(contestant_of(settings, registry, name) for name in competing),
        cells=tuple(Cell(m, w, s) for m in machines for w in workloads for s in seeds),
        turns=turns,
        limits=limits_of(settings),
        seconds_value=settings.stability.seconds_value,
        preloads=settings.preload.enabled,
        idle_seconds=settings.memory.idle_seconds,
        known=load_catalogue(invocation.paths),
        blocked=(*settings.plugins.blocked, *invocation.block),
    )


def contestant_of(settings: Settings, registry: PluginRegistry, name: str) -> Contestant:
    """Who is meant by a name, under these settings. Raises ``PluginError``."""
    from mai_core.bench.simulator.contestants import contestant
    from mai_core.policy.stability import StabilityRules

    return contestant(
        name,
        together=settings.selection.strategies,
        arbiter=settings.selection.arbiter,
        rules=StabilityRules(**settings.stability.model_dump()),
        options=settings.selection.options,
        registered=list(registry.strategies()),
    )


def meant(written: str, there: Sequence[str], option: str) -> Sequence[str]:
    """The names in a list with commas, or all there are. Raises ``typer.BadParameter``."""
    if written == ALL:
        return there
    meant = written.split(",")
    for name in meant:
        if name not in there:
            raise typer.BadParameter(f"{name}: there are {', '.join(there)}", param_hint=option)
    return meant


def _list(strategies: Any, as_json: bool) -> None:
    from mai_core.bench.simulator.contestants import BASELINES
    from mai_core.bench.simulator.machines import MACHINES
    from mai_core.bench.simulator.workloads import WORKLOADS

    competing = {
        "mai": "all that the settings name, together",
        **{name: ((cls.__doc__ or "").strip().splitlines() or [""])[0] for name, cls in strategies.items()},
        **BASELINES,
        "fixed:MODEL": "one model",
    }
    if as_json:
        print_json({"machines": MACHINES, "workloads": list(WORKLOADS), "strategies": competing})
        return
    for title, rows in (
        ("Machines", {m.name: f"{m.ram / 2**30:.0f} GiB, {m.cores} cores{_gpus(m)}" for m in MACHINES.values()}),
        ("Workloads", {w.name: _mix(w) for w in WORKLOADS.values()}),
        ("Strategies", competing),
    ):
        made = table(title, "", wrap=("",))
        for name, told in rows.items():
            made.add_row(name, told)
        print_table(made)
        print()


def _gpus(machine: Any) -> str:
    return "".join(f", {gpu.total / 2**30:.0f} GiB {gpu.kind.value} {gpu.name}" for gpu in machine.gpus)


def _mix(workload: Any) -> str:
    kinds = ", ".join(f"{share:.0%} {kind.value}" for kind, (share, _, _) in workload.mix.items())
    users = f"{workload.users} people; " if workload.users > 1 else ""
    return f"{users}{kinds}; {workload.programs} programs"
