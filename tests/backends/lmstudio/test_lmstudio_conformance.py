"""The promises of a backend, kept by LM Studio's against the stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mai_backends.lmstudio.backend import LMStudioBackend
from mai_core.plugin.interfaces import Backend, BackendContext
from mai_core.policy.models import LoadedModel
from mai_core.testing import BackendConformance
from tests.standins.lmstudio import LMStudioStandIn, StandInModel

STORY = "The dragon slept. " * 100


class TestLMStudio(BackendConformance):
    """A long reply takes three seconds, so that a server which goes on writing is told from one that stops."""

    @pytest.fixture(autouse=True)
    def server(self) -> Iterator[None]:
        models = [
            StandInModel(key="qwen2.5-0.5b-instruct", reply=STORY, token_seconds=0.012),
            StandInModel(key="larger", size_bytes=10**10),
        ]
        with LMStudioStandIn(models) as self.standin:
            yield
            assert self.standin.violations == []

    def make(self, context: BackendContext) -> Backend:
        options = {"url": self.standin.host, "home": str(context.data_dir)}
        return LMStudioBackend(replace(context, options=options))

    async def crash(self, backend: Backend, loaded: LoadedModel) -> None:
        self.standin.restart()
