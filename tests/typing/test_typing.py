"""The Protocols accept what plugins look like, and type checkers find what they do not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mai_core.plugin.registry import PluginRegistry
from tests.typing import plugin_all_kinds, plugin_design

HERE = Path(__file__).parent


def mypy(file: str, tmp_path: Path) -> str:
    """What mypy says about a file, by the strictest rules and none of this project's own."""
    nothing = tmp_path / "mypy.ini"
    nothing.write_text("[mypy]\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(nothing), "--no-error-summary"]
    command += ["--cache-dir", str(tmp_path), "--follow-imports", "silent", str(HERE / file)]
    return subprocess.run(command, capture_output=True, text=True, cwd=HERE.parents[1], check=False).stdout


@pytest.mark.parametrize("file", ["plugin_design.py", "plugin_all_kinds.py"])
def test_plugins_are_accepted(file: str, tmp_path: Path) -> None:
    assert mypy(file, tmp_path) == ""


def test_mistakes_are_found_where_they_are(tmp_path: Path) -> None:
    file = "plugin_wrong.py"
    lines = (HERE / file).read_text().splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    found = {int(number) for number in re.findall(rf"{file}:(\d+): error", mypy(file, tmp_path))}
    assert found == wrong


def test_the_plugin_of_every_kind_is_registered_whole() -> None:
    registry = PluginRegistry.of(plugin_all_kinds, plugin_design)
    registered = {kind: names for info in registry.describe() for kind, names in info.registers.items()}
    assert {kind: names for kind, names in registered.items() if kind != "hooks"} == {
        "backends": ("echo",),
        "probes": ("nothing",),
        "transfers": ("last",),
        "strategies": ("loyal",),
    }
    assert set(registered["hooks"]) == {"mai_register_commands", "mai_model_switched", "mai_turn_finished"}
    assert registry.faults == ()
