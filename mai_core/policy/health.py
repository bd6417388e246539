"""Circuit breakers: what fails again and again is kept out for a growing time, then let back in through one trial.

A model has a breaker, and so has a whole backend: when several of its models fail at once, it is the engine that is
broken, and trying the others would only crash them too. All of it follows from the times of failures, in seconds since
the epoch, and the present; that clock may jump. A failure that seems to lie in the future counts, but pauses nothing,
so no jump keeps anything out for longer than the longest pause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "FORGET_SECONDS",
    "TRIAL_HEALTH",
    "Breaker",
    "backend_breaker",
    "breaker",
    "health_after",
    "kept_out_words",
    "longer_of",
]

FIRST_PAUSE_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 3600.0
FORGET_SECONDS = 6 * 3600.0
TRIAL_HEALTH = 0.5
STRUGGLE_HEALTH = 0.9
FORGIVE_SECONDS = 3600.0

SEVERAL_MODELS = 3
"""So many different models failing within ``TOGETHER_SECONDS`` are no coincidence: their backend is broken."""
TOGETHER_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """What repeated failures have led to. A closed one is None everywhere.

    failures   how many are remembered
    remaining  seconds for which nobody gets it; 0 once it may be tried again
    backend    the whole backend is meant, not one model
    trial      somebody tries it now: nobody else does until it is known how that ends
    """

    failures: int
    remaining: float = 0.0
    backend: bool = False
    trial: bool = False

    @property
    def open(self) -> bool:
        """Whether nobody gets it now."""
        return self.trial or self.remaining > 0.0


def breaker(failures: Sequence[float], now: float) -> Breaker | None:
    """The breaker of a model that failed at these times, in any order, since it last worked.

    None for less than two failures: one may have been bad luck. From the second on it is kept out for a minute, twice
    as long after every further failure, at most an hour. A failure is forgotten after six hours.
    """
    recent = [at for at in failures if abs(now - at) < FORGET_SECONDS]
    if len(recent) < 2:
        return None
    return Breaker(len(recent), _remaining(recent, _pause(len(recent) - 1), now))


def backend_breaker(failures: Mapping[str, Sequence[float]], now: float) -> Breaker | None:
    """The breaker of a backend whose models, by key, failed to load or crashed at these times since one worked.

    It opens when ``SEVERAL_MODELS`` different ones fail within two minutes, for a minute; twice as long each time a
    trial after that fails, whichever model it was made with, at most an hour. None while it never opened. Whoever fails
    while it is open was let in before, and lengthens nothing.
    """
    recent = sorted((at, key) for key, times in failures.items() for at in times if abs(now - at) < FORGET_SECONDS)
    opened: list[float] = []
    for place, (at, _) in enumerate(recent):
        if opened and at < opened[-1] + _pause(len(opened)):
            continue
        lately = {key for before, key in recent[: place + 1] if at - before <= TOGETHER_SECONDS}
        if opened or len(lately) >= SEVERAL_MODELS:
            opened.append(at)
    if not opened:
        return None
    return Breaker(len(recent), _remaining(opened, _pause(len(opened)), now), backend=True)


def longer_of(one: Breaker | None, other: Breaker | None) -> Breaker | None:
    """The one of two breakers that keeps out longer; a trial in flight has an end nobody knows."""
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda b: (b.open, b.remaining, b.trial))


def kept_out_words(key: str, backend: str, found: Breaker | None) -> tuple[str, str]:
    """Why a model is kept out and until when, and what gets it back."""
    sooner = f"mai switch {key} tries it again now; mai logs has the errors"
    if found is None:
        return "kept out for a while after failing", sooner
    what = f"several models of {backend} failed" if found.backend else f"it failed {found.failures} times"
    if found.trial:
        return f"{what}, and a trial is under way", f"it is back when that succeeds; {sooner}"
    return f"{what}; kept out for another {_duration(found.remaining)}", f"one trial follows by itself; {sooner}"


def health_after(failures: Sequence[float], now: float, *, struggles: Sequence[float] = ()) -> float:
    """Health in [0, 1] of a model that failed at these times (seconds, any order) since it last worked.

    0 while its breaker keeps it out, a half while any failure is remembered. One loop is no broken model: that it
    struggled weighs a tenth each time, for an hour, and never keeps it out.
    """
    if any(abs(now - at) < FORGET_SECONDS for at in failures):
        kept_out = breaker(failures, now)
        return 0.0 if kept_out is not None and kept_out.open else TRIAL_HEALTH
    lately = sum(abs(now - at) < FORGIVE_SECONDS for at in struggles)
    return max(TRIAL_HEALTH, STRUGGLE_HEALTH**lately)


def _pause(times: int) -> float:
    """Seconds of the pause after it was opened so many times."""
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(times - 1, 16))


def _remaining(times: Sequence[float], pause: float, now: float) -> float:
    """What is left of a pause since the last of these times that is not in the future."""
    past = [at for at in times if at <= now]
    return max(0.0, pause - (now - max(past))) if past else 0.0


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"
