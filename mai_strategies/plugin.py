"""Registers the built-in strategies, through the same door as anybody's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mai_core import hookimpl

if TYPE_CHECKING:
    from mai_core.plugin.interfaces import SelectionStrategy

__all__ = ["mai_register_strategies"]


@hookimpl
def mai_register_strategies() -> Sequence[type[SelectionStrategy]]:
    """Greedy-fit, tiered, cost-aware, value and cascade."""
    from mai_strategies.cascade import Cascade
    from mai_strategies.cost_aware import CostAware
    from mai_strategies.greedy_fit import GreedyFit
    from mai_strategies.tiered import Tiered
    from mai_strategies.value import Value

    return [Tiered, GreedyFit, CostAware, Value, Cascade]
