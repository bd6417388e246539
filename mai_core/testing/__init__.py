"""What plugins are tested with: fakes that can be scripted, generated worlds, laws for strategies, and a conformance
suite for each other kind of plugin.

Needs pytest and Hypothesis, which Mai itself does not install. Everything here is imported when it is first used: the
pytest plugin lives in this package, and whoever runs pytest for other things pays for none of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mai_core.testing import worlds
    from mai_core.testing.backend import FakeBackend, FakeModel
    from mai_core.testing.clock import FakeClock
    from mai_core.testing.conformance import (
        BackendConformance,
        ProbeConformance,
        ServedConformance,
        TransferConformance,
    )
    from mai_core.testing.laws.suite import StrategyLaws
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
    "StrategyLaws",
    "TransferConformance",
    "worlds",
]

_HOMES = {
    "BackendConformance": "conformance",
    "FakeBackend": "backend",
    "FakeClock": "clock",
    "FakeMachine": "machine",
    "FakeModel": "backend",
    "FakeProbe": "machine",
    "ProbeConformance": "conformance",
    "ServedConformance": "conformance",
    "StrategyLaws": "laws.suite",
    "TransferConformance": "conformance",
}


def __getattr__(name: str) -> object:
    """A public name, from the module that defines it."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name == "worlds":
        return import_module(f"{__name__}.worlds")
    raise AttributeError(f"module {__name__} has no attribute {name}")
