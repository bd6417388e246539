"""The same weights under several names are one model; other weights never are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_core.policy import placements
from mai_core.policy.catalogue import parameters_in
from mai_core.policy.models import KnownModel, ModelProfile
from mai_core.policy.placements import describes, meant, placed

KNOWN = (
    KnownModel(key="qwen2.5-coder-0.5b-instruct", patterns=("qwen2.5-coder-0.5b-instruct*", "qwen2.5-coder-0.5b")),
    KnownModel(key="smollm2-135m-instruct", patterns=("smollm2-135m-instruct*",)),
)
SIZE = 491_400_032


def row(backend: str, key: str, size: int = 0, quantisation: str = "", sha256: str = "") -> ModelProfile:
    return ModelProfile(
        key=key, backend=backend, location=key, size_bytes=size, quantisation=quantisation, sha256=sha256
    )


FILE = row("embedded", "qwen2.5-coder-0.5b-instruct-q4_k_m", SIZE, "Q4_K_M")


@pytest.mark.parametrize(
    "other",
    [
        row("lmstudio", "qwen2.5-coder-0.5b-instruct", SIZE, "Q4_K_M"),
        row("lmstudio", "qwen/qwen2.5-coder-0.5b-instruct@q4_k_m", SIZE),
        row("ollama", "qwen2.5-coder:0.5b", SIZE + 2000, "Q4_K_M"),
        row("ollama", "qwen2.5-coder:0.5b-instruct-q4_K_M"),
        row("server", "Qwen2.5-Coder-0.5B-Instruct-Q4_K_M.gguf"),
    ],
)
def test_one_model_by_many_names(other: ModelProfile) -> None:
    [_, first], [_, second] = placed([FILE, other], KNOWN)
    assert first.model == second.model == FILE.key


@pytest.mark.parametrize(
    "other",
    [
        row("lmstudio", "qwen2.5-coder-0.5b-instruct", SIZE, "Q8_0"),
        row("ollama", "qwen2.5-coder:0.5b", 2 * SIZE),
        row("vllm", "Qwen/Qwen2.5-Coder-0.5B-Instruct"),
        row("lmstudio", "qwen2.5-coder-0.5b-instruct-roleplay", SIZE, "Q4_K_M"),
        row("lmstudio", "qwen2.5-coder-1.5b-instruct", SIZE, "Q4_K_M"),
    ],
)
def test_other_weights_stay_apart(other: ModelProfile) -> None:
    [_, first], [_, second] = placed([FILE, other], KNOWN)
    assert first.model != second.model


def test_a_digest_decides_alone() -> None:
    one, two = replace(FILE, sha256="a" * 64), row("ollama", FILE.key, SIZE, "Q4_K_M", sha256="b" * 64)
    [_, first], [_, second] = placed([one, two], KNOWN)
    assert first.model != second.model
    [_, first], [_, second] = placed([one, replace(two, sha256=one.sha256)], KNOWN)
    assert first.model == second.model


def test_the_second_of_one_name_gets_its_backend_in_front() -> None:
    rows = [row("one", "m", 10, "Q8_0"), row("two", "m", 10, "Q8_0"), row("two", "m", 10, "Q8_0")]
    pairs = placed(rows, ())
    assert [(own.key, named.key, named.model) for own, named in pairs] == [("m", "m", "m"), ("m", "two/m", "m")]


def test_a_backend_is_named_once_in_a_key() -> None:
    rows = [row("embedded", "tiny"), row("gateway", "vllm/tiny"), row("vllm", "tiny"), row("vllm", "vllm/tiny")]
    assert [named.key for _, named in placed(rows, ())] == ["tiny", "vllm/tiny", "vllm/tiny#2", "vllm/tiny#3"]


@pytest.mark.parametrize("first", [0, 1])
def test_a_model_that_is_called_just_so_is_meant_before_one_of_a_backend(first: int) -> None:
    rows = [row("gateway", "vllm/tiny", 100), row("vllm", "tiny", 200)]
    models = [named for _, named in placed([rows[first], rows[1 - first]], ())]
    assert [(m.backend, m.key) for m in meant("vllm/tiny", models)] == [("gateway", "vllm/tiny")]
    assert [(m.backend, m.key) for m in meant("tiny", models)] == [("vllm", "tiny")]
    alone = [m for m in models if m.backend == "vllm"]
    assert meant("vllm/tiny", alone) == tuple(alone)
    assert meant("tinier", models) == ()


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("smollm2-135m-instruct", True),
        ("SmolLM2-135M-Instruct.Q4_1.gguf", True),
        ("qwen/qwen2.5-coder-0.5b-instruct@q4_k_m", True),
        ("qwen2.5-coder:0.5b", True),
        ("smollm2-135m-instruct-roleplay-q8_0", False),
    ],
)
def test_an_entry_is_of_the_model_it_names_and_not_of_what_was_made_from_it(key: str, told: bool) -> None:
    assert any(describes(entry, key) for entry in KNOWN) == told


NAMES = st.sampled_from(["one/m", "three/one/m", "a-7b-q4_k_m", "a-7b", "a:7b", "b-1b-q8_0", "org/a-7b", "m"])
ROWS = st.lists(
    st.builds(
        row,
        st.sampled_from(["one", "two", "three"]),
        NAMES,
        st.sampled_from([0, 1000, 1001, 4000]),
        st.sampled_from(["", "Q4_K_M", "Q8_0"]),
        st.sampled_from(["", "a" * 64, "b" * 64]),
    ),
    max_size=8,
)


@given(ROWS)
def test_keys_are_unique_and_every_model_is_one_of_them(rows: list[ModelProfile]) -> None:
    pairs = placed(rows, KNOWN)
    keys = [named.key for _, named in pairs]
    assert len(set(keys)) == len(keys)
    assert not [named.key for own, named in pairs if f"{own.backend}/{own.backend}/" in named.key]
    assert {named.model for _, named in pairs} <= set(keys)
    assert {(own.backend, own.key) for own, _ in pairs} == {(r.backend, r.key) for r in rows}


@given(ROWS)
def test_a_pin_means_its_own_placements_and_no_others(rows: list[ModelProfile]) -> None:
    models = [named for _, named in placed(rows, KNOWN)]
    for model in models:

        def meant(pinned: str) -> list[ModelProfile]:
            return list(placements.meant(pinned, models))

        assert model in meant(model.key)
        assert {m.model for m in meant(model.model)} == {model.model}
        assert len(meant(model.model)) == sum(m.model == model.model for m in models)
        if model.key != model.model:
            assert meant(model.key) == [model]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", 7e9),
        ("smollm2:135m", 135e6),
        ("qwen2.5-coder:0.5b-instruct-q4_K_M", 0.5e9),
        ("mixtral-8x7b-instruct", 56e9),
        ("gpt-4o", 0.0),
        ("phi-4", 0.0),
        ("model-b7b", 0.0),
    ],
)
def test_names_tell_parameters(name: str, parameters: float) -> None:
    assert parameters_in(name) == pytest.approx(parameters)
