"""Contestants of a simulation beside each other, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mai_core.cli.output import print_table, seconds
from mai_core.cli.tables import table

if TYPE_CHECKING:
    from rich.table import Table

    from mai_core.bench.simulator.comparing import Difference
    from mai_core.bench.simulator.results import Group, Results

__all__ = ["show"]

THOUSAND = 1000.0


def show(found: Results, by: str = "") -> None:
    """One table, or one for each machine or workload; worth, cost and regret are money for a thousand turns."""
    groups = {"machine": found.by_machine, "workload": found.by_workload}.get(by, {"": found.overall})
    for name, group in groups.items():
        if name:
            print(name)
        print_table(_view(group, found.first))
        print()


def _view(group: Group, first: str) -> Table:
    numbers = (
        *("Quality", "First p50", "p95", "p99", "End p95", "Switches", "No memory", "Killed", "Lost", "J", "Cost"),
        *("Worth", "Regret", f"beside {first}"),
    )
    made = table(
        *("Strategy", *numbers),
        right=numbers,
        drop=("Killed", "End p95", "Lost", "p99", "J", "p95", "Cost", "Worth"),
    )
    for one in group.standings:
        beside = one.beside.get("utility")
        made.add_row(
            one.name,
            f"{one.quality:.3f}",
            *(seconds(wait) for wait in (one.first.p50, one.first.p95, one.first.p99, one.end.p95)),
            f"{100.0 * one.switches / max(1, one.turns):.1f} %",
            *(str(count) for count in (one.out_of_memory, one.killed, one.lost)),
            f"{one.joules:.0f}",
            *(f"{THOUSAND * money:.2f}" for money in (one.cost, one.utility, one.regret)),
            _told(beside) if beside else "",
        )
    return made


def _told(beside: Difference) -> str:
    """A difference with half its interval, which one world alone does not tell."""
    mean = f"{THOUSAND * beside.mean:+.2f}"
    return f"{mean} ± {THOUSAND * beside.half:.2f}" if beside.worlds > 1 else mean
