"""Comparisons nobody has run, for what is made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mai_core.bench.replay.curves import Point
from mai_core.bench.replay.intervals import Interval
from mai_core.bench.replay.result import OUT_OF_FOLD, Replayed, Section, Single
from mai_core.bench.replay.result import Standing as Replay
from mai_core.bench.report.comparison import Comparison, Contestant, Origin
from mai_core.bench.report.replayed import replayed
from mai_core.bench.report.simulated import simulated
from mai_core.bench.simulator.campaign import Campaign, Cell
from mai_core.bench.simulator.comparing import Difference
from mai_core.bench.simulator.contestants import Contestant as Competing
from mai_core.bench.simulator.results import METRICS, Group, Results, Standing, Waits

EVIL = '<script>alert("1")</script>&amp;$x_2$'
CELLS = tuple(Cell(machine, "mixed", seed) for machine in ("laptop-8gb", "server") for seed in (1, 2))


def standing(name: str, **changed: Any) -> Standing:
    """Somebody of no distinction, but for what is ``changed``."""
    usual = Standing(
        name=name, turns=400, lost=0, quality=0.5, good=0.5, first=Waits(4.0, 1.0, 10.0, 20.0),
        end=Waits(8.0, 4.0, 30.0, 40.0), switches=40, loads=20, prepared=3, out_of_memory=0, killed=0, crashes=0,
        doubted=0, joules=100.0, money=0.001, cost=0.01, utility=0.02, regret=0.01,
        regret_by_part=(0.02, 0.005, 0.005, 0.01), reward_by_part=(0.5, 0.5, 0.5, 0.5),
        served={"tiny": 400}, faults={}, beside={},
    )  # fmt: skip
    return replace(usual, **changed)


def difference(**changed: tuple[float, float]) -> dict[str, Difference]:
    """What a standing is above the first one's: nothing, by some luck, but for what is ``changed``."""
    return {name: Difference(*changed.get(name, (0.0, 0.1)), 4) for name in METRICS}


def found(*standings: Standing) -> Results:
    group = Group(4, standings)
    half = Group(2, standings)
    return Results(
        digest="0123456789abcdef",
        turns=100,
        seeds=(1, 2),
        first=standings[0].name,
        overall=group,
        by_machine={"laptop-8gb": half, "server": half},
        by_workload={"mixed": group},
    )


def campaign(*names: str) -> Campaign:
    return Campaign(contestants=tuple(Competing(name=name, strategies=()) for name in names), cells=CELLS, turns=100)


def replay(*names: str, table: str = "school") -> Replayed:
    """Everybody a little above the hull, beside references."""
    points = (Point(1.0, 0.4), Point(3.0, 0.7))
    gap = Interval(0.02, 0.01, 0.03)
    figures = {"aiq": Interval(0.6, 0.58, 0.62), "over_hull": gap, "over_means": gap}
    competing = [Replay(name=name, points=points, settings=("a", "b"), **figures) for name in names]
    oracle = Replay(
        name="oracle", reference=True, points=(Point(0.5, 0.9),), settings=("",), accuracy=Interval(0.9, 0.8, 1.0)
    )
    return Replayed(
        table=table, unit="coins", prompts=80, tasks=2, folds=5, seed=1, rounds=100, weak="s", strong="l",
        models=(Single("s", 1.0, 0.4, True), Single("l", 3.0, 0.7, True)),
        sections=(Section(name=OUT_OF_FOLD, standings=(*competing, oracle)),),
    )  # fmt: skip


def comparison(*standings: Standing, tables: tuple[str, ...] = (), about: str = "") -> Comparison:
    names = [one.name for one in standings]
    places = {name: place for place, name in enumerate(names)}
    parts = [replayed(replay(*names, table=table), places, alone=len(tables) == 1) for table in tables]
    return Comparison(
        tuple(Contestant(name, about) for name in names),
        Origin(f"mai bench compare {' '.join(names)}", "1.2.3", 7, "0123456789abcdef"),
        (simulated(found(*standings), campaign(*names)), *parts),
    )


def two(**changed: tuple[float, float]) -> Comparison:
    """``mine`` beside ``yours``, who differs in what is ``changed``."""
    return comparison(standing("mine"), standing("yours", beside=difference(**changed)))
