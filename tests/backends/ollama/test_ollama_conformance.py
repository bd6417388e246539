"""Ollama keeps what every backend promises, against a stand-in that speaks its protocol."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mai_backends.ollama.backend import OllamaBackend
from mai_core.plugin.interfaces import Backend, BackendContext
from mai_core.policy.models import LoadedModel
from mai_core.testing import BackendConformance
from tests.standins.ollama import OllamaStandIn, StandInModel


class TestOllama(BackendConformance):
    server: OllamaStandIn

    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        model = StandInModel(token_seconds=0.003, load_seconds=0.05)
        with OllamaStandIn([model, StandInModel(name="larger:8b", size=5 * 10**9)]) as self.server:
            yield

    def make(self, context: BackendContext) -> Backend:
        return OllamaBackend(replace(context, options={"url": self.server.url}))

    async def crash(self, backend: Backend, loaded: LoadedModel) -> None:
        self.server.restart()
