"""A course of turns, played without an engine: what is loaded stays where there is room, and others come and go.

What was waited for is judged by what happened in memory, not by what the policy says of itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import floor, log2

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from mai_core.policy.decision import Vote, decide
from mai_core.policy.features import TaskFeatures
from mai_core.policy.kinds import TaskKind
from mai_core.policy.models import LoadedModel, ModelProfile
from mai_core.policy.resources import Cpu, Host, MemoryPool, PoolKind, Pressure, ResourceSnapshot
from mai_core.policy.selection import Candidate, Decision, Rung
from mai_core.policy.situation import Situation
from mai_core.policy.stability import StabilityRules, Switch, paid_switch

__all__ = ["TOTAL", "Course", "Turn", "bound", "follow", "turns"]

GIB = 2**30
TOTAL = 16 * GIB


@dataclass(frozen=True, slots=True)
class Turn:
    """What befalls the machine before one turn, and what that turn asks for.

    ``waits`` are seconds since the last one, ``others`` bytes taken by other programs, ``failing`` the places of models
    that are kept out.
    """

    waits: float
    others: int
    calm: float
    busy: float
    pressure: float
    kind: TaskKind
    difficulty: float
    prompt: int
    failing: tuple[int, ...] = ()


@dataclass
class Course:
    """What came of a sequence of turns: the moments of switches and of reloads that somebody waited for.

    up          moments of those of either that took more memory than before
    forced      loads because the model in use could not go on
    free        switches nobody waited for
    overdrawn   turns whose choice does not fit, in words
    """

    paid: list[float] = field(default_factory=list)
    reloads: list[float] = field(default_factory=list)
    up: list[float] = field(default_factory=list)
    forced: int = 0
    free: int = 0
    overdrawn: list[str] = field(default_factory=list)

    @property
    def most_in_an_hour(self) -> int:
        """Switches that were paid for within the worst hour."""
        return max((sum(start <= at < start + 3600.0 for at in self.paid) for start in self.paid), default=0)


def bound(rules: StabilityRules) -> int:
    """Switches somebody waits for within any hour, at most: see ``mai_core.policy.stability``."""
    return 1 + floor(log2(rules.horizon_turns / rules.seconds_value))


def turns(most: int, models: int = 0) -> SearchStrategy[list[Turn]]:
    """Up to ``most`` turns of an adversary; with a number of ``models``, any of these may be kept out for a turn."""
    share = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])
    failing = st.sampled_from([(), (), (), *((i,) for i in range(models))])
    return st.lists(
        st.builds(
            Turn,
            waits=st.sampled_from([0.0, 1.0, 20.0, 299.0, 301.0]),
            others=st.sampled_from([0, 2 * GIB, 8 * GIB, 13 * GIB, 15 * GIB, TOTAL]),
            calm=st.sampled_from([0.0, 10.0, 299.0, 301.0, float("inf")]),
            busy=share,
            pressure=share,
            kind=st.sampled_from(TaskKind),
            difficulty=share,
            prompt=st.sampled_from([10, 500, 6000, 30000]),
            failing=failing,
        ),
        min_size=2,
        max_size=most,
    )


def follow(
    models: Sequence[ModelProfile], course: Sequence[Turn], vote: Callable[[Turn], Vote], rules: StabilityRules
) -> Course:
    """Take the turns one after the other; what is loaded stays where there is room, except while there is trouble."""
    found, current, now = Course(), None, 0.0
    resident: dict[str, LoadedModel] = {}
    history: tuple[Switch, ...] = ()
    for turn in course:
        now += turn.waits
        if turn.calm <= 0.0:
            resident = {key: loaded for key, loaded in resident.items() if key == current}
        decision = decide(_situation(models, turn, resident, now, current, history), vote(turn), rules=rules)
        chosen = decision.candidate(decision.choice)
        if chosen is None:
            continue
        _judge(found, decision, chosen, resident, now)
        if (switch := paid_switch(decision, now)) is not None:
            history = (*history, switch)
        if not _served(chosen, resident):
            _check(found, chosen, TOTAL - min(turn.others, TOTAL - _private(resident)), now)
            resident.pop(chosen.key, None)
            if chosen.footprint.ram + sum(m.footprint.ram for m in resident.values()) > TOTAL - turn.others:
                resident = {}
            resident[chosen.key] = LoadedModel(
                instance=chosen.key,
                key=chosen.key,
                backend=chosen.backend,
                plan=chosen.plan,
                footprint=chosen.footprint,
            )
        current = chosen.key
    return found


def _situation(
    models: Sequence[ModelProfile],
    turn: Turn,
    resident: dict[str, LoadedModel],
    now: float,
    current: str | None,
    history: tuple[Switch, ...],
) -> Situation:
    pool = MemoryPool("ram", PoolKind.RAM, TOTAL, max(0, TOTAL - turn.others - _private(resident)))
    host = Host(pools=(pool,), cpu=Cpu(8, turn.busy), pressure=Pressure(turn.pressure, turn.pressure))
    return Situation(
        models=tuple(models),
        snapshot=ResourceSnapshot((host,), now, turn.calm),
        features=TaskFeatures(
            kind=turn.kind, difficulty=turn.difficulty, prompt_tokens=turn.prompt, new_tokens=min(100, turn.prompt)
        ),
        loaded=tuple(resident.values()),
        current=current,
        history=history,
        health={models[i].key: 0.0 for i in turn.failing if i < len(models)},
    )


def _served(chosen: Candidate, resident: dict[str, LoadedModel]) -> bool:
    return chosen.key in resident and resident[chosen.key].plan.serves(chosen.plan)


def _private(resident: dict[str, LoadedModel]) -> int:
    """Bytes nobody else can have taken."""
    return sum(loaded.footprint.anonymous for loaded in resident.values())


def _check(found: Course, chosen: Candidate, left: int, now: float) -> None:
    """Idle models may all leave, so what others left is what there is; the last rung counts private memory alone."""
    wanted = chosen.footprint.anonymous if chosen.rung is Rung.SLOW else chosen.footprint.ram
    if wanted > left:
        found.overdrawn.append(f"at {now:.0f} s {chosen.key} wants {wanted / GIB:.2f} GiB of {left / GIB:.2f} GiB")


def _judge(found: Course, decision: Decision, chosen: Candidate, resident: dict[str, LoadedModel], now: float) -> None:
    mine = decision.candidate(decision.current)
    if decision.current is None or (chosen.key == decision.current and _served(chosen, resident)):
        return
    if mine is None:
        found.forced += not _served(chosen, resident)
        return
    if _served(chosen, resident) and chosen.prefill_seconds - mine.prefill_seconds < 1.0:
        found.free += 1
        return
    reloads = chosen.key == decision.current
    (found.reloads if reloads else found.paid).append(now)
    if reloads or chosen.footprint.total > mine.footprint.total:
        found.up.append(now)
