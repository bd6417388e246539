"""``mai bench compare``: strategies beside each other, as one table, as a page, and as an exit status."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mai_core.cli.bench.simulate import ALL, FULL, QUICK, meant
from mai_core.cli.invocation import Invocation
from mai_core.cli.output import note, print_json

if TYPE_CHECKING:
    from mai_core.bench.report.thresholds import Threshold
    from mai_core.cli.bench.contest import Contest

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
    laws: Annotated[
        bool, typer.Option("--laws", help="Try every law of mai bench check on those that are strategies, too.")
    ] = False,
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
    waiting, waiting-p50, waiting-p95, waiting-p99, end-p95 (seconds), switches (in 100 turns), oom, killed, lost,
    faults (in all), joules (a turn), cost, regret (money, 1,000 turns), broken-laws. Of several tables, one is named
    behind an @.

    Exit status: 0 done, 1 a bound was not kept, 2 wrong usage.
    """
    from mai_core.bench.report.thresholds import judged
    from mai_core.bench.simulator.machines import MACHINES
    from mai_core.bench.simulator.workloads import WORKLOADS
    from mai_core.cli.bench.contest import IN_WORLDS, Contest
    from mai_core.cli.bench.reporting import make_room, require_plots, show, write

    invocation = Invocation.of(ctx)
    registry = invocation.registry()
    size = QUICK if quick else FULL
    contest = Contest.of(
        invocation,
        registry,
        names or [ALL],
        machines=meant(machine or size.machines, list(MACHINES), "--machine"),
        workloads=meant(workload, list(WORKLOADS), "--workload"),
        turns=turns or size.turns,
        seeds=range(seed, seed + (seeds or size.seeds)),
        tables=tables or [],
        law_worlds=IN_WORLDS if laws else 0,
    )
    thresholds = _thresholds(bounds or [], contest)
    if svg or png:
        require_plots()
    make_room(html, svg, png)
    ran = contest.run(jobs=jobs or os.cpu_count() or 1, resume=resume)
    verdicts = judged(ran.comparison, thresholds)
    written = write(ran.comparison, html, svg, png)
    if as_json:
        told = [{"bound": b, "kept": v.kept, "told": v.told} for b, v in zip(bounds or [], verdicts, strict=True)]
        print_json({**ran.to_json(), "bounds": told})
    else:
        show(ran.comparison)
    for remark in written:
        note(remark)
    for verdict in verdicts:
        if not verdict.kept:
            note(f"not kept: {verdict.told}", style="red")
    if not all(verdict.kept for verdict in verdicts):
        raise typer.Exit(1)


def _thresholds(bounds: Sequence[str], contest: Contest) -> Sequence[Threshold]:
    """Bounds that can be judged at all: what is wrong with one is told before anything is simulated."""
    from mai_core.bench.report.thresholds import LAWS, ON_TABLES, threshold

    found = []
    for text in bounds:
        try:
            one = threshold(text, list(contest.competing))
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--fail-under") from error
        if one.other and len(contest.campaign.cells) < 2:
            raise typer.BadParameter(f"{text}: one world alone tells no interval", param_hint="--fail-under")
        if one.key.partition("@")[0] in ON_TABLES and not contest.tables:
            raise typer.BadParameter(f"{text}: needs a --table", param_hint="--fail-under")
        if one.key == LAWS and not contest.law_worlds:
            raise typer.BadParameter(f"{text}: needs --laws", param_hint="--fail-under")
        found.append(one)
    return found
