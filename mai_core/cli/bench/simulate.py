"""``mai bench simulate``: strategies in simulated worlds."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mai_core.cli.invocation import Invocation
from mai_core.cli.output import note, print_json, print_table, seconds
from mai_core.cli.tables import table
from mai_core.cli.waiting import Waiting

if TYPE_CHECKING:
    from rich.table import Table

    from mai_core.bench.simulator.campaign import Campaign, Outcome
    from mai_core.bench.simulator.tally import Tally

__all__ = ["simulate"]

ALL = "all"


def simulate(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="STRATEGY", help="Who competes; mai and every strategy there is when left out."),
    ] = None,
    machine: Annotated[str, typer.Option(metavar="NAME,...", help="Machines, or all.")] = ALL,
    workload: Annotated[str, typer.Option(metavar="NAME,...", help="Workloads, or all.")] = "mixed",
    turns: Annotated[int, typer.Option(help="Turns in each world.", min=1)] = 2000,
    seeds: Annotated[int, typer.Option(help="Worlds of each machine and workload.", min=1)] = 3,
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
    show: Annotated[bool, typer.Option("--list", help="List machines, workloads and who may compete.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Let strategies choose models on simulated machines, and compare what becomes of it.

    Everybody is asked the same at the same chance, on machines that differ from what Mai believes of them. Regret is
    what a clairvoyant would have had more: one that knows how good and how fast every model is, and finds it loaded.
    """
    from mai_core.bench.simulator.campaign import run_cells

    if by not in ("", "machine", "workload"):
        raise typer.BadParameter(f"{by}: machine or workload", param_hint="--by")
    invocation = Invocation.of(ctx)
    registry = invocation.registry()
    if show:
        _list(registry.strategies(), as_json)
        return
    if validate:
        from mai_core.cli.bench.validating import validated

        validated(invocation, validate, as_json=as_json)
        return
    campaign = _campaign(invocation, registry, names, machine, workload, turns, range(seed, seed + seeds))
    outcomes: list[Outcome] = []
    started = time.perf_counter()
    with Waiting() as waiting:
        waiting.share("simulating", 0.0)
        for outcome in run_cells(campaign, jobs=jobs or os.cpu_count() or 1, resume=resume, registry=registry):
            outcomes.append(outcome)
            cell = outcome.cell
            share = len(outcomes) / len(campaign.cells)
            waiting.share(f"{cell.machine}, {cell.workload}, seed {cell.seed}", share)
    order = {cell: place for place, cell in enumerate(campaign.cells)}
    outcomes.sort(key=lambda outcome: order[outcome.cell])
    if as_json:
        print_json(_json(campaign, outcomes))
        return
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(getattr(outcome.cell, by) if by else "", []).append(outcome)
    for name, group in groups.items():
        if name:
            print(f"{name}")
        print_table(_view(group, campaign))
        print()
    played = sum(tally.turns for outcome in outcomes for tally in outcome.tallies.values())
    note(f"{played:,} turns in {len(outcomes)} worlds, {seconds(time.perf_counter() - started)}.")


def _campaign(
    invocation: Invocation,
    registry: Any,
    names: Sequence[str] | None,
    machine: str,
    workload: str,
    turns: int,
    seeds: range,
) -> Campaign:
    """What is asked for, under this person's settings. Raises ``PluginError`` and ``typer.BadParameter``."""
    from mai_core.bench.simulator.campaign import Campaign, Cell
    from mai_core.bench.simulator.contestants import contestant
    from mai_core.bench.simulator.machines import MACHINES
    from mai_core.bench.simulator.workloads import WORKLOADS
    from mai_core.policy.stability import StabilityRules
    from mai_core.runtime.assembly import limits_of
    from mai_core.settings import load_catalogue

    settings = invocation.settings.settings
    registered = list(registry.strategies())
    rules = StabilityRules(**settings.stability.model_dump())
    competing = dict.fromkeys(names or ["mai", *registered])
    return Campaign(
        contestants=tuple(
            contestant(
                name,
                together=settings.selection.strategies,
                arbiter=settings.selection.arbiter,
                rules=rules,
                options=settings.selection.options,
                registered=registered,
            )
            for name in competing
        ),
        cells=tuple(
            Cell(m, w, s)
            for m in _meant(machine, list(MACHINES), "--machine")
            for w in _meant(workload, list(WORKLOADS), "--workload")
            for s in seeds
        ),
        turns=turns,
        limits=limits_of(settings),
        seconds_value=settings.stability.seconds_value,
        preloads=settings.preload.enabled,
        idle_seconds=settings.memory.idle_seconds,
        known=load_catalogue(invocation.paths),
        blocked=(*settings.plugins.blocked, *invocation.block),
    )


def _meant(written: str, there: Sequence[str], option: str) -> Sequence[str]:
    if written == ALL:
        return there
    meant = written.split(",")
    for name in meant:
        if name not in there:
            raise typer.BadParameter(f"{name}: there are {', '.join(there)}", param_hint=option)
    return meant


def _view(outcomes: Sequence[Outcome], campaign: Campaign) -> Table:
    """A row for each contestant; utility beside the first one's, in the same worlds."""
    from mai_core.bench.simulator.comparing import paired, summed

    first = campaign.contestants[0].name
    made = table(
        *("Strategy", "Quality", "First p50", "p95", "p99", "End", "Switches", "No memory", "Killed", "Lost"),
        *("J", "Worth", "Regret", f"beside {first}"),
        right=(
            *("Quality", "First p50", "p95", "p99", "End", "Switches", "No memory", "Killed", "Lost", "J"),
            *("Worth", "Regret", f"beside {first}"),
        ),
        drop=("Killed", "J", "End", "p99"),
    )
    for name, tally in summed(outcomes).items():
        beside = paired(outcomes, name, first, _worth)
        made.add_row(
            name,
            f"{tally.quality / tally.turns:.3f}",
            *(seconds(tally.first.percentile(share)) for share in (0.50, 0.95, 0.99)),
            seconds(tally.end.mean),
            f"{100.0 * tally.switches / tally.turns:.1f} %",
            str(tally.overdrawn),
            str(tally.killed),
            str(tally.lost),
            f"{tally.joules / tally.turns:.0f}",
            f"{_worth(tally):.2f}",
            f"{1000.0 * (tally.ceiling - tally.utility) / tally.turns:.2f}",
            "" if name == first else f"{beside.mean:+.2f} ± {beside.half:.2f}",
        )
    return made


def _worth(tally: Tally) -> float:
    """Money for a thousand turns: what answers are worth, less waiting and electricity."""
    return 1000.0 * tally.utility / max(1, tally.turns)


def _json(campaign: Campaign, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Everything counted, world by world, and each contestant beside the first."""
    from mai_core.bench.simulator.comparing import paired, summed

    first = campaign.contestants[0].name
    return {
        "campaign": campaign.digest,
        "turns": campaign.turns,
        "contestants": [
            {
                "name": name,
                "turns": tally.turns,
                "quality": tally.quality / tally.turns,
                "good": tally.good / tally.turns,
                "first": {f"p{round(100 * share)}": tally.first.percentile(share) for share in (0.5, 0.95, 0.99)},
                "end": {f"p{round(100 * share)}": tally.end.percentile(share) for share in (0.5, 0.95, 0.99)},
                "switches": tally.switches,
                "out_of_memory": tally.overdrawn,
                "killed_by_others": tally.killed,
                "crashes": tally.crashes,
                "lost": tally.lost,
                "joules": tally.joules,
                "money": tally.money,
                "utility": tally.utility,
                "regret": tally.ceiling - tally.utility,
                "regret_by_part": tally.regret,
                "served": tally.served,
                "utility_beside_first": paired(outcomes, name, first, lambda t: t.utility / max(1, t.turns)),
            }
            for name, tally in summed(outcomes).items()
        ],
        "worlds": [outcome.to_json() for outcome in outcomes],
    }


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
