"""Every registered selection strategy keeps the laws, whoever registered it."""

from __future__ import annotations

import pytest

from mai_core.plugin.interfaces import SelectionStrategy
from mai_core.plugin.registry import PluginRegistry
from mai_core.testing import StrategyLaws

REGISTRY = PluginRegistry.discover()


@pytest.mark.parametrize("name", sorted(REGISTRY.strategies()), scope="class")
class TestRegisteredStrategies(StrategyLaws):
    examples = 30

    @pytest.fixture(autouse=True)
    def _chosen(self, name: str) -> None:
        self.name = name

    def make(self) -> SelectionStrategy:
        return REGISTRY.strategy(self.name)


def test_the_promised_ones_are_among_them() -> None:
    assert {"greedy-fit", "tiered", "cost-aware"} <= set(REGISTRY.strategies())
