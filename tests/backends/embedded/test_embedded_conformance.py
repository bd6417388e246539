"""The embedded backend keeps what every backend promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from embedded_engine import PLAN

from mai_backends.embedded.backend import EmbeddedBackend
from mai_core.plugin.interfaces import Backend, BackendContext
from mai_core.policy.models import ModelProfile
from mai_core.testing.conformance.backend import BackendConformance


@pytest.mark.weights
class TestEmbeddedBackend(BackendConformance):
    plan = replace(PLAN, context=512)

    @pytest.fixture(autouse=True)
    def _weights(self, starter_gguf: Path) -> None:
        self.starter = starter_gguf

    def make(self, context: BackendContext) -> Backend:
        options = {"models_dirs": [str(self.starter.parent)], "scan_other_tools": False}
        return EmbeddedBackend(replace(context, options=options))

    def model(self, profiles: Sequence[ModelProfile]) -> ModelProfile:
        return next(profile for profile in profiles if Path(profile.location) == self.starter)
