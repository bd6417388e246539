from __future__ import annotations

from collections.abc import Callable

import pytest

from mai_core.bench.simulator.campaign import Campaign, Cell
from mai_core.bench.simulator.contestants import contestant
from mai_core.paths import Paths
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.models import KnownModel
from mai_core.policy.stability import StabilityRules
from mai_core.settings import load_catalogue

Campaigns = Callable[..., Campaign]


@pytest.fixture(scope="session")
def registry() -> PluginRegistry:
    return PluginRegistry.discover()


@pytest.fixture(scope="session")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[KnownModel, ...]:
    return load_catalogue(Paths.of({"MAI_HOME": str(tmp_path_factory.mktemp("home"))}))


@pytest.fixture(scope="session")
def campaign_of(registry: PluginRegistry, known: tuple[KnownModel, ...]) -> Campaigns:
    """A campaign of some contestants in some cells, each written ``machine/workload/seed``."""

    def made(names: str, cells: str, **options: object) -> Campaign:
        contestants = tuple(
            contestant(
                name,
                together=("value", "greedy-fit", "cost-aware"),
                arbiter="vote",
                rules=StabilityRules(),
                options={},
                registered=list(registry.strategies()),
            )
            for name in names.split()
        )
        worlds = []
        for cell in cells.split():
            machine, workload, seed = cell.split("/")
            worlds.append(Cell(machine, workload, int(seed)))
        return Campaign(contestants=contestants, cells=tuple(worlds), known=known, **options)  # type: ignore[arg-type]

    return made
