"""Who competes: strategies under the core's guard, by themselves and together, and simple ones to hold them against."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mai_core.bench.simulator.learners import LEARNERS
from mai_core.errors import PluginError
from mai_core.plugin.ballots import ask
from mai_core.plugin.finding import find_strategy
from mai_core.plugin.interfaces import SelectionStrategy
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.arbitration import ARBITERS
from mai_core.policy.decision import Vote
from mai_core.policy.remembering import remembered
from mai_core.policy.selection import Ballot, Proposal, SelectionRequest
from mai_core.policy.stability import StabilityRules

__all__ = ["BASELINES", "Contestant", "Fixed", "Voters", "contestant"]

REMEMBERED = 100_000
"""Requests of which a strategy's answer is kept."""

NO_STABILITY = StabilityRules(
    margin=0.0, horizon_turns=1, up_after_seconds=0.0, seconds_value=0.0, spare=-1.0, remember_seconds=0.0
)


@dataclass(frozen=True)
class Fixed:
    """One model whatever is asked; another only where it cannot run."""

    name: ClassVar[str] = "fixed"
    model: str = ""

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        """All or, where it is missing, a little by quality."""
        return [Proposal(c.key, 1.0 if c.key == self.model else 0.1 * c.quality) for c in request.candidates]


@dataclass(frozen=True)
class Smallest:
    """Whatever takes least."""

    name: ClassVar[str] = "smallest"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        """Falls with size."""
        return [Proposal(c.key, 1.0 / (1.0 + c.footprint.total / 2**30)) for c in request.candidates]


@dataclass(frozen=True)
class Largest:
    """Whatever takes most and is said to fit."""

    name: ClassVar[str] = "largest"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        """Grows with size."""
        return [Proposal(c.key, 1.0 - 1.0 / (1.0 + c.footprint.total / 2**30)) for c in request.candidates]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """How models are chosen. A plain value, so that it can be sent to another process.

    strategies   names with their options, as in the settings; those of ``BASELINES`` among them
    learner      who of ``LEARNERS`` weighs their votes, turn by turn; nobody where it is empty
    blind        is not told what other programs hold, and keeps no headroom: what the core's guard is there against
    """

    name: str
    strategies: tuple[tuple[str, Mapping[str, Any]], ...]
    arbiter: str = "vote"
    learner: str = ""
    rules: StabilityRules = field(default_factory=StabilityRules)
    blind: bool = False


_BUILT: Mapping[str, Callable[..., SelectionStrategy]] = {"smallest": Smallest, "largest": Largest, "fixed": Fixed}

BASELINES: Mapping[str, str] = {
    "smallest": "always the smallest model",
    "largest": "always the largest model that fits",
    "blind": "the largest model, whatever other programs hold: without the core's guard",
    "restless": "greedy-fit without stability: every turn anew",
    "exp4": "the arbiter that follows one strategy at a time, and learns from outcomes which",
    "follower": "whichever strategy did best lately, learnt from outcomes",
}
"""Who comes with the simulator, beside every registered strategy and ``mai``: all that the settings name, together."""


def contestant(
    name: str,
    *,
    together: Sequence[str],
    arbiter: str,
    rules: StabilityRules,
    options: Mapping[str, Mapping[str, Any]],
    registered: Sequence[str],
) -> Contestant:
    """Who is meant by ``name``; ``together`` are the strategies that ``mai`` stands for. Raises ``PluginError``."""
    if name == "mai":
        chosen = tuple((each, options.get(each, {})) for each in together)
        return Contestant(name=name, strategies=chosen, arbiter=arbiter, rules=rules)
    if name in LEARNERS:
        experts = tuple((each, options.get(each, {})) for each in together)
        order = name if name in ARBITERS else "vote"
        return Contestant(name=name, strategies=experts, arbiter=order, learner=name, rules=rules)
    if name == "blind":
        return Contestant(name=name, strategies=(("largest", {}),), rules=rules, blind=True)
    if name == "restless":
        return Contestant(name=name, strategies=(("greedy-fit", {}),), rules=NO_STABILITY)
    if name.startswith("fixed:"):
        return Contestant(name=name, strategies=(("fixed", {"model": name.removeprefix("fixed:")}),), rules=rules)
    if name not in _BUILT and name not in registered and ":" not in name:
        raise PluginError(
            f"there is no strategy {name!r}", remedy=f"there are {', '.join(sorted({*registered, *BASELINES, 'mai'}))}"
        )
    return Contestant(name=name, strategies=((name, options.get(name, {})),), rules=rules)


@dataclass(slots=True)
class Voters:
    """The strategies that are asked in one world. Each judges a request once, whoever competes by it."""

    registry: PluginRegistry
    _found: dict[str, Callable[[SelectionRequest], Ballot]] = field(default_factory=dict)

    def of(self, chosen: Contestant) -> Vote:
        """Asks the contestant's strategies. Raises ``PluginError``."""
        voters = [self._voter(name, options) for name, options in chosen.strategies]
        return lambda request: [voter(request) for voter in voters]

    def _voter(self, name: str, options: Mapping[str, Any]) -> Callable[[SelectionRequest], Ballot]:
        mark = json.dumps([name, options], sort_keys=True, default=str)
        if mark not in self._found:
            strategy = self._strategy(name, options)

            @remembered(REMEMBERED)
            def asked(request: SelectionRequest) -> Ballot:
                known = frozenset([c.key for c in request.candidates])
                return ask(strategy, 1.0, request, known=known, clock=_timeless, budget_seconds=1.0)

            self._found[mark] = asked
        return self._found[mark]

    def _strategy(self, name: str, options: Mapping[str, Any]) -> SelectionStrategy:
        if name in _BUILT:
            return _BUILT[name](**options)
        return find_strategy(self.registry, name, dict(options))


def _timeless() -> float:
    """In a simulation thinking takes no time, so that what was decided does not depend on the clock."""
    return 0.0
