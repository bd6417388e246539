"""Suites that tell whether a backend, a probe or a transfer keeps the promises of its Protocol.

Subclass one in a file pytest collects, and say how an instance is made:

    class TestPatient(TransferConformance):
        def make(self) -> ContextTransfer:
            return Patient()

What strategies keep are laws: see ``mai_core.testing.laws``.
"""

from __future__ import annotations

from mai_core.testing.conformance.backend import BackendConformance
from mai_core.testing.conformance.probe import ProbeConformance
from mai_core.testing.conformance.served import ServedConformance
from mai_core.testing.conformance.transfer import TransferConformance

__all__ = ["BackendConformance", "ProbeConformance", "ServedConformance", "TransferConformance"]
