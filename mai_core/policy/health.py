"""How long a model that failed is kept out: a circuit breaker that lets it back through one trial."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["FORGET_SECONDS", "health_after"]

FIRST_PAUSE_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 3600.0
FORGET_SECONDS = 6 * 3600.0
TRIAL_HEALTH = 0.5
STRUGGLE_HEALTH = 0.9
FORGIVE_SECONDS = 3600.0


def health_after(failures: Sequence[float], now: float, *, struggles: Sequence[float] = ()) -> float:
    """Health in [0, 1] of a model that failed at these times (seconds, any order) since it last worked.

    The first failure only lowers it to a trial: it may have been bad luck. From the second on, the model is kept
    out for a minute, twice as long after every further failure, at most an hour; then one trial is allowed. A
    failure is forgotten after six hours. One loop is no broken model: that it struggled weighs a tenth each time, for
    an hour, and never keeps it out.
    """
    recent = [at for at in failures if now - at < FORGET_SECONDS]
    if not recent:
        lately = sum(now - at < FORGIVE_SECONDS for at in struggles)
        return max(TRIAL_HEALTH, STRUGGLE_HEALTH**lately)
    if len(recent) == 1:
        return TRIAL_HEALTH
    pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(len(recent) - 2, 16))
    return 0.0 if now - max(recent) < pause else TRIAL_HEALTH
