"""Every registered probe keeps the laws on the machine the tests run on."""

from __future__ import annotations

import pytest

from mai_core.plugin.interfaces import ProbeContext, ResourceProbe
from mai_core.plugin.registry import PluginRegistry
from mai_core.testing import ProbeConformance

REGISTRY = PluginRegistry.discover()


@pytest.mark.parametrize("kind", sorted(REGISTRY.probes()), scope="class")
class TestRegisteredProbes(ProbeConformance):
    @pytest.fixture(autouse=True)
    def _chosen(self, kind: str) -> None:
        self.kind = kind

    def make(self) -> ResourceProbe:
        return REGISTRY.probe(self.kind, ProbeContext(name=self.kind))


def test_the_promised_one_is_among_them() -> None:
    assert "system" in REGISTRY.probes()
