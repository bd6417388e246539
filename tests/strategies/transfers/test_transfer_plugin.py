"""The built-in transfers register like anybody else's."""

from __future__ import annotations

import subprocess
import sys

from mai_core.plugin.registry import PluginRegistry
from mai_strategies.transfers import plugin


def test_registers_four() -> None:
    registry = PluginRegistry.of(plugin)
    assert sorted(registry.transfers()) == ["full", "hybrid", "recent", "relevance"]
    assert registry.transfer("hybrid", {"recent_share": 0.7}) == registry.transfers()["hybrid"](recent_share=0.7)


def test_loads_nothing_before_it_is_asked() -> None:
    code = (
        "import sys, mai_strategies.transfers.plugin; "
        "assert not [m for m in sys.modules if m.startswith('mai_strategies.transfers.') and not m.endswith('plugin')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
