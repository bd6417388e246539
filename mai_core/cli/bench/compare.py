"""``mai bench compare``: strategies beside each other, as one table, as a page, and as an exit status."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mai_core.cli.bench.simulate import ALL, FULL, QUICK, campaign_of, meant, played
from mai_core.cli.invocation import Invocation
from mai_core.cli.output import note, print_json

if TYPE_CHECKING:
    from mai_core.bench.replay.result import Replayed
    from mai_core.bench.report.comparison import Part
    from mai_core.bench.report.thresholds import Threshold
    from mai_core.bench.simulator.campaign import Campaign
    from mai_core.plugin.registry import PluginRegistry

__all__ = ["compare"]


def compare(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STRATEGY|all",
            help="Who competes, as mai bench simulate --list names them, or module:Class; mai and every strategy there "
            "is when left out. The others are held against the first.",
        ),
    ] = None,
    machine: Annotated[str, typer.Option(metavar="NAME,...", help="Machines; all when left out.")] = "",
    workload: Annotated[str, typer.Option(metavar="NAME,...", help="Workloads, or all.")] = "mixed",
    turns: Annotated[int | None, typer.Option(help="Turns in each world; 2000 when left out.", min=1)] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Worlds of each machine and workload; 3 when left out.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Number of the first one; draws the replay of tables, too.")] = 1,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few machines, short days: what is left out is chosen smaller.")
    ] = False,
    tables: Annotated[
        list[Path] | None,
        typer.Option(
            "--table",
            metavar="TABLE",
            help="Real answers to replay, too, as for mai bench replay; may be repeated.",
            exists=True,
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes; 0 for one a core.", min=0)] = 0,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep what is done here, and go on from it. Take another file once a strategy's code has changed.",
            dir_okay=False,
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a report with plots.", dir_okay=False)
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FOLDER", help="Write every plot as SVG.", file_okay=False)
    ] = None,
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FOLDER", help="Write every plot as PNG.", file_okay=False)
    ] = None,
    bounds: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-under",
            metavar="METRIC=VALUE",
            help="Exit with 1 where the first one is worse than this; may be repeated. VALUE is a number, or the name "
            "of another one that it must not be surely worse than.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare strategies: a table and what was found, and if wanted a report that anybody can read.

    Everybody lives through the same simulated worlds, as in mai bench simulate; with a table of real answers,
    strategies choose there, too. Differences are told with 95 % intervals.

    Metrics of --fail-under, higher is better: quality, worth, aiq, accuracy, over-hull, over-means. Lower is better:
    waiting, waiting-p50, waiting-p95, waiting-p99, end-p95 (seconds), switches (in 100 turns), oom, killed, lost (in
    all), joules (a turn), cost, regret (money, 1,000 turns). Of several tables, one is named behind an @.

    Exit status: 0 done, 1 a bound was not kept, 2 wrong usage.
    """
    from mai_core.bench.report.comparison import Comparison, Contestant, Origin
    from mai_core.bench.report.simulated import simulated
    from mai_core.bench.report.thresholds import judged
    from mai_core.bench.simulator.machines import MACHINES
    from mai_core.bench.simulator.results import results
    from mai_core.bench.simulator.workloads import WORKLOADS
    from mai_core.cli.bench.reporting import require_plots, show, write
    from mai_core.cli.bench.tabled import on_tables

    _let_modules_here_be_found()
    invocation = Invocation.of(ctx)
    registry = invocation.registry()
    competing = _competing(names or [], registry)
    size = QUICK if quick else FULL
    machines = meant(machine or size.machines, list(MACHINES), "--machine")
    workloads = meant(workload, list(WORKLOADS), "--workload")
    seen = range(seed, seed + (seeds or size.seeds))
    worlds = len(machines) * len(workloads) * len(seen)
    thresholds = _thresholds(bounds or [], list(competing), worlds=worlds, tables=bool(tables))
    if svg or png:
        require_plots()
    campaign = campaign_of(invocation, registry, list(competing), machines, workloads, turns or size.turns, seen)
    workers = jobs or os.cpu_count() or 1
    replays = on_tables(invocation, registry, list(competing), tables or [], seed=seed, jobs=workers, resume=resume)
    found = results(campaign, played(campaign, registry, workers, resume))
    replayed = [run() for run in replays]
    comparison = Comparison(
        contestants=tuple(Contestant(name, about) for name, about in competing.items()),
        origin=Origin(_command(campaign, tables or []), _version(), seed, found.digest),
        parts=(simulated(found, campaign), *_parts(replayed, list(competing))),
    )
    verdicts = judged(comparison, thresholds)
    written = write(comparison, html, svg, png)
    if as_json:
        bound = [
            {"bound": told, "kept": v.kept, "told": v.told} for told, v in zip(bounds or [], verdicts, strict=True)
        ]
        sources = {"simulation": found.to_json(), "replays": [replay.to_json() for replay in replayed]}
        print_json({**comparison.to_json(), "bounds": bound, **sources})
    else:
        show(comparison)
    for remark in written:
        note(remark)
    for verdict in verdicts:
        if not verdict.kept:
            note(f"not kept: {verdict.told}", style="red")
    if not all(verdict.kept for verdict in verdicts):
        raise typer.Exit(1)


def _let_modules_here_be_found() -> None:
    """A strategy that is being written stands in the folder its author stands in."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)


def _competing(names: Sequence[str], registry: PluginRegistry) -> Mapping[str, str]:
    """Who competes, each once, with its idea in a line."""
    from mai_core.bench.simulator.contestants import BASELINES
    from mai_core.plugin.dotted import is_dotted, strategy_at

    everybody = {
        "mai": "all that the settings name, together",
        **{n: _idea(c) for n, c in registry.strategies().items()},
    }
    known = {**BASELINES, **everybody}
    competing: dict[str, str] = {}
    for name in names or [ALL]:
        if name == ALL:
            competing = {**competing, **{one: idea for one, idea in everybody.items() if one not in competing}}
        elif name.startswith("fixed:"):
            competing[name] = "always this model, where it can run"
        elif name not in known and is_dotted(name):
            competing[name] = _idea(type(strategy_at(name)))
        else:
            competing[name] = known.get(name, "")
    return competing


def _idea(cls: type[object]) -> str:
    return ((cls.__doc__ or "").strip().splitlines() or [""])[0]


def _thresholds(bounds: Sequence[str], names: Sequence[str], *, worlds: int, tables: bool) -> Sequence[Threshold]:
    """Bounds that can be judged at all: what is wrong with one is told before anything is simulated."""
    from mai_core.bench.report.thresholds import ON_TABLES, threshold

    found = []
    for text in bounds:
        try:
            one = threshold(text, names)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--fail-under") from error
        if one.other and worlds < 2:
            raise typer.BadParameter(f"{text}: one world alone tells no interval", param_hint="--fail-under")
        if one.key.partition("@")[0] in ON_TABLES and not tables:
            raise typer.BadParameter(f"{text}: needs a --table", param_hint="--fail-under")
        found.append(one)
    return found


def _parts(replayed: Sequence[Replayed], names: Sequence[str]) -> Sequence[Part]:
    from mai_core.bench.report.replayed import replayed as part_of

    places = {name: place for place, name in enumerate(names)}
    return [part_of(found, places, alone=len(replayed) == 1) for found in replayed]


def _command(campaign: Campaign, tables: Sequence[Path]) -> str:
    """What makes the same comparison again, whatever is chosen where nothing is said."""
    cells = campaign.cells
    machines, workloads, seeds = (
        list(dict.fromkeys(told)) for told in zip(*((c.machine, c.workload, c.seed) for c in cells), strict=True)
    )
    words = ["mai", "bench", "compare", *(one.name for one in campaign.contestants)]
    words += ["--machine", ",".join(machines), "--workload", ",".join(workloads)]
    words += ["--turns", str(campaign.turns), "--seeds", str(len(seeds)), "--seed", str(seeds[0])]
    for table in tables:
        words += ["--table", str(table)]
    return shlex.join(words)


def _version() -> str:
    from mai_core import __version__

    return __version__
