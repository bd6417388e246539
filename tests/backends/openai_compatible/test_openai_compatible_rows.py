"""What the servers' lists say, in the shapes they are known to have, and in others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_backends.openai_compatible.kinds import Kind, kind_of
from mai_backends.openai_compatible.listing import Listing
from mai_backends.openai_compatible.offers import Offer, read_offer
from mai_backends.openai_compatible.options import ModelOptions, OpenAICompatibleOptions
from mai_backends.openai_compatible.profiles import UNTOLD_CONTEXT, chosen, profile
from mai_core.policy.models import Capability, ModelProfile, Tier

PLACED = ModelProfile(key="", location="", backend="mine", host="gpu-box", remote=True)

LLAMA = {
    "id": "model",
    "object": "model",
    "owned_by": "llamacpp",
    "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
    "meta": {"n_ctx": 1024, "n_ctx_train": 8192, "n_params": 134515008, "size": 96576768, "ftype": "Q4_1"},
}
ROUTER = {**LLAMA, "id": "a", "status": {"value": "unloaded", "args": []}, "meta": None}
SWAP = {"id": "a", "owned_by": "llama-swap", "name": "A", "meta": {"llamaswap": {"context_length": 4096}}}
SWAP_NEW = {
    "id": "a",
    "owned_by": "llama-swap",
    "context_length": 8192,
    "capabilities": {"vision": True, "tools": True},
}
VLLM = {"id": "org/m", "owned_by": "vllm", "max_model_len": 2048, "root": "org/m"}
LITELLM = {
    "id": "team/m",
    "created": 1677610602,
    "owned_by": "openai",
    "mode": "chat",
    "max_input_tokens": 16000,
    "input_cost_per_token": 1e-6,
    "output_cost_per_token": 2.5e-6,
    "supports_vision": True,
    "supports_function_calling": True,
}
LM_STUDIO = {
    "id": "qwen",
    "owned_by": "organization_owner",
    "type": "vlm",
    "state": "loaded",
    "quantization": "4bit",
    "max_context_length": 32768,
    "loaded_context_length": 4096,
    "capabilities": ["tool_use"],
}
OPENROUTER = {
    "id": "org/m:free",
    "name": "Org: M",
    "context_length": 131072,
    "pricing": {"prompt": "0.00000015", "completion": "0.0000006"},
    "supported_parameters": ["tools", "structured_outputs"],
    "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
}
GROQ = {"id": "llama-3.1-8b-instant", "owned_by": "Meta", "context_window": 131072, "active": True}

VISION, TOOLS, JSON = Capability.VISION, Capability.TOOLS, Capability.JSON


def offer(row: Mapping[str, Any], kind: Kind = Kind.UNKNOWN) -> Offer:
    found = read_offer(dict(row), kind)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("rows", "headers", "kind"),
    [
        ([LLAMA], {"server": "llama.cpp"}, Kind.LLAMA_SERVER),
        ([{"id": "x"}], {"server": "llama.cpp"}, Kind.LLAMA_SERVER),
        ([ROUTER, ROUTER], {}, Kind.LLAMA_ROUTER),
        ([SWAP], {}, Kind.LLAMA_SWAP),
        ([VLLM, VLLM], {"server": "uvicorn"}, Kind.VLLM),
        ([{"id": "x", "owned_by": "sglang"}], {}, Kind.SGLANG),
        ([LITELLM], {"server": "uvicorn"}, Kind.LITELLM),
        ([LM_STUDIO], {}, Kind.LM_STUDIO),
        ([OPENROUTER], {}, Kind.UNKNOWN),
        ([VLLM, LLAMA], {}, Kind.UNKNOWN),
        ([], {}, Kind.UNKNOWN),
        ([{"id": "x", "owned_by": ["vllm"]}], {}, Kind.UNKNOWN),
    ],
)
def test_who_answers(rows: list[Mapping[str, Any]], headers: Mapping[str, str], kind: Kind) -> None:
    assert kind_of(rows, headers) is kind


@pytest.mark.parametrize(
    ("row", "context", "served", "loaded"),
    [
        (LLAMA, 1024, True, None),
        (ROUTER, 0, False, False),
        (SWAP, 4096, False, None),
        (SWAP_NEW, 8192, False, None),
        (VLLM, 2048, True, None),
        (LITELLM, 16000, False, None),
        (LM_STUDIO, 4096, True, True),
        (OPENROUTER, 131072, False, None),
        (GROQ, 131072, False, None),
        ({"id": "x", "status": "loaded"}, 0, False, True),
        ({"id": "x", "status": {"value": "loading"}}, 0, False, False),
        ({"id": "x", "loaded": False, "context_length": "4096"}, 4096, False, False),
        ({"id": "x", "context_length": -1, "max_model_len": True, "context_window": 1e9}, 0, False, None),
    ],
)
def test_windows_and_states(row: Mapping[str, Any], context: int, served: bool, loaded: bool | None) -> None:
    found = offer(row)
    assert (found.context, found.served, found.loaded) == (context, served, loaded)


@pytest.mark.parametrize(
    ("row", "kind", "capabilities"),
    [
        (LLAMA, Kind.LLAMA_SERVER, {VISION, JSON}),
        (SWAP_NEW, Kind.LLAMA_SWAP, {VISION, TOOLS}),
        (VLLM, Kind.VLLM, {JSON}),
        (LITELLM, Kind.LITELLM, {VISION, TOOLS}),
        (LM_STUDIO, Kind.LM_STUDIO, {VISION, TOOLS, JSON}),
        (OPENROUTER, Kind.UNKNOWN, {VISION, TOOLS, JSON}),
        (GROQ, Kind.UNKNOWN, set()),
    ],
)
def test_capabilities(row: Mapping[str, Any], kind: Kind, capabilities: set[Capability]) -> None:
    assert offer(row, kind).capabilities == capabilities


def test_prices_are_for_a_million_tokens() -> None:
    assert (offer(LITELLM).price_in, offer(LITELLM).price_out) == (1.0, 2.5)
    assert (offer(OPENROUTER).price_in, offer(OPENROUTER).price_out) == (0.15, 0.6)
    assert offer({"id": "x", "pricing": {"prompt": "-1", "completion": "nan"}}).price_in == 0.0


@pytest.mark.parametrize(
    "row",
    [
        {"type": "embeddings"},
        {"mode": "embedding"},
        {"type": "reranker"},
        {"mode": "image_generation"},
        {"mode": "audio_transcription"},
        {"architecture": {"output_modalities": ["embeddings"]}},
        {"capabilities": ["embedding"]},
    ],
)
def test_what_does_not_converse_says_so(row: dict[str, Any]) -> None:
    assert not offer({"id": "x", **row}).chat
    assert offer({"id": "x", "type": "llm", "mode": "chat", "capabilities": ["completion", "embedding"]}).chat


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KNOWN_FIELDS = sorted(
    {field for row in (LLAMA, SWAP_NEW, LITELLM, LM_STUDIO, OPENROUTER) for field in row} | {"status"}
)


@given(st.dictionaries(st.sampled_from(KNOWN_FIELDS), anything), st.sampled_from(list(Kind)))
def test_an_odd_field_costs_that_field_alone(row: dict[str, Any], kind: Kind) -> None:
    found = read_offer({**row, "id": "some/model"}, kind)
    assert found is not None
    assert found.id == "some/model"
    assert found.context >= 0
    assert found.price_in >= 0
    shown = profile(found, PLACED, None, window=0, fault="")
    assert shown.max_context > 0
    assert kind_of([row], {}) in Kind


@given(anything)
def test_what_is_no_row_is_none(row: object) -> None:
    found = read_offer(row, Kind.UNKNOWN)
    assert found is None or (isinstance(row, dict) and found.id == row["id"])


def test_what_the_person_knows_comes_first() -> None:
    known = ModelOptions.model_validate(
        {"context": 999, "prices": {"in": 3, "out": 4}, "capabilities": ["tools"], "parameters": 8e9}
    )
    shown = profile(offer(OPENROUTER), PLACED, known, window=500, fault="")
    assert (shown.max_context, shown.price_in, shown.price_out, shown.parameters) == (999, 3.0, 4.0, 8e9)
    assert (shown.capabilities, shown.tier) == ({TOOLS}, Tier.MEDIUM)
    assert (shown.backend, shown.host, shown.remote) == ("mine", "gpu-box", True)
    untold = profile(Offer(id="x"), PLACED, None, window=0, fault="")
    assert (untold.max_context, untold.key, untold.location) == (UNTOLD_CONTEXT, "x", "x")
    assert profile(offer(LLAMA), PLACED, None, window=500, fault="").max_context == 500


def test_the_settings_choose_among_what_is_listed() -> None:
    listing = Listing(Kind.LITELLM, {key: Offer(id=key) for key in ("a", "b", "openai/*")})
    assert [found.id for found, _ in chosen(listing, {})] == ["a", "b"]
    named = {key: ModelOptions() for key in ("b", "openai/gpt", "c")}
    assert [(found.id, bool(fault)) for found, fault in chosen(listing, named)] == [
        ("b", False),
        ("openai/gpt", False),
        ("c", True),
    ]


def test_a_brief_listing_changes_what_changes() -> None:
    known = replace(offer(LLAMA), loaded=False)
    before = Listing(Kind.LLAMA_ROUTER, {"model": known})
    after = before.updated(
        Listing(Kind.LLAMA_ROUTER, {"model": Offer(id="model", loaded=True), "new": Offer(id="new")})
    )
    assert after.offers == {"model": replace(known, loaded=True), "new": Offer(id="new")}
    served = before.updated(Listing(Kind.LLAMA_ROUTER, {"model": Offer(id="model", context=2048, served=True)}))
    assert served.offers["model"].context == 2048


@pytest.mark.parametrize(
    ("base_url", "v1", "root"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080/v1", "http://127.0.0.1:8080"),
        ("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1", "https://openrouter.ai/api"),
        ("https://host/paas/v4", "https://host/paas/v4", "https://host/paas"),
        ("https://host/v1beta/openai", "https://host/v1beta/openai", "https://host"),
        ("http://[::1]:8080/llm", "http://[::1]:8080/llm/v1", "http://[::1]:8080/llm"),
    ],
)
def test_base_urls(base_url: str, v1: str, root: str) -> None:
    options = OpenAICompatibleOptions(base_url=base_url)
    assert (options.v1, options.root) == (v1, root)
