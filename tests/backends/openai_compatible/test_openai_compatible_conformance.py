"""The backend keeps what every backend promises, with each kind of server it knows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mai_backends.openai_compatible.backend import OpenAICompatibleBackend
from mai_core.plugin.interfaces import Backend, BackendContext
from mai_core.policy.models import LoadedModel
from mai_core.testing import ServedConformance
from tests.standins.openai import Flavour, OpenAIStandIn, StandInModel


class OnAStandIn(ServedConformance):
    flavour: Flavour
    stand_in: OpenAIStandIn

    @pytest.fixture(autouse=True)
    def _stand_in(self) -> object:
        model = StandInModel(key="team/tiny", context=600, token_seconds=0.004)
        with OpenAIStandIn([model], flavour=self.flavour) as self.stand_in:
            yield

    def make(self, context: BackendContext) -> Backend:
        return OpenAICompatibleBackend(replace(context, options={"base_url": self.stand_in.url}))

    async def crash(self, backend: Backend, loaded: LoadedModel) -> None:
        self.stand_in.restart()


class TestLlamaServer(OnAStandIn):
    flavour = Flavour.LLAMA_SERVER


class TestVLLM(OnAStandIn):
    flavour = Flavour.VLLM


class TestLlamaSwap(OnAStandIn):
    flavour = Flavour.LLAMA_SWAP


class TestLMStudio(OnAStandIn):
    flavour = Flavour.LM_STUDIO


class TestLiteLLM(OnAStandIn):
    flavour = Flavour.LITELLM
    tells = False


class TestAnyOther(OnAStandIn):
    flavour = Flavour.OPENAI
    tells = False
