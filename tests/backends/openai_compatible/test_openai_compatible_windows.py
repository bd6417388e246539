"""Windows and names nobody can have are nobody's: they never reach what a person is shown or advised."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_serving import backend_for, reply

from mai_backends.openai_compatible.failures import refused, window_told
from mai_backends.openai_compatible.kinds import Kind
from mai_backends.openai_compatible.offers import read_offer
from mai_backends.openai_compatible.profiles import UNTOLD_CONTEXT, name_in
from mai_backends.windows import LARGEST, SMALLEST, believable
from mai_backends.wire.errors import Refusal
from mai_core.errors import ContextExceeded, SettingsError
from mai_core.policy.models import LoadPlan
from tests.standins.openai import Flavour, OpenAIStandIn, StandInModel

ABSURD = [
    0,
    -1,
    -(10**18),
    1,
    7,
    10**18,
    2**70,
    True,
    1.5,
    1e18,
    float("nan"),
    float("inf"),
    "1",
    "many",
    "1e4",
    [],
    {},
]
FIELDS = ["n_ctx_train", "context_length", "max_input_tokens", "n_ctx", "max_model_len", "loaded_context_length"]
anything = st.integers() | st.floats() | st.text() | st.booleans() | st.none() | st.sampled_from(ABSURD)


@given(anything)
def test_a_window_is_believable_or_unknown(told: object) -> None:
    window = believable(told)
    assert window == 0 or (SMALLEST <= window <= LARGEST and window == told)


@given(st.integers(SMALLEST, LARGEST))
def test_what_a_window_can_be_is_believed(tokens: int) -> None:
    assert believable(tokens) == believable(float(tokens)) == tokens


@given(st.dictionaries(st.sampled_from(FIELDS), anything), st.dictionaries(st.sampled_from(FIELDS), anything))
def test_no_row_makes_a_window_of_nonsense(row: dict[str, Any], meta: dict[str, Any]) -> None:
    offer = read_offer({**row, "id": "m", "meta": meta}, Kind.UNKNOWN)
    assert offer is not None
    assert offer.context == 0 or SMALLEST <= offer.context <= LARGEST
    assert offer.context or not offer.served


def test_what_makes_sense_beside_nonsense_is_taken() -> None:
    offer = read_offer({"id": "m", "max_model_len": 1, "context_length": 0, "context_window": 4096}, Kind.VLLM)
    assert offer is not None
    assert (offer.context, offer.served) == (4096, False)


@pytest.mark.parametrize("context", [0, -5, 1, 10**18], ids=str)
@pytest.mark.parametrize("flavour", [Flavour.VLLM, Flavour.LLAMA_SERVER, Flavour.LITELLM])
async def test_a_server_that_tells_nonsense_offers_a_model_all_the_same(flavour: Flavour, context: int) -> None:
    with OpenAIStandIn(
        [StandInModel(key="tiny", context=context), StandInModel(key="good")], flavour=flavour
    ) as server:
        backend = backend_for(server.url)
        odd, _ = await backend.models()
        assert odd.max_context == UNTOLD_CONTEXT
        assert (await backend.load(odd, LoadPlan(context=512))).plan.context == UNTOLD_CONTEXT
        await backend.close()


@pytest.mark.parametrize("told", [0, 1, -3, 10**18, "4096", True])
async def test_a_refusal_that_tells_nonsense_is_not_learned_from(told: object) -> None:
    said = {"message": "request exceeds the available context size", "n_ctx": told, "n_prompt_tokens": 10**17}
    refusal = Refusal.of({"error": said}, status=400)
    assert window_told(refusal) == 0
    assert refused("m", refusal, server="s").message == "the prompt is longer than the window of m"
    assert window_told(Refusal(status=400, message="maximum context length is 001 tokens")) == 0
    with OpenAIStandIn() as server:
        backend = backend_for(server.url)
        (before,) = await backend.models()
        server.refusals = [(400, {}, {"error": said})]
        with pytest.raises(ContextExceeded):
            await reply(backend)
        assert (await backend.models())[0].max_context == before.max_context
        await backend.close()


def test_a_person_who_writes_nonsense_hears_of_it() -> None:
    with pytest.raises(SettingsError, match=r"models\.a\.context"):
        backend_for("http://127.0.0.1:1", models={"a": {"context": 1}})


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        ("tiny", "tiny"),
        ("vllm/tiny", "tiny"),
        ("/models/vllm/tiny/", "tiny"),
        ("Qwen/Qwen2.5-7B-Instruct", "Qwen2.5-7B-Instruct"),
        ("openrouter/org/m:free", "m:free"),
        ("models/7B/ggml-model.Q4_0.gguf", "ggml-model.Q4_0"),
        ("C:\\models\\Tiny.GGUF", "Tiny"),
        (f"/root/.cache/huggingface/hub/models--org--Tiny-1B/snapshots/{'0a' * 20}", "Tiny-1B"),
        ("/", "/"),
        (".gguf", ".gguf"),
    ],
)
def test_a_model_is_called_by_its_own_name(identifier: str, name: str) -> None:
    assert name_in(identifier) == name


async def test_the_name_of_a_folder_is_no_part_of_it() -> None:
    with OpenAIStandIn([StandInModel(key="vllm/tiny")], flavour=Flavour.VLLM) as server:
        backend = backend_for(server.url)
        (model,) = await backend.models()
        assert (model.key, model.location, model.name) == ("vllm/tiny", "vllm/tiny", "tiny")
        await backend.close()
