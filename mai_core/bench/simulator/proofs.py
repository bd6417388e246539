"""What Mai claims of its strategies, checked in the simulator: each claim with the figures it stands on.

The same checks run small among the tests and in full by ``mai bench simulate --prove``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import mean

from mai_core.bench.simulator.campaign import Campaign, Cell, Outcome
from mai_core.bench.simulator.comparing import paired
from mai_core.bench.simulator.contestants import Contestant
from mai_core.bench.simulator.inventory import LARGEST, SMALLEST
from mai_core.bench.simulator.results import METRICS, Group, Standing, results
from mai_core.policy.experts import regret_bound

__all__ = ["Claim", "cheapest_that_suffices", "keeps_up", "nobody_runs_out_of_memory", "proofs"]

HARD = ("hungry-programs", "several-users", "long-contexts")
"""Workloads in which memory is short: others take it, several people want it, and conversations grow."""

USUAL = ("mixed", "chat-day")

CHANGING = "regime-change"
TRYING = 0.05
"""Of the reward of a turn: what it may cost to go on trying others."""

UNGUARDED = "blind"
GUARDED = ("smallest", "largest", "restless")
COST_AWARE = "cost-aware"
LEARNER = "exp4"
LEARNING_TURNS = 1000
"""Who learns is judged on days no shorter than this: half of them lie behind the change."""

Runner = Callable[[Campaign], Sequence[Outcome]]
Maker = Callable[[str], Contestant]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What is claimed, whether it holds, and the figures in a few lines."""

    name: str
    claim: str
    holds: bool
    figures: tuple[str, ...]


def proofs(
    plain: Campaign, machines: Sequence[str], seeds: Sequence[int], *, target: float, made: Maker, run: Runner
) -> list[Claim]:
    """Every claim, checked on these machines.

    ``plain`` has the settings, and the contestants under them: who learns has all of them that are one strategy as its
    experts. ``target`` is the quality cost-aware is to reach.
    """
    names = [one.name for one in plain.contestants]
    guarded = tuple(made(name) for name in dict.fromkeys((*names, *GUARDED)))
    hard = tuple(Cell(m, w, s) for m in machines for w in HARD for s in seeds)
    usual = tuple(Cell(m, w, s) for m in machines for w in USUAL for s in seeds)
    claims = [nobody_runs_out_of_memory(run(replace(plain, contestants=(*guarded, made(UNGUARDED)), cells=hard)))]
    if COST_AWARE in names:
        campaign = replace(plain, contestants=guarded, cells=usual)
        claims.append(cheapest_that_suffices(campaign, run(campaign), target))
    alone = tuple(one for one in plain.contestants if len(one.strategies) == 1)
    experts = [one.name for one in alone]
    learning = (replace(made(LEARNER), strategies=tuple(one.strategies[0] for one in alone)), *alone)
    changing = tuple(Cell(m, CHANGING, s) for m in machines for s in seeds)
    campaign = replace(plain, contestants=learning, cells=changing, turns=max(plain.turns, LEARNING_TURNS))
    claims.append(keeps_up(campaign, run(campaign), LEARNER, experts, lambda turns: _bound(turns, len(experts))))
    return claims


def _bound(turns: int, experts: int) -> float:
    """How much more than the best single expert may be lost, with any of the models a machine has."""
    return regret_bound(turns, experts, SMALLEST + LARGEST)


def nobody_runs_out_of_memory(outcomes: Sequence[Outcome]) -> Claim:
    """Under the core's guard no load begins for which there is not the memory; without it some do."""
    counted: dict[str, int] = {}
    turns = 0
    for outcome in outcomes:
        for name, tally in outcome.tallies.items():
            counted[name] = counted.get(name, 0) + tally.overdrawn
            turns += tally.turns if name != UNGUARDED else 0
    unguarded = counted.pop(UNGUARDED)
    return Claim(
        name="out-of-memory",
        claim="under the core's guard no strategy ever causes an out-of-memory event; without it one does",
        holds=not any(counted.values()) and unguarded > 0,
        figures=(
            f"{sum(counted.values())} in {turns:,} turns of {', '.join(counted)}",
            f"{unguarded} of {UNGUARDED}, in the same worlds",
        ),
    )


def cheapest_that_suffices(campaign: Campaign, outcomes: Sequence[Outcome], target: float) -> Claim:
    """Over all these machines together cost-aware reaches its target, and whoever else does costs more.

    Cost is money and waiting in the mean of a turn; differences are paired by world. On one machine alone another may
    be as cheap: where one model is both better and cheaper than every other, whoever always takes it never switches.
    """
    found = results(campaign, outcomes)
    own = found.overall.of(COST_AWARE)
    figures = [
        f"{COST_AWARE}: quality {own.quality:.3f}, cost {_thousandths(own.cost)} a turn; the target is {target:g}"
    ]
    holds = own.quality >= target
    for one in found.overall.standings:
        if one.name == COST_AWARE:
            continue
        if one.quality < target:
            figures.append(f"{one.name}: quality {one.quality:.3f} is below the target")
            continue
        more = paired(outcomes, one.name, COST_AWARE, METRICS["cost"])
        holds = holds and more.mean > 0.0
        told = f"{_thousandths(more.mean)} ± {_thousandths(more.half)} more a turn"
        figures.append(f"{one.name}: quality {one.quality:.3f}, costs {told}")
    for machine, group in found.by_machine.items():
        mine = group.of(COST_AWARE)
        if mine.quality < target:
            figures.append(f"on {machine} alone {COST_AWARE} reached {mine.quality:.3f}")
            continue
        others = [one for one in group.standings if one.quality >= target and one.cost < mine.cost]
        if others:
            told = ", ".join(f"{one.name} ({_thousandths(mine.cost - one.cost)})" for one in others)
            figures.append(f"on {machine} alone it was reached for less than {_thousandths(mine.cost)} by {told}")
    return Claim(
        name="cost-aware",
        claim="over these machines together cost-aware reaches its quality target at the lowest cost of all that do",
        holds=holds,
        figures=tuple(figures),
    )


def keeps_up(
    campaign: Campaign, outcomes: Sequence[Outcome], learner: str, experts: Sequence[str], bound: Callable[[int], float]
) -> Claim:
    """On every machine a learner earns at most ``bound`` of so many turns less than the best of its experts alone.

    What is earned are rewards (see ``Learner``), and every world has a bound of its own. Where something changes in
    the middle of a run, it also has to recover: of what whoever was best before earns less in the last quarter than
    whoever is best then, it has made up for half, or lacks no more than what trying others costs.
    """
    found, holds = results(campaign, outcomes), True
    figures: list[str] = []
    for machine, group in found.by_machine.items():
        best = max((group.of(name) for name in experts), key=_earned)
        less, most = _earned(best) - _earned(group.of(learner)), group.worlds * bound(campaign.turns)
        holds = holds and less <= most
        figures.append(f"{machine}: {less:+.1f} behind {best.name} in {best.turns} turns; the bound is {most:.1f}")
    if (changed := found.by_workload.get(CHANGING)) is not None:
        parts = len(changed.of(learner).reward_by_part)
        before, last = slice(0, parts // 2), slice(parts - parts // 4, parts)
        was = max(experts, key=lambda name: _reward(changed, name, before))
        now = max(experts, key=lambda name: _reward(changed, name, last))
        old, new, own = (_reward(changed, name, last) for name in (was, now, learner))
        holds = holds and new - own <= max(TRYING, (new - old) / 2)
        told = f"{was}, the best before, earns {old:.3f} a turn, {now} {new:.3f}, {learner} {own:.3f}"
        figures.append(f"in the last quarter, long after the change: {told}")
    return Claim(
        name=learner,
        claim=f"{learner} ends within its bound of the best strategy on every machine, and recovers after a change",
        holds=holds,
        figures=tuple(figures),
    )


def _earned(standing: Standing) -> float:
    return sum(standing.reward_by_part) / len(standing.reward_by_part) * standing.turns


def _reward(group: Group, name: str, parts: slice) -> float:
    """What a turn in these parts of the runs earned, in the mean."""
    return mean(group.of(name).reward_by_part[parts])


def _thousandths(money: float) -> str:
    return f"{1000.0 * money:.2f}/1000"
