"""``mai bench simulate --prove``: what Mai claims of its strategies, with the figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from mai_core.cli.invocation import Invocation
from mai_core.cli.output import ink, out, print_json

if TYPE_CHECKING:
    from mai_core.plugin.registry import PluginRegistry

__all__ = ["proved"]


def proved(
    invocation: Invocation,
    registry: PluginRegistry,
    machines: Sequence[str],
    turns: int,
    seeds: Sequence[int],
    jobs: int,
    *,
    as_json: bool,
) -> None:
    """Check every claim and print it. Exits with 1 where one does not hold."""
    from mai_core.bench.simulator.proofs import COST_AWARE, proofs
    from mai_core.cli.bench.simulate import campaign_of, contestant_of, played

    settings = invocation.settings.settings
    names = ["mai", *registry.strategies()]
    strategy = registry.strategy(COST_AWARE, dict(settings.selection.options.get(COST_AWARE, {})))
    claims = proofs(
        campaign_of(invocation, registry, names, machines, (), turns, seeds),
        machines,
        seeds,
        target=float(getattr(strategy, "target", 0.0)),
        made=lambda name: contestant_of(settings, registry, name),
        run=lambda campaign: played(campaign, registry, jobs),
    )
    if as_json:
        print_json({"claims": claims})
    else:
        for claim in claims:
            mark = ("holds", "green") if claim.holds else ("fails", "bold red")
            out().print(ink(mark, f"  {claim.claim}"))
            for figure in claim.figures:
                print(f"       {figure}")
    if not all(claim.holds for claim in claims):
        raise typer.Exit(1)
