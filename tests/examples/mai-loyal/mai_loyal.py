"""A selection strategy that sticks to what is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from mai_core import hookimpl
from mai_core.plugin.interfaces import SelectionStrategy
from mai_core.policy.selection import Proposal, SelectionRequest


@dataclass(frozen=True)
class Loyal:
    """Prefer quality, with a bonus for what is already loaded. Scores end at 1."""

    name: ClassVar[str] = "loyal"
    bonus: float = 0.2

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        """Quality, and ``bonus`` for loyalty."""
        return [
            Proposal(c.key, min(1.0, c.quality + self.bonus * c.is_loaded), "quality + loyalty")
            for c in request.candidates
        ]


@hookimpl
def mai_register_strategies() -> list[type[SelectionStrategy]]:
    """Loyal."""
    return [Loyal]
