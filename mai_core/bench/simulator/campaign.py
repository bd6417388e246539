"""Many runs: every contestant in the same worlds, on all cores, and from where it was left."""

from __future__ import annotations

import gc
import hashlib
import json
import multiprocessing
import random
import signal
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import tee
from pathlib import Path
from typing import Any

from mai_core.bench.simulator.asking import Asking
from mai_core.bench.simulator.choosing import Chooser
from mai_core.bench.simulator.contestants import Contestant, Voters
from mai_core.bench.simulator.inventory import installed
from mai_core.bench.simulator.learners import LEARNERS
from mai_core.bench.simulator.ledger import Ledger
from mai_core.bench.simulator.machines import MACHINES
from mai_core.bench.simulator.memory import Memory, Shown
from mai_core.bench.simulator.oracle import Prices, ceilings
from mai_core.bench.simulator.programs import PROGRAMS, held_by_others
from mai_core.bench.simulator.simulation import Simulation
from mai_core.bench.simulator.tally import Tally
from mai_core.bench.simulator.truth import draw_truth
from mai_core.bench.simulator.workloads import WORKLOADS, turns_of
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.feasibility import Limits
from mai_core.policy.models import KnownModel

__all__ = ["Campaign", "Cell", "Outcome", "run_cell", "run_cells"]

VERSION = 8
"""Grows when the same cell would come out differently, so that nothing old is taken for new."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One world: a machine with a hidden truth, a day of turns, other programs."""

    machine: str
    workload: str
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What is simulated. A plain value, so that it can be sent to another process."""

    contestants: tuple[Contestant, ...]
    cells: tuple[Cell, ...]
    turns: int = 2000
    limits: Limits = field(default_factory=Limits)
    seconds_value: float = 0.005
    preloads: bool = True
    idle_seconds: float = 1800.0
    known: tuple[KnownModel, ...] = field(default=(), repr=False)
    blocked: tuple[str, ...] = ()
    remembers: bool = True

    @property
    def digest(self) -> str:
        """Tells apart what comes out differently; which cells there are does not matter."""
        said = asdict(self) | {"cells": None, "remembers": None, "version": VERSION}
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=_plain).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of each contestant in one world, by name."""

    cell: Cell
    tallies: Mapping[str, Tally]

    def to_json(self) -> dict[str, Any]:
        """Plain values that ``of_json`` reads."""
        return {"cell": asdict(self.cell), "tallies": {name: t.to_json() for name, t in self.tallies.items()}}

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Outcome:
        """What ``to_json`` gave."""
        return cls(Cell(**data["cell"]), {name: Tally.of_json(t) for name, t in data["tallies"].items()})


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """A world keeps all it remembers to its end: looking for garbage in it takes a sixth of the time and finds none."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@_nothing_to_collect()
def run_cell(campaign: Campaign, cell: Cell, registry: PluginRegistry) -> Outcome:
    """Every contestant in one world. What is drawn depends on the cell alone, never on who competes."""
    machine, workload = MACHINES[cell.machine], WORKLOADS[cell.workload]
    models = installed(machine, campaign.known)
    truth = draw_truth(machine, models, _draw(cell, "truth"), changes=workload.turns_at > 0.0)
    turns = tuple(turns_of(workload, campaign.turns, _draw(cell, "turns")))
    limits = _limits(campaign, cell)
    prices = Prices.of(limits, campaign.seconds_value)
    late_from = round(workload.turns_at * len(turns)) if workload.turns_at else len(turns)
    tops = ceilings(turns, workload.asked, truth, limits, prices, late_from)
    bare = Limits(headroom=0.0, headroom_min=0, headroom_max=0, window=limits.window)
    guarded, unguarded = Asking(truth, workload.asked, limits), Asking(truth, workload.asked, bare)
    tallies: dict[str, Tally] = {}
    states: dict[Hashable, Shown] = {}
    numbers: dict[Hashable, int] = {}
    others = held_by_others(PROGRAMS[workload.programs], machine, _draw(cell, "programs"))
    steps = tee(others, len(campaign.contestants))
    voters = Voters(registry)
    for one, held in zip(campaign.contestants, steps, strict=True):
        asking = unguarded if one.blind else guarded
        tallies[one.name] = Simulation(
            chooser=Chooser(
                asking,
                voters.of(one),
                one.arbiter,
                one.rules,
                campaign.remembers,
                LEARNERS[one.learner](_draw(cell, "learner").getrandbits(32)) if one.learner else None,
            ),
            memory=Memory(
                machine,
                asking.limits,
                next(held),
                blind=one.blind,
                states={} if one.blind else states,
                numbers=numbers,
            ),
            turns=turns,
            others=held,
            ledger=Ledger(prices, machine.power, tops),
            late_from=late_from,
            preloads=campaign.preloads,
            idle_seconds=campaign.idle_seconds,
        ).run()
    return Outcome(cell, tallies)


def run_cells(
    campaign: Campaign, *, jobs: int = 1, resume: Path | None = None, registry: PluginRegistry | None = None
) -> Iterator[Outcome]:
    """Every cell, as each is done. What ``resume`` holds of this very campaign is not run again, and told first.

    With several ``jobs`` plugins are found anew in each process; ``registry`` serves one alone.
    """
    done: set[Cell] = set()
    for outcome in _kept(campaign, resume):
        if outcome.cell in campaign.cells and outcome.cell not in done:
            done.add(outcome.cell)
            yield outcome
    left = [cell for cell in campaign.cells if cell not in done]
    for outcome in _run(campaign, left, jobs, registry):
        if resume is not None:
            _keep(campaign, resume, outcome)
        yield outcome


def _run(campaign: Campaign, cells: Sequence[Cell], jobs: int, registry: PluginRegistry | None) -> Iterator[Outcome]:
    if jobs <= 1 or len(cells) <= 1:
        found = registry or PluginRegistry.discover(blocked=campaign.blocked)
        for cell in cells:
            yield run_cell(campaign, cell, found)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(jobs, len(cells)), _prepare, (campaign,)) as pool:
        yield from pool.imap_unordered(_run_in_process, cells)


_prepared: tuple[Campaign, PluginRegistry] | None = None
"""What a process of the pool works with, set once at its start."""


def _prepare(campaign: Campaign) -> None:
    global _prepared
    # Ctrl-C reaches every process of a terminal; the one that was asked ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _prepared = campaign, PluginRegistry.discover(blocked=campaign.blocked)


def _run_in_process(cell: Cell) -> Outcome:
    assert _prepared is not None
    campaign, registry = _prepared
    return run_cell(campaign, cell, registry)


def _plain(value: object) -> object:
    """What JSON does not know, the same in every process: the order of a set is not."""
    return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)


def _limits(campaign: Campaign, cell: Cell) -> Limits:
    """The person's settings, with what their machine draws."""
    return replace(campaign.limits, watts=MACHINES[cell.machine].power)


def _draw(cell: Cell, what: str) -> random.Random:
    return random.Random(f"{cell.machine} {cell.workload} {cell.seed} {what}")


def _kept(campaign: Campaign, file: Path | None) -> Iterator[Outcome]:
    """What a file holds of this campaign; a line cut off by an end in between is none."""
    if file is None or not file.exists():
        return
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            data = json.loads(line)
        except ValueError:
            continue
        if data.get("campaign") == campaign.digest:
            yield Outcome.of_json(data)


def _keep(campaign: Campaign, file: Path, outcome: Outcome) -> None:
    """Append a line of its own, also to a file whose last one was cut off."""
    file.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps({"campaign": campaign.digest, **outcome.to_json()}) + "\n"
    with file.open("ab+") as out:
        size = out.seek(0, 2)
        out.seek(max(0, size - 1))
        if out.read(1) not in (b"", b"\n"):
            line = "\n" + line
        out.write(line.encode())
