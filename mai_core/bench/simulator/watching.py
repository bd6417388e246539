"""Notices when memory runs short, and makes Mai give way, as the product's monitor does.

The machine is watched whenever anything about its memory changes, which a real monitor does every two seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mai_core.bench.simulator.loading import Loader
from mai_core.policy.trouble import in_trouble

__all__ = ["Watch"]

PRESSURE_FULL = 0.10
LASTING_SECONDS = 10.0


@dataclass(slots=True, eq=False)
class Watch:
    """Whether the machine is in trouble, and since when it is not.

    ``current`` tells the model that answered last, and ``worth_keeping`` the loaded one that would be chosen now as it
    is loaded; both are below 0 for none.
    """

    loader: Loader
    current: Callable[[], int]
    worth_keeping: Callable[[], int]
    troubled: bool = False
    _troubles: int = 0
    _calm_since: float = float("-inf")

    @property
    def calm(self) -> float:
        """Seconds without trouble."""
        return 0.0 if self.troubled else self.loader.timeline.now - self._calm_since

    def look(self) -> None:
        """Notice trouble, and let go of what idles when there is."""
        was, memory, timeline = self.troubled, self.loader.memory, self.loader.timeline
        if not was and memory.free > memory.reserve and not memory.starved():
            return
        self.troubled = in_trouble(memory.seen(), was, memory.limits, PRESSURE_FULL)
        if self.troubled:
            self.loader.relieve(self.current())
            if not was:
                self._troubles += 1
                timeline.at(timeline.now + LASTING_SECONDS, self._give_way, self._troubles)
        elif was:
            self._calm_since = timeline.now

    def _give_way(self, trouble: int) -> None:
        """Trouble that lasts: the model in use leaves, too, where it would not be chosen again as it is loaded."""
        if not self.troubled or trouble != self._troubles:
            return
        keeping = self.worth_keeping()
        if keeping < 0 or keeping != self.current():
            self.loader.relieve(keeping)
        self.loader.timeline.at(self.loader.timeline.now + LASTING_SECONDS, self._give_way, trouble)
