"""Kinds of models too large to have here: headers as published but for fewer layers, experts and tokens, with a hole
for weights. The real engine loads them, and tells the size of every buffer."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from mai_backends.embedded.measuring import measure
from mai_backends.gguf.facts import read_model
from mai_core.policy.activations import buffer_bytes
from mai_core.policy.footprint import kv_cache_bytes
from mai_core.policy.models import LoadPlan, ModelProfile
from tests.backends.gguf.published.building import metadata_of, rows_of
from tests.backends.gguf.published.models import PUBLISHED

pytest.importorskip("xllamacpp")

MIB = 2**20
TOKENS = 600
Q4_1, F32 = 3, 0
MORE: Mapping[str, Mapping[str, object]] = {
    "llama-4-scout": {"interleave_moe_layer_step": 1},
    "qwen3-next-80b-a3b": {"expert_shared_feed_forward_length": 512},
}
"""What the engine wants to know beside what memory follows from."""


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def packed(value: object) -> bytes:
    match value:
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
        case str():
            return struct.pack("<I", 8) + text(value)
        case [str(), *_]:
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(text(str(one)) for one in value)
        case [bool(), *_]:
            return struct.pack(f"<IIQ{len(value)}?", 9, 7, len(value), *value)
        case [int(), *_]:
            return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)
    raise TypeError(value)


def vocabulary() -> dict[str, object]:
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [f"t{number:04d}" for number in range(TOKENS)],
        "tokenizer.ggml.token_type": [1] * TOKENS,
        "tokenizer.ggml.merges": [f"t{number} {number:03d}" for number in range(TOKENS)],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.add_bos_token": False,
    }


def small(file: Path, name: str, layers: int) -> Path:
    """The published model ``name`` with its first ``layers``, at most 16 experts and few tokens."""
    model = PUBLISHED[name]
    config = replace(
        model.config, layers=layers, vocabulary=TOKENS, experts=min(model.config.experts, 16)
    )  # fmt: skip
    model = replace(model, config=config)
    metadata = {key: one for key, one in metadata_of(name, model).items() if not key.startswith("tokenizer.")}
    for key, one in metadata.items():
        if isinstance(one, list | tuple) and len(one) > layers:
            metadata[key] = list(one)[:layers]
    told = {"attention.layer_norm_epsilon": 1e-5, **MORE.get(name, {})}
    metadata |= {f"{model.architecture}.{key}": one for key, one in told.items()} | vocabulary()
    rows = rows_of(model)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(rows), len(metadata))
    head += b"".join(text(key) + packed(one) for key, one in metadata.items())
    offset = 0
    for tensor, shape, kind in rows:
        elements = 1
        for extent in shape:
            elements *= extent
        matrix = kind != "F32" and shape[0] % 32 == 0
        head += text(tensor) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, Q4_1 if matrix else F32, offset)
        offset += -(-(elements // 32 * 20 if matrix else elements * 4) // 32) * 32
    with file.open("wb") as out:
        out.write(head + bytes(-len(head) % 32))
        out.truncate(out.tell() + offset)
    return file


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("gemma-2-9b", 4),
        ("gemma-3-1b", 7),
        ("gpt-oss-20b", 4),
        ("llama-4-scout", 4),
        ("phi-4", 2),
        ("falcon-7b", 2),
        ("starcoder2-7b", 2),
        ("qwen3-30b-a3b", 2),
        ("mamba-1.4b", 3),
        ("rwkv-6-finch-3b", 2),
        ("rwkv-7-goose-2.9b", 2),
        ("qwen3-next-80b-a3b", 4),
    ],
)
async def test_caches_and_states_are_exact_and_no_buffer_is_larger_than_predicted(
    name: str, layers: int, tmp_path: Path
) -> None:
    file = small(tmp_path / "small.gguf", name, layers)
    shape = read_model([file]).architecture
    assert shape is not None
    model = ModelProfile(key=name, backend="b", location=str(file), size_bytes=file.stat().st_size, architecture=shape)
    plan = LoadPlan(context=12288, batch=64, parallel=2, threads=1)
    found = (await measure(model, plan, filled=1, tell=True)).buffers
    states = sum(group.count * group.state for group in shape.groups) * plan.parallel
    assert found.get("CPU KV", 0) == pytest.approx(kv_cache_bytes(shape, plan), rel=0, abs=MIB // 50)
    assert found.get("CPU RS", 0) == pytest.approx(states, rel=0, abs=MIB // 50)
    predicted = buffer_bytes(shape, plan, plan.context)
    # Less by its smallest inputs, which are a few bytes a token.
    assert found["CPU compute"] <= predicted * 1.01 + MIB // 20
    assert predicted <= found["CPU compute"] * 1.4
