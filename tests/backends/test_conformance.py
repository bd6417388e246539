"""The embedded engine keeps what every backend promises, with real weights in real processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mai_core.plugin.interfaces import Backend, BackendContext
from mai_core.plugin.registry import PluginRegistry
from mai_core.testing import BackendConformance


@pytest.mark.weights
class TestEmbedded(BackendConformance):
    weights: Path

    @pytest.fixture(autouse=True)
    def _weights(self, starter_gguf: Path, tmp_path: Path) -> None:
        folder = tmp_path / "weights"
        folder.mkdir()
        (folder / starter_gguf.name).symlink_to(starter_gguf)
        self.weights = folder

    def make(self, context: BackendContext) -> Backend:
        options = {"models_dirs": [str(self.weights)], "scan_other_tools": False}
        return PluginRegistry.discover().backend("embedded", replace(context, options=options))
