"""What a campaign of simulations found, as a part of a comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from mai_core.bench.report.comparison import Cell, Part, Row, Section, Table
from mai_core.bench.report.figures import Axis, Figure, Kind, Series
from mai_core.bench.report.sentences import between, faulty, safety, told_worth
from mai_core.bench.simulator.campaign import Campaign
from mai_core.bench.simulator.comparing import Difference
from mai_core.bench.simulator.machines import MACHINES, MachineSpec
from mai_core.bench.simulator.results import Group, Results, Standing
from mai_core.bench.simulator.workloads import WORKLOADS, Workload

__all__ = ["simulated"]

GIB = 2**30
THOUSAND, HUNDRED = 1000.0, 100.0
# Factors beyond which what is small could not be told apart along an even axis.
FAR = 10.0
HEADLINE = (
    "quality",
    "waiting-p50",
    "waiting-p95",
    "switches",
    "oom",
    "lost",
    "faults",
    "joules",
    "cost",
    "worth",
    "regret",
)
# Columns that are shown only where somebody is not at 0.
RARE = frozenset({"lost", "faults"})
IN_GROUPS = ("quality", "waiting-p50", "waiting-p95", "switches", "killed", "joules", "worth", "regret")

# Keys of differences, in the results and here, and what they are multiplied by.
_PAIRED: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "quality": ("quality", 1.0),
        "first": ("waiting", 1.0),
        "switches": ("switches", HUNDRED),
        "joules": ("joules", 1.0),
        "cost": ("cost", THOUSAND),
        "utility": ("worth", THOUSAND),
        "regret": ("regret", THOUSAND),
    }
)

LIMITS = (
    "People, their questions and the answers are made up. Quality is a probability drawn around what the catalogue of "
    "models says, never a judgement of a real answer.",
    "Machines follow formulas for memory, loading and speed, with errors drawn around them. “mai bench simulate "
    "--validate” lays a real session on your machine beside them.",
    "Intervals tell how far a difference would waver in other worlds of the same machines and kinds of day. They say "
    "nothing of machines and days that are not among them, and of twenty intervals about one misses by chance.",
    "Waiting and energy are priced as the settings say. Who prices them otherwise may find another strategy best.",
)


def simulated(found: Results, campaign: Campaign) -> Part:
    """A part with what matters most, four plots, and a table for each machine and workload where there are several."""
    overall = found.overall
    figures = {one.name: _figures(one) for one in overall.standings}
    paired = {one.name: _paired(one.beside) for one in overall.standings if one.name != found.first}
    findings = [told_worth(figures)]
    findings += [between(found.first, other, figures, paired[other]) for other in paired]
    findings.append(safety(figures))
    findings += [faulty(one.name, one.faults, one.turns) for one in overall.standings]
    return Part(
        figures=figures,
        paired=paired,
        headline=tuple(key for key in HEADLINE if key not in RARE or any(told[key].value for told in figures.values())),
        findings=tuple(finding for finding in findings if finding.text),
        sections=tuple(_sections(found, figures)),
        facts=tuple(_facts(found, campaign)),
        limits=LIMITS,
    )


def _figures(one: Standing) -> Mapping[str, Cell]:
    turns = max(1, one.turns)
    values = {
        "quality": one.quality,
        "waiting": one.first.mean,
        "waiting-p50": one.first.p50,
        "waiting-p95": one.first.p95,
        "waiting-p99": one.first.p99,
        "end-p95": one.end.p95,
        "switches": HUNDRED * one.switches / turns,
        "oom": float(one.out_of_memory),
        "killed": float(one.killed),
        "lost": float(one.lost),
        "faults": float(sum(one.faults.values())),
        "joules": one.joules,
        "cost": THOUSAND * one.cost,
        "worth": THOUSAND * one.utility,
        "regret": THOUSAND * one.regret,
    }
    return {key: Cell(value) for key, value in values.items()}


def _paired(beside: Mapping[str, Difference]) -> Mapping[str, Cell]:
    """Results hold the other less the first; here it is the first less the other."""
    return {key: _less(beside[name], factor) for name, (key, factor) in _PAIRED.items() if name in beside}


def _less(found: Difference, factor: float) -> Cell:
    mean, half = -factor * found.mean, factor * found.half
    return Cell(mean, mean - half, mean + half) if math.isfinite(half) else Cell(mean)


def _sections(found: Results, figures: Mapping[str, Mapping[str, Cell]]) -> Sequence[Section]:
    sections = [
        Section("What it takes, and what it brings", figures=(_quality_over_cost(figures), _waiting(found.overall))),
        Section("Over a day, and between models", figures=(_regret(found), _switches(figures))),
    ]
    for title, kind, groups in (
        ("Machine by machine", "machine", found.by_machine),
        ("Kind of day by kind of day", "workload", found.by_workload),
    ):
        if len(groups) > 1:
            plots = tuple(_in_groups(groups, kind, key) for key in ("quality", "worth"))
            sections.append(Section(title, figures=plots, tables=tuple(_tables(groups)), details=True))
    return sections


def _quality_over_cost(figures: Mapping[str, Mapping[str, Cell]]) -> Figure:
    costs = [told["cost"].value for told in figures.values()]
    return Figure(
        key="quality-over-cost",
        title="Quality over cost",
        caption="Each mark is a strategy. Higher is better answers, further left is less waiting and electricity: "
        "whoever is above and to the left of another is better in both.",
        kind=Kind.POINTS,
        x=Axis("cost: waiting and electricity, money for 1,000 turns", log=_far_apart(costs)),
        y=Axis("quality of answers"),
        series=tuple(
            Series(name, ((told["cost"].value, told["quality"].value),), place)
            for place, (name, told) in enumerate(figures.items())
        ),
    )


def _far_apart(values: Sequence[float]) -> bool:
    return min(values) > 0.0 and max(values) > FAR * min(values)


def _waiting(group: Group) -> Figure:
    return Figure(
        key="waiting",
        title="Waiting for the first word",
        caption="From what half of all turns do not exceed (left), over 19 of 20, to 99 of 100 (right). Short and far "
        "to the left is best. Each line of the grid that carries a number is ten times the one before.",
        kind=Kind.RANGES,
        x=Axis("seconds until the first word", log=True),
        rows=tuple(one.name for one in group.standings),
        series=tuple(
            Series(one.name, tuple((max(wait, 0.01), row) for wait in (one.first.p50, one.first.p95, one.first.p99)), i)
            for i, one in enumerate(group.standings)
            for row in (float(i),)
        ),
    )


def _regret(found: Results) -> Figure:
    def points(one: Standing) -> tuple[tuple[float, float], ...]:
        summed = (0.0, *one.regret_over_time)
        turns = found.turns / max(1, len(one.regret_by_part))
        return tuple((turns * i, turns * told) for i, told in enumerate(summed))

    return Figure(
        key="regret",
        title="Regret over time",
        caption="What a clairvoyant would have had more, summed up from the first turn of a run to its last. The "
        "flatter the better; a line that bends down has learnt something.",
        kind=Kind.LINES,
        x=Axis("turns since the start"),
        y=Axis("regret so far, money"),
        series=tuple(Series(one.name, points(one), i) for i, one in enumerate(found.overall.standings)),
    )


def _switches(figures: Mapping[str, Mapping[str, Cell]]) -> Figure:
    return Figure(
        key="switches",
        title="Switches",
        caption="How often in a hundred turns the answer comes from another model than the one before.",
        kind=Kind.BARS,
        x=Axis("switches in 100 turns"),
        rows=tuple(figures),
        series=tuple(
            Series(name, ((told["switches"].value, float(i)),), i) for i, (name, told) in enumerate(figures.items())
        ),
    )


def _in_groups(groups: Mapping[str, Group], kind: str, key: str) -> Figure:
    told = {name: {one.name: _figures(one)[key].value for one in group.standings} for name, group in groups.items()}
    names = [one.name for one in next(iter(groups.values())).standings]
    what = {"quality": "quality of answers", "worth": "worth: answers less their cost, money for 1,000 turns"}[key]
    return Figure(
        key=f"{key}-by-{kind}",
        title=f"{key.capitalize()} by {kind}",
        caption=f"One row for each {kind}, one mark for each strategy; further right is better.",
        kind=Kind.DOTS,
        x=Axis(what),
        rows=tuple(groups),
        series=tuple(
            Series(name, tuple((told[group][name], float(row)) for row, group in enumerate(groups)), place)
            for place, name in enumerate(names)
        ),
    )


def _tables(groups: Mapping[str, Group]) -> Sequence[Table]:
    return [
        Table(
            IN_GROUPS,
            tuple(Row(one.name, tuple(_figures(one)[key] for key in IN_GROUPS)) for one in group.standings),
            name,
        )
        for name, group in groups.items()
    ]


def _facts(found: Results, campaign: Campaign) -> Sequence[tuple[str, str]]:
    machines, workloads = list(found.by_machine), list(found.by_workload)
    limits = campaign.limits
    runs = f"{found.overall.worlds:,} worlds of {found.turns:,} turns each, the same for every strategy"
    return [
        ("Machines", "; ".join(_machine(MACHINES[name]) for name in machines)),
        ("Days", "; ".join(_workload(WORKLOADS[name]) for name in workloads)),
        ("Runs", f"{runs}; seeds {', '.join(map(str, found.seeds))}"),
        (
            "Prices",
            f"{limits.price_hour:g} for an hour of waiting, {limits.price_kwh:g} for a kilowatt hour, and a good "
            f"answer is worth {1.0 / campaign.seconds_value:,.0f} seconds of waiting"
            if campaign.seconds_value
            else f"{limits.price_hour:g} for an hour of waiting, {limits.price_kwh:g} for a kilowatt hour",
        ),
    ]


def _machine(machine: MachineSpec) -> str:
    gpus = "".join(
        f", {gpu.total / GIB:.0f} GiB {'of it for a GPU' if gpu.kind.value == 'unified' else 'GPU'}"
        for gpu in machine.gpus
    )
    return f"{machine.name} ({machine.ram / GIB:.0f} GiB, {machine.cores} cores{gpus})"


def _workload(workload: Workload) -> str:
    mix = ", ".join(f"{share:.0%} {kind.value}" for kind, (share, _, _) in workload.mix.items())
    people = f"{workload.users} people; " if workload.users > 1 else ""
    return f"{workload.name} ({people}{mix})"
