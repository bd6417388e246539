"""The probe in docs/architecture.md is a whole plugin, and works."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

from mai_core.plugin.interfaces import ProbeContext
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.resources import HostReading, MemoryPool, PoolKind

PAGE = Path(__file__).parents[3] / "docs" / "architecture.md"


def test_the_probe_of_the_page_is_short_and_works(tmp_path: Path) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert sum(map(bool, code.splitlines())) < 20
    module = ModuleType("mai_npu")
    exec(code, vars(module))
    registry = PluginRegistry.of(module)
    for name, size in (("total", 8000), ("used", 3000)):
        (tmp_path / f"memory_{name}").write_text(f"{size}\n")
    probe = registry.probe("accelerator", ProbeContext(name="npu", options={"device": str(tmp_path)}))
    assert probe.name == "npu"
    assert probe.sample() == HostReading(pools=(MemoryPool("npu0", PoolKind.DEVICE, 8000, 5000),))
    assert registry.faults == ()
