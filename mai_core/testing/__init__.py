"""What plugins are tested with: fakes that can be scripted, generated worlds, and a conformance suite for each kind.

Needs pytest and Hypothesis, which Mai itself does not install. Nothing else in Mai imports this package.
"""

from __future__ import annotations

from mai_core.testing import worlds
from mai_core.testing.backend import FakeBackend, FakeModel
from mai_core.testing.clock import FakeClock
from mai_core.testing.conformance import (
    BackendConformance,
    ProbeConformance,
    ServedConformance,
    StrategyConformance,
    TransferConformance,
)
from mai_core.testing.machine import FakeMachine, FakeProbe

__all__ = [
    "BackendConformance",
    "FakeBackend",
    "FakeClock",
    "FakeMachine",
    "FakeModel",
    "FakeProbe",
    "ProbeConformance",
    "ServedConformance",
    "StrategyConformance",
    "TransferConformance",
    "worlds",
]
