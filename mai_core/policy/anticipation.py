"""Which model to get ready for the turn that is likely to come."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from mai_core.policy.selection import Candidate, Decision, Move
from mai_core.policy.stability import StabilityRules

__all__ = ["Preparation", "to_prepare", "worth_a_checkpoint"]

LONG_READING_SECONDS = 10.0
GROWTH = 0.25


class Preparation(NamedTuple):
    """A candidate worth getting ready; with ``evict`` idle models may leave memory for it."""

    candidate: Candidate
    evict: bool


def to_prepare(decision: Decision, calm_seconds: float, rules: StabilityRules) -> Preparation | None:
    """What would make the turn of this decision begin sooner, or serve it better; None when all is ready.

    The choice itself, as long as it is not in memory: what idles there leaves for it only where nothing else could
    answer anyway, because the person pinned it or nothing is in use. Else the favourite that only the time it takes to
    load keeps from being chosen: in memory it costs nothing to go to, so it serves the next turn. It gets free memory
    only, and only where stability would let it in: it leads by more than the margin, leaves room to spare, and takes
    more memory than now only after calm. Models on other machines load by themselves.

    What has come down the ladder is loaded anew, in its own place, when feasibility says that it may climb.
    """
    choice = decision.candidate(decision.choice)
    if choice is None:
        return None
    if not choice.is_loaded and not choice.is_remote:
        return Preparation(choice, evict=choice.reloads or decision.move in (Move.START, Move.PIN))
    if choice.better is not None:
        return Preparation(replace(choice, plan=choice.better, is_loaded=False), evict=True)
    favourite = decision.candidate(decision.favourite)
    if favourite is None or favourite is choice or favourite.is_loaded or favourite.is_remote or decision.pinned:
        return None
    utilities = {ranked.key: ranked.utility for ranked in decision.ranking}
    gain = utilities.get(favourite.key, 0.0) - utilities.get(choice.key, 0.0)
    grows = favourite.footprint.total > choice.footprint.total
    if gain <= rules.margin or favourite.spare < rules.spare or (grows and calm_seconds < rules.up_after_seconds):
        return None
    return Preparation(favourite, evict=False)


def worth_a_checkpoint(read: int, kept: int, reading: float) -> bool:
    """Whether to save what an engine has read while it goes on answering: in case it dies, which is rare.

    ``read`` and ``kept`` are tokens now and when it was saved last, ``reading`` is in tokens a second. Each save writes
    everything, so the conversation has to have grown by a quarter: all together write at most five times the last one.
    """
    lacking = read - kept
    return lacking >= reading * LONG_READING_SECONDS and lacking >= kept * GROWTH
