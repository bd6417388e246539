"""When a better model is worth the switch: down at once, up after calm, sideways never for noise, and never in a row.

**The bound.** A switch is *forced* when the model in use cannot serve the turn, *free* when the other one is in memory
and has little to read, and *paid for* otherwise: somebody waits for a load, or for a conversation to be read. With
every switch paid for in the last hour the horizon over which the next has to repay itself is halved, because whoever
was switched away so often will be again soon. A gain is at most 1 and a paid switch costs a second at least, so over
any sequence of turns, machines and pressures, at most

    1 + floor(log2(horizon_turns / seconds_value))        (11 with the default rules)

switches are paid for within any hour, and of those that take more memory than before, reloads of the same model with
more of it included, at most one in ``up_after_seconds``. Those forced by a lack of memory only ever go to smaller
models, so there are fewer of them than models between two others. The law is in
``tests/properties/test_stability_laws.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mai_core.policy.selection import Candidate, Decision, Move, Ranked

__all__ = ["StabilityRules", "Switch", "paid_switch", "settle", "was_up_lately"]

LEAST_PAID_SECONDS = 1.0
"""What is loaded takes a process to start; what less than this is read costs nothing worth counting."""


class Switch(NamedTuple):
    """A switch, or a reload of the same model with more, that was paid for ``at`` that moment.

    ``up`` when it took more memory than before.
    """

    at: float
    key: str
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StabilityRules:
    """What a switch has to be worth.

    margin             utility by which another model must lead at all
    horizon_turns      turns over which the gain is counted
    up_after_seconds   calm needed before more memory is taken than now
    seconds_value      utility a second of waiting costs
    spare              share of memory that must remain free beyond the headroom: more than the noise of a sensor
    remember_seconds   for how long a switch that was paid for makes the next one dearer
    """

    margin: float = 0.03
    horizon_turns: int = 6
    up_after_seconds: float = 300.0
    seconds_value: float = 0.005
    spare: float = 0.03
    remember_seconds: float = 3600.0


def settle(
    ranking: Sequence[Ranked],
    candidates: Sequence[Candidate],
    current: str | None,
    calm_seconds: float,
    rules: StabilityRules,
    *,
    history: Sequence[Switch] = (),
    now: float = 0.0,
) -> tuple[Move, str, str]:
    """Stay with the model in use or go to the arbiter's favourite: the move, the choice and the reason.

    A switch must lead by ``margin``, repay loading and reading the conversation within ``horizon_turns``, leave
    ``spare`` free, and when it takes more memory than now, come after ``up_after_seconds`` of calm. So a model that
    only just fits is not taken up, and one per cent more or less memory never moves a decision. ``history`` are the
    switches paid for up to ``now``, on one clock.
    """
    favourite = ranking[0]
    best = f"the best of {len(ranking)} at {favourite.utility:.2f}" if len(ranking) > 1 else "the only one that can run"
    leads = f"{best}, {favourite.reason}" if favourite.reason else best
    if current is None:
        return Move.START, favourite.key, leads
    if favourite.key == current:
        return Move.STAY, current, leads
    mine, theirs = _pair(candidates, current, favourite.key)
    if mine is None or theirs is None:
        return Move.SWITCH, favourite.key, f"{current} cannot run now; {leads}"
    utility = next((r.utility for r in ranking if r.key == current), 0.0)
    gain = favourite.utility - utility
    if gain <= rules.margin:
        return (
            Move.STAY,
            current,
            f"{favourite.key} leads by {gain:.3f}, less than {rules.margin:g} is no reason to switch",
        )
    seconds, lately = _price(mine, theirs), 0
    if paid := _is_paid(mine, theirs):
        lately = sum(now - switch.at < rules.remember_seconds for switch in history)
    if gain * rules.horizon_turns * 0.5**lately <= seconds * rules.seconds_value:
        often = f" after {lately} such switches lately" if lately else ""
        return Move.STAY, current, f"switching to {favourite.key} costs {seconds:.1f} s, more than it gains{often}"
    grows = _grows(mine, theirs)
    if not theirs.is_loaded:
        if theirs.spare < rules.spare:
            return Move.STAY, current, f"{favourite.key} would fit too tightly"
        if grows and calm_seconds < rules.up_after_seconds:
            return Move.STAY, current, f"{favourite.key} waits until memory was calm for {rules.up_after_seconds:.0f} s"
    if paid and grows and was_up_lately(history, now, rules.up_after_seconds):
        return Move.STAY, current, f"{favourite.key} waits: a larger model was loaded less than a while ago"
    return Move.SWITCH, favourite.key, f"{leads}, {gain:.2f} ahead of {current}"


def paid_switch(decision: Decision, at: float) -> Switch | None:
    """What carrying out a decision at that moment adds to the history; None when nobody waits for it, or has to."""
    theirs, mine = decision.candidate(decision.choice), decision.candidate(decision.current)
    if theirs is None or mine is None:
        return None
    if theirs is mine:
        return Switch(at, theirs.key, up=True) if theirs.reloads else None
    if decision.move is not Move.SWITCH or not _is_paid(mine, theirs):
        return None
    return Switch(at, theirs.key, _grows(mine, theirs))


def was_up_lately(history: Sequence[Switch], now: float, seconds: float) -> bool:
    """Whether something took more memory than before within the last ``seconds``."""
    return any(switch.up and now - switch.at < seconds for switch in history)


def _price(mine: Candidate, theirs: Candidate) -> float:
    """Seconds somebody waits longer for ``theirs``: until it is loaded and has read the conversation."""
    seconds = theirs.load_seconds + max(0.0, theirs.prefill_seconds - mine.prefill_seconds)
    return max(LEAST_PAID_SECONDS, seconds) if _is_paid(mine, theirs) else seconds


def _is_paid(mine: Candidate, theirs: Candidate) -> bool:
    if not theirs.is_loaded and not theirs.is_remote:
        return True
    return theirs.prefill_seconds - mine.prefill_seconds >= LEAST_PAID_SECONDS


def _grows(mine: Candidate, theirs: Candidate) -> bool:
    return theirs.footprint.total > mine.footprint.total


def _pair(candidates: Sequence[Candidate], first: str, second: str) -> tuple[Candidate | None, Candidate | None]:
    one = two = None
    for candidate in candidates:
        if candidate.key == first:
            one = candidate
        elif candidate.key == second:
            two = candidate
    return one, two
