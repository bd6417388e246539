"""The backend against servers that are no stand-ins."""

from __future__ import annotations

import json
from dataclasses import replace

import httpx
import pytest
from openai_serving import backend_for, end_of, reply, text_of
from real_servers import CONTEXT, RealServer

from mai_backends.openai_compatible.backend import OpenAICompatibleBackend
from mai_core.errors import AccessDenied, ContextExceeded, MaiError, ModelFileError
from mai_core.plugin.interfaces import Backend, BackendContext
from mai_core.policy.messages import Message, ReplyEnd, Role, StopReason, Tool
from mai_core.policy.models import Capability, LoadPlan
from mai_core.testing import ServedConformance
from tests.standins.openai import Flavour, StandInModel
from tests.standins.openai.models import row
from tests.standins.openai.refusals import overflow

PLAN = LoadPlan(context=512)


@pytest.mark.weights
class TestWorkerConforms(ServedConformance):
    server: RealServer

    @pytest.fixture(autouse=True)
    def _server(self, real_worker: RealServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REAL_KEY", real_worker.key)
        self.server = real_worker

    def make(self, context: BackendContext) -> Backend:
        return OpenAICompatibleBackend(
            replace(context, options={"base_url": self.server.url, "api_key": "env:REAL_KEY"})
        )

    @pytest.mark.skip(reason="it is gone with its process, and no other takes its port")
    def test_a_crash_between_replies_is_noticed(self) -> None: ...


@pytest.fixture
def worker_backend(real_worker: RealServer, monkeypatch: pytest.MonkeyPatch) -> OpenAICompatibleBackend:
    monkeypatch.setenv("REAL_KEY", real_worker.key)
    return backend_for(real_worker.url, api_key="env:REAL_KEY")


@pytest.mark.weights
async def test_what_llama_server_tells(worker_backend: OpenAICompatibleBackend) -> None:
    (model,) = await worker_backend.models()
    assert (model.key, model.max_context, model.quantisation, model.origin) == (
        "model",
        CONTEXT,
        "Q4_1",
        "llama-server",
    )
    assert 130e6 < model.parameters < 140e6
    assert 90e6 < model.size_bytes < 100e6
    assert Capability.JSON in model.capabilities
    (loaded,) = await worker_backend.loaded()
    assert (loaded.key, loaded.owned, loaded.plan.context) == ("model", False, CONTEXT)
    assert list(await worker_backend.count_tokens("model", ["", "a b c", "<|im_start|>"]))[:2] == [0, 3]
    await worker_backend.close()


@pytest.mark.weights
async def test_llama_server_goes_on_with_an_answer(worker_backend: OpenAICompatibleBackend) -> None:
    """The same tokens as in one go, and most of the prompt from its cache."""
    await worker_backend.models()
    whole = await reply(worker_backend, "model", max_tokens=24)
    first = await reply(worker_backend, "model", max_tokens=12)
    given = Message(role=Role.ASSISTANT, content=text_of(first))
    question = Message(role=Role.USER, content="Tell me a story.")
    rest = await reply(worker_backend, "model", messages=[question, given], max_tokens=12)
    assert text_of(first) + text_of(rest) == text_of(whole)
    usage = end_of(rest).usage
    assert usage.cached_tokens > usage.prompt_tokens // 2
    assert usage.prompt_seconds > 0
    await worker_backend.close()


@pytest.mark.weights
async def test_llama_server_keeps_to_a_schema_and_takes_tools(worker_backend: OpenAICompatibleBackend) -> None:
    await worker_backend.models()
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    events = await reply(worker_backend, "model", json_schema=schema, max_tokens=60)
    if end_of(events).stop is StopReason.STOP:
        assert isinstance(json.loads(text_of(events))["n"], int)
    else:
        assert text_of(events).lstrip().startswith("{")
    tool = Tool(name="add", description="adds", parameters={"type": "object", "properties": {"a": {"type": "integer"}}})
    assert isinstance((await reply(worker_backend, "model", tools=(tool,)))[-1], ReplyEnd)
    await worker_backend.close()


@pytest.mark.weights
async def test_llama_server_without_its_key(real_worker: RealServer) -> None:
    backend = backend_for(real_worker.url)
    with pytest.raises(AccessDenied):
        await reply(backend, "model")
    await backend.close()


@pytest.mark.weights
def test_the_stand_in_says_what_llama_server_says(real_worker: RealServer) -> None:
    """Every field the stand-in writes is one the real server writes, of the same type."""
    headers = {"Authorization": f"Bearer {real_worker.key}"}
    with httpx.Client(base_url=real_worker.url, headers=headers, trust_env=False) as http:
        listed = http.get("/v1/models")
        real = listed.json()["data"][0]
        long = {"messages": [{"role": "user", "content": "word " * 3000}]}
        refusal = http.post("/v1/chat/completions", json=long).json()["error"]
    assert listed.headers["server"] == "llama.cpp"
    model = StandInModel(key="model", context=CONTEXT)
    ours = row(Flavour.LLAMA_SERVER, model, loaded=True)
    assert {name: type(real[name]) for name in ours} == {name: type(value) for name, value in ours.items()}
    assert {name: type(real["meta"][name]) for name in ours["meta"]} == {n: type(v) for n, v in ours["meta"].items()}
    assert overflow(Flavour.LLAMA_SERVER, model, refusal["n_prompt_tokens"])["error"] == refusal


@pytest.mark.weights
@pytest.mark.network
@pytest.mark.install
@pytest.mark.timeout(1200)
async def test_litellm_in_front_of_llama_server(real_litellm: RealServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXY_KEY", real_litellm.key)
    backend = backend_for(real_litellm.url, api_key="env:PROXY_KEY")
    (model,) = await backend.models()
    assert (model.key, model.max_context, model.origin) == ("team/starter", CONTEXT, "LiteLLM")
    assert (model.price_in, model.price_out) == (1.0, 2.0)
    assert list(await backend.loaded()) == []
    loaded = await backend.load(model, PLAN)
    assert (loaded.instance, loaded.owned, loaded.plan.context) == ("team/starter", False, CONTEXT)

    events = await reply(backend, model.key)
    usage = end_of(events).usage
    assert end_of(events).stop is StopReason.LENGTH
    assert text_of(events)
    assert usage.prompt_tokens > 5
    assert usage.completion_tokens == 12

    with pytest.raises(ContextExceeded, match=str(CONTEXT)):
        await reply(backend, model.key, messages=[Message(role=Role.USER, content="word " * 3000)])
    with pytest.raises(ModelFileError):
        await backend.load(replace(model, location="nobody/has-it"), PLAN)

    given = Message(role=Role.ASSISTANT, content=text_of(events))
    question = Message(role=Role.USER, content="Tell me a story.")
    rest = text_of(await reply(backend, model.key, messages=[question, given], max_tokens=40))
    assert not rest.startswith(given.content)
    assert (await backend.count_tokens(model.key, ["a word"]))[0] > 0
    await backend.close()

    monkeypatch.setenv("PROXY_KEY", "sk-wrong-4711")
    wrong = backend_for(real_litellm.url, api_key="env:PROXY_KEY")
    with pytest.raises(MaiError) as caught:
        await wrong.models()
    assert "4711" not in str(caught.value)
    await wrong.close()
