"""The entry point of the built-in context transfers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mai_core import hookimpl

if TYPE_CHECKING:
    from mai_core.plugin.interfaces import ContextTransfer


@hookimpl
def mai_register_transfers() -> list[type[ContextTransfer]]:
    """``full``, ``recent``, ``hybrid`` and ``relevance``."""
    from mai_strategies.transfers.full import Full
    from mai_strategies.transfers.hybrid import Hybrid
    from mai_strategies.transfers.recent import Recent
    from mai_strategies.transfers.relevance import Relevance

    return [Full, Recent, Hybrid, Relevance]
