"""Every registered context transfer keeps the laws, whoever registered it."""

from __future__ import annotations

import pytest

from mai_core.plugin.interfaces import ContextTransfer
from mai_core.plugin.registry import PluginRegistry
from mai_core.testing import TransferConformance

REGISTRY = PluginRegistry.discover()


@pytest.mark.parametrize("name", sorted(REGISTRY.transfers()), scope="class")
class TestRegisteredTransfers(TransferConformance):
    @pytest.fixture(autouse=True)
    def _chosen(self, name: str) -> None:
        self.name = name

    def make(self) -> ContextTransfer:
        return REGISTRY.transfer(self.name)


def test_the_promised_ones_are_among_them() -> None:
    assert {"full", "recent", "hybrid"} <= set(REGISTRY.transfers())
