"""What a campaign found, as plain values: for tables, reports and other programs, with JSON in and out.

    found = results(campaign, list(run_cells(campaign, jobs=2)))
    best = max(found.overall.standings, key=lambda standing: standing.utility)
    text = json.dumps(found.to_json())
    assert Results.of_json(json.loads(text)) == found

Everything is by contestant over a group of worlds: all of them (``overall``), those of one machine (``by_machine``),
those of one workload (``by_workload``). Differences are to the first contestant of the campaign, in the same worlds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from types import MappingProxyType
from typing import Any, Self

from mai_core.bench.simulator.campaign import Campaign, Outcome
from mai_core.bench.simulator.comparing import Difference, paired, summed
from mai_core.bench.simulator.tally import Histogram, Tally

__all__ = ["METRICS", "Group", "Results", "Standing", "Waits", "results"]


def _a_turn(of: Callable[[Tally], float]) -> Callable[[Tally], float]:
    return lambda tally: of(tally) / max(1, tally.turns)


METRICS: Mapping[str, Callable[[Tally], float]] = MappingProxyType(
    {
        "quality": _a_turn(lambda t: t.quality),
        "first": lambda t: t.first.mean,
        "end": lambda t: t.end.mean,
        "switches": _a_turn(lambda t: float(t.switches)),
        "joules": _a_turn(lambda t: t.joules),
        "cost": _a_turn(lambda t: t.cost),
        "utility": _a_turn(lambda t: t.utility),
        "regret": _a_turn(lambda t: t.ceiling - t.utility),
    }
)
"""What contestants are compared by, each in the mean of a turn: see ``Standing`` for the units."""


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds from sending: mean, and what half, 95 % and 99 % of all turns do not exceed (to 2 %)."""

    mean: float
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, counted: Histogram) -> Self:
        """Those of all that was counted."""
        return cls(counted.mean, *(counted.percentile(share) for share in (0.50, 0.95, 0.99)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What became of one contestant in a group of worlds.

    quality         mean true probability of a good answer; ``good`` the share of answers that were
    first, end      waiting until the first token, and until the end of the answer
    switches        answers by another model than the one before; ``loads`` those that somebody waited for
    doubted         answers that a second model gave, as the first was not sure of its own
    out_of_memory   loads for which there was not the memory; ``killed`` models that others' memory cost their life
    joules, money   of electricity, in the mean of a turn; ``cost`` money and waiting together, ``utility`` what the
                    answer is worth less the cost, in the same currency
    regret          what the clairvoyant's utility exceeds that by, in the mean of a turn (see ``oracle``)
    regret_by_part  the same over time: in each of equal parts of a run, in the mean of its turns
    reward_by_part  likewise what a learner is told of its turns: see ``Learner``
    served          turns answered by each model; ``faults`` why strategies lost their vote, and how often
    beside          the difference to the first contestant in each of ``METRICS``, with its 95 % interval
    """

    name: str
    turns: int
    lost: int
    quality: float
    good: float
    first: Waits
    end: Waits
    switches: int
    loads: int
    prepared: int
    out_of_memory: int
    killed: int
    crashes: int
    doubted: int
    joules: float
    money: float
    cost: float
    utility: float
    regret: float
    regret_by_part: tuple[float, ...]
    reward_by_part: tuple[float, ...]
    served: Mapping[str, int]
    faults: Mapping[str, int]
    beside: Mapping[str, Difference]

    @property
    def regret_over_time(self) -> tuple[float, ...]:
        """Regret summed up to the end of each part, of a whole run of as many turns as parts."""
        return tuple(accumulate(self.regret_by_part))


@dataclass(frozen=True, slots=True)
class Group:
    """Everybody's standing in so many worlds, in the order of the campaign."""

    worlds: int
    standings: tuple[Standing, ...]

    def of(self, name: str) -> Standing:
        """That contestant's. Raises ``KeyError``."""
        for standing in self.standings:
            if standing.name == name:
                return standing
        raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What a campaign found. ``digest`` tells one campaign from another; ``turns`` are those of one world."""

    digest: str
    turns: int
    seeds: tuple[int, ...]
    first: str
    overall: Group
    by_machine: Mapping[str, Group]
    by_workload: Mapping[str, Group]

    def to_json(self) -> dict[str, Any]:
        """Plain values that ``of_json`` reads; an interval nobody can tell is null."""
        return {
            "campaign": self.digest,
            "turns": self.turns,
            "seeds": list(self.seeds),
            "first": self.first,
            "overall": _group_to_json(self.overall),
            "by_machine": {name: _group_to_json(group) for name, group in self.by_machine.items()},
            "by_workload": {name: _group_to_json(group) for name, group in self.by_workload.items()},
        }

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Self:
        """What ``to_json`` gave."""
        return cls(
            digest=data["campaign"],
            turns=data["turns"],
            seeds=tuple(data["seeds"]),
            first=data["first"],
            overall=_group_of_json(data["overall"]),
            by_machine={name: _group_of_json(group) for name, group in data["by_machine"].items()},
            by_workload={name: _group_of_json(group) for name, group in data["by_workload"].items()},
        )


def results(campaign: Campaign, outcomes: Sequence[Outcome]) -> Results:
    """The outcomes of a campaign put together; in which order they came does not matter."""
    order = {cell: place for place, cell in enumerate(campaign.cells)}
    ordered = sorted(outcomes, key=lambda outcome: order[outcome.cell])
    names = [one.name for one in campaign.contestants]
    return Results(
        digest=campaign.digest,
        turns=campaign.turns,
        seeds=tuple(sorted({outcome.cell.seed for outcome in ordered})),
        first=names[0],
        overall=_group(names, ordered),
        by_machine={k: _group(names, v) for k, v in _split(ordered, lambda o: o.cell.machine).items()},
        by_workload={k: _group(names, v) for k, v in _split(ordered, lambda o: o.cell.workload).items()},
    )


def _split(outcomes: Iterable[Outcome], by: Callable[[Outcome], str]) -> dict[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(by(outcome), []).append(outcome)
    return found


def _group(names: Sequence[str], outcomes: Sequence[Outcome]) -> Group:
    sums = summed(outcomes)
    return Group(len(outcomes), tuple(_standing(name, names[0], sums[name], outcomes) for name in names if outcomes))


def _standing(name: str, first: str, tally: Tally, outcomes: Sequence[Outcome]) -> Standing:
    turns = max(1, tally.turns)
    return Standing(
        name=name,
        turns=tally.turns,
        lost=tally.lost,
        quality=tally.quality / turns,
        good=tally.good / turns,
        first=Waits.of(tally.first),
        end=Waits.of(tally.end),
        switches=tally.switches,
        loads=tally.loads,
        prepared=tally.prepared,
        out_of_memory=tally.overdrawn,
        killed=tally.killed,
        crashes=tally.crashes,
        doubted=tally.doubted,
        joules=tally.joules / turns,
        money=tally.money / turns,
        cost=tally.cost / turns,
        utility=tally.utility / turns,
        regret=(tally.ceiling - tally.utility) / turns,
        regret_by_part=tuple(part * len(tally.regret) / turns for part in tally.regret),
        reward_by_part=tuple(part * len(tally.rewards) / turns for part in tally.rewards),
        served=dict(sorted(tally.served.items())),
        faults=dict(sorted(tally.faults.items())),
        beside={} if name == first else {m: paired(outcomes, name, first, of) for m, of in METRICS.items()},
    )


def _group_to_json(group: Group) -> dict[str, Any]:
    return {"worlds": group.worlds, "standings": [_standing_to_json(standing) for standing in group.standings]}


def _standing_to_json(standing: Standing) -> dict[str, Any]:
    beside = {
        metric: {"mean": d.mean, "half": d.half if math.isfinite(d.half) else None, "worlds": d.worlds}
        for metric, d in standing.beside.items()
    }
    return asdict(standing) | {"beside": beside}


def _group_of_json(data: Mapping[str, Any]) -> Group:
    return Group(data["worlds"], tuple(_standing_of_json(one) for one in data["standings"]))


def _standing_of_json(data: Mapping[str, Any]) -> Standing:
    beside = {
        metric: Difference(d["mean"], math.inf if d["half"] is None else d["half"], d["worlds"])
        for metric, d in data["beside"].items()
    }
    read = dict(data) | {
        "first": Waits(**data["first"]),
        "end": Waits(**data["end"]),
        "regret_by_part": tuple(data["regret_by_part"]),
        "reward_by_part": tuple(data["reward_by_part"]),
        "beside": beside,
    }
    return Standing(**read)
