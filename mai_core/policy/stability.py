"""When a better model is worth the switch: down at once, up after calm, sideways never for noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mai_core.policy.selection import Candidate, Move, Ranked

__all__ = ["StabilityRules", "settle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StabilityRules:
    """What a switch has to be worth.

    margin             utility by which another model must lead at all
    horizon_turns      turns over which the gain is counted
    up_after_seconds   calm needed before more memory is taken than now
    seconds_value      utility a second of waiting costs
    spare              share of memory that must remain free beyond the headroom: more than the noise of a sensor
    """

    margin: float = 0.03
    horizon_turns: int = 6
    up_after_seconds: float = 300.0
    seconds_value: float = 0.005
    spare: float = 0.03


def settle(
    ranking: Sequence[Ranked],
    candidates: Sequence[Candidate],
    current: str | None,
    calm_seconds: float,
    rules: StabilityRules,
) -> tuple[Move, str, str]:
    """Stay with the model in use or go to the arbiter's favourite: the move, the choice and the reason.

    A switch must lead by ``margin``, repay loading and reading the conversation within ``horizon_turns``, leave
    ``spare`` free, and when it takes more memory than now, come after ``up_after_seconds`` of calm. So a model that
    only just fits is not taken up, and one per cent more or less memory never moves a decision.
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
    seconds = theirs.load_seconds + max(0.0, theirs.prefill_seconds - mine.prefill_seconds)
    cost = seconds * rules.seconds_value
    if gain * rules.horizon_turns <= cost:
        return Move.STAY, current, f"switching to {favourite.key} costs {seconds:.1f} s, more than it gains"
    if not theirs.is_loaded:
        if theirs.spare < rules.spare:
            return Move.STAY, current, f"{favourite.key} would fit too tightly"
        if theirs.footprint.total > mine.footprint.total and calm_seconds < rules.up_after_seconds:
            return Move.STAY, current, f"{favourite.key} waits until memory was calm for {rules.up_after_seconds:.0f} s"
    return Move.SWITCH, favourite.key, f"{leads}, {gain:.2f} ahead of {current}"


def _pair(candidates: Sequence[Candidate], first: str, second: str) -> tuple[Candidate | None, Candidate | None]:
    one = two = None
    for candidate in candidates:
        if candidate.key == first:
            one = candidate
        elif candidate.key == second:
            two = candidate
    return one, two
