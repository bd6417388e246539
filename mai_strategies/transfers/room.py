"""How much of a window a conversation may take, before, at and after a compression."""

from __future__ import annotations

from dataclasses import dataclass

from mai_core.policy.context import ContextBudget

__all__ = ["Room"]


@dataclass(frozen=True, slots=True)
class Room:
    """Tokens: all that are ``usable``, those that ``trigger`` a compression, and its ``target``."""

    usable: int
    trigger: int
    target: int

    @classmethod
    def of(cls, budget: ContextBudget) -> Room:
        """The room a budget leaves; the target is never above the trigger."""
        usable = budget.usable
        trigger = min(usable, int(usable * budget.trigger))
        return cls(usable, trigger, min(trigger, int(usable * budget.target)))

    def trigger_above(self, base: int) -> int:
        """The trigger after a compression that could not get below ``base``.

        Large pinned messages may keep a prompt above the plain trigger; compressing at every turn would then cost
        the cache and gain nothing. So it moves from the plain trigger, at the target, up to all that is usable.
        """
        if base <= self.target:
            return self.trigger
        above = min(base, self.usable) - self.target
        return self.trigger + (self.usable - self.trigger) * above // max(1, self.usable - self.target)
