"""Suites that tell whether a plugin keeps the promises of its Protocol.

Subclass one in a file pytest collects, and say how an instance is made:

    class TestLoyal(StrategyConformance):
        def make(self) -> SelectionStrategy:
            return Loyal()
"""

from __future__ import annotations

from mai_core.testing.conformance.backend import BackendConformance
from mai_core.testing.conformance.probe import ProbeConformance
from mai_core.testing.conformance.served import ServedConformance
from mai_core.testing.conformance.strategy import StrategyConformance
from mai_core.testing.conformance.transfer import TransferConformance

__all__ = ["BackendConformance", "ProbeConformance", "ServedConformance", "StrategyConformance", "TransferConformance"]
