"""Whether what Ollama holds now is what Mai loaded, or was loaded by somebody else since."""

from __future__ import annotations

from datetime import datetime
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mai_backends.ollama.client.rows import Running

__all__ = ["Residency"]

BACKWARDS = 1.0
"""Seconds the end of a stay may come nearer without meaning anything: two requests that end at once."""
SIZE_TOLERANCE = 0.05


class Residency:
    """The stay in memory of what Mai loaded, as far as it is known to have gone on without a break.

    Ollama gives its stays no names. A stay that nobody prolongs ends ``keep_alive`` seconds after its last use, so what
    is listed later than Mai knows of may be somebody else's, who then has the right to keep it. ``row`` is how it was
    listed after the load; a negative ``keep_alive`` is for ever; all ``now`` are seconds of one steady clock.
    """

    def __init__(self, row: Running, *, keep_alive: float, now: float) -> None:
        self._row = row
        self._keep_alive = keep_alive if keep_alive >= 0 else inf
        self._lasts_until = now + self._keep_alive
        self._seen_at = now

    def used(self, now: float) -> None:
        """A reply of Mai's ended, which prolongs the stay."""
        self._lasts_until = max(self._lasts_until, now + self._keep_alive)

    def goes_on(self, row: Running, *, asked: float, now: float, today: datetime) -> bool:
        """Whether ``row``, asked for at ``asked``, shows the same stay, while no reply of Mai's is being written.

        What it shows of others who prolonged it counts from then on; ``today`` is what ``row.expires_at`` is told in.
        The clock of another machine may be wrong, so nobody is believed to have prolonged it beyond ``keep_alive``.
        """
        if asked < self._seen_at:
            return True  # overtaken by a newer row
        if asked > self._lasts_until or self._differs(row):
            return False
        self._seen_at, self._row = asked, row
        if (left := row.expires_in(today)) is not None:
            self._lasts_until = max(self._lasts_until, now + min(left, self._keep_alive))
        return True

    def _differs(self, row: Running) -> bool:
        """Other weights, other layers on the GPU, or an end that came nearer, which no use by Mai brings about."""
        seen = self._row
        if seen.digest and row.digest and seen.digest != row.digest:
            return True
        if _apart(seen.size, row.size) or _apart(seen.on_devices, row.on_devices):
            return True
        if seen.expires_at is None or row.expires_at is None:
            return False
        return (seen.expires_at - row.expires_at).total_seconds() > BACKWARDS


def _apart(one: int, other: int) -> bool:
    return abs(one - other) > SIZE_TOLERANCE * max(one, other)
