"""A comparison that is asked for: who competes in which worlds, on which tables, by which laws; and what came."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mai_core.bench.report.comparison import Comparison, Contestant, Origin
from mai_core.bench.report.lawful import lawful
from mai_core.bench.report.replayed import replayed
from mai_core.bench.report.simulated import simulated
from mai_core.bench.simulator.contestants import BASELINES
from mai_core.bench.simulator.results import results
from mai_core.cli.bench.lawtrial import require_laws, tried
from mai_core.cli.bench.simulate import ALL, campaign_of, played
from mai_core.cli.bench.tabled import on_tables
from mai_core.plugin.finding import find_strategy

if TYPE_CHECKING:
    from mai_core.bench.replay.result import Replayed
    from mai_core.bench.simulator.campaign import Campaign
    from mai_core.bench.simulator.results import Results
    from mai_core.cli.invocation import Invocation
    from mai_core.plugin.registry import PluginRegistry

__all__ = ["IN_WORLDS", "Contest", "Ran"]

IN_WORLDS = 100
"""Generated worlds in which each law is tried, as in ``mai bench check``."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A comparison, and the results it is made of."""

    comparison: Comparison
    simulation: Results
    replays: Sequence[Replayed]

    def to_json(self) -> dict[str, Any]:
        """Plain values: the comparison, and under keys of their own what each source tells itself."""
        sources = {"simulation": self.simulation.to_json(), "replays": [found.to_json() for found in self.replays]}
        return {**self.comparison.to_json(), **sources}


@dataclass(frozen=True, kw_only=True)
class Contest:
    """What is to be compared: contestants with their ideas, worlds, tables, and laws in ``law_worlds`` if any."""

    invocation: Invocation
    registry: PluginRegistry
    competing: Mapping[str, str]
    campaign: Campaign
    tables: Sequence[Path]
    law_worlds: int

    @classmethod
    def of(
        cls,
        invocation: Invocation,
        registry: PluginRegistry,
        names: Sequence[str],
        *,
        machines: Sequence[str],
        workloads: Sequence[str],
        turns: int,
        seeds: Sequence[int],
        tables: Sequence[Path],
        law_worlds: int,
    ) -> Self:
        """What is asked for, under this person's settings. Raises ``PluginError`` and ``typer.BadParameter``."""
        competing = _competing(names, registry, invocation.settings.settings.selection.options)
        if law_worlds:
            require_laws(list(competing), registry)
        return cls(
            invocation=invocation,
            registry=registry,
            competing=competing,
            campaign=campaign_of(invocation, registry, list(competing), machines, workloads, turns, seeds),
            tables=tables,
            law_worlds=law_worlds,
        )

    @property
    def seed(self) -> int:
        """That of the first world, and of everything else that is drawn."""
        return self.campaign.cells[0].seed

    def run(self, *, jobs: int, resume: Path | None) -> Ran:
        """Simulate, replay and try; tables are read first. Raises ``TableError`` and ``PluginError``."""
        names, given = list(self.competing), (self.invocation, self.registry)
        replays = on_tables(*given, names, self.tables, seed=self.seed, jobs=jobs, resume=resume)
        simulation = results(self.campaign, played(self.campaign, self.registry, jobs, resume))
        found = [run() for run in replays]
        places = {name: place for place, name in enumerate(names)}
        parts = [simulated(simulation, self.campaign)]
        parts += [replayed(one, places, alone=len(found) == 1) for one in found]
        if self.law_worlds:
            laws = tried(*given, names, worlds=self.law_worlds, seed=self.seed, jobs=jobs)
            parts.append(lawful(laws, worlds=self.law_worlds))
        contestants = tuple(Contestant(name, idea) for name, idea in self.competing.items())
        origin = Origin(self.command, _version(), self.seed, simulation.digest)
        return Ran(Comparison(contestants, origin, tuple(parts)), simulation, found)

    @property
    def command(self) -> str:
        """What makes the same comparison again, whatever is chosen where nothing is said."""
        cells = self.campaign.cells
        machines, workloads, seeds = (
            list(dict.fromkeys(told)) for told in zip(*((c.machine, c.workload, c.seed) for c in cells), strict=True)
        )
        words = ["mai", "bench", "compare", *self.competing]
        words += ["--machine", ",".join(machines), "--workload", ",".join(workloads)]
        words += ["--turns", str(self.campaign.turns), "--seeds", str(len(seeds)), "--seed", str(self.seed)]
        for table in self.tables:
            words += ["--table", str(table)]
        return shlex.join([*words, "--laws"] if self.law_worlds else words)


def _competing(
    names: Sequence[str], registry: PluginRegistry, options: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, str]:
    """Who competes, each once, with its idea in a line."""
    everybody = {
        "mai": "all that the settings name, together",
        **{n: _idea(c) for n, c in registry.strategies().items()},
    }
    known = {**BASELINES, **everybody}
    competing: dict[str, str] = {}
    for name in names:
        if name == ALL:
            competing = {**competing, **{one: idea for one, idea in everybody.items() if one not in competing}}
        elif name.startswith("fixed:"):
            competing[name] = "always this model, where it can run"
        elif name not in known and ":" in name:
            competing[name] = _idea(type(find_strategy(registry, name, options.get(name, {}))))
        else:
            competing[name] = known.get(name, "")
    return competing


def _idea(cls: type[object]) -> str:
    return ((cls.__doc__ or "").strip().splitlines() or [""])[0]


def _version() -> str:
    from mai_core import __version__

    return __version__
