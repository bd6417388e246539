"""The header reader: right about right files, and short with wrong ones."""

from __future__ import annotations

import contextlib
import os
import struct
import time
import tracemalloc
from functools import cache
from pathlib import Path

import pytest
from gguf_writer import F32, LLAMA, Q4_K, TENSORS, gguf, text, tiny, value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mai_backends.gguf.facts import FileKind, ModelFacts, read_model
from mai_backends.gguf.reader import read_header
from mai_core.errors import ModelFileError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def facts(file: Path, metadata: dict[str, object], tensors: object = TENSORS) -> ModelFacts:
    file.write_bytes(gguf(metadata, tensors))  # type: ignore[arg-type]
    return read_model([file])


@pytest.mark.parametrize("version", [2, 3])
def test_a_header_is_read_back(file: Path, version: int) -> None:
    file.write_bytes(gguf({**LLAMA, "llama.rope.freq_base": 10000.0, "flag": True}, TENSORS, version=version))
    header = read_header(file)
    assert header.version == version
    assert header.metadata["general.name"] == "Tiny Llama"
    assert header.metadata["llama.rope.freq_base"] == 10000.0
    assert header.metadata["flag"] is True
    assert header.lengths == {"tokenizer.ggml.tokens": 4}
    assert [(tensor.name, tensor.elements, tensor.size) for tensor in header.tensors] == [
        ("token_embd.weight", 1024, 576),
        ("blk.0.attn_q.weight", 512, 288),
        ("norm.weight", 64, 256),
    ]


def test_the_numbers_memory_follows_from(file: Path) -> None:
    found = facts(file, dict(LLAMA))
    assert (found.kind, found.quantisation, found.parameters, found.max_context) == (
        FileKind.TEXT,
        "Q4_K_M",
        1600,
        2048,
    )
    architecture = found.architecture
    assert architecture is not None
    # 2 heads of 64 / 8 elements, keys and values
    assert architecture.kv_width == 2 * (8 + 8)
    assert (architecture.layers, architecture.embedding, architecture.feed_forward) == (4, 64, 256)
    assert (architecture.vocabulary, architecture.tokenizer) == (4, "gpt2")


def test_matrices_of_eight_rows_are_copied_and_an_embedding_that_is_the_head_as_well(file: Path) -> None:
    matrix, odd = ("blk.0.ffn_up.weight", (256, 16), Q4_K), ("blk.0.attn_q.weight", (256, 12), Q4_K)
    embedding, head = ("token_embd.weight", (256, 8), Q4_K), ("output.weight", (256, 8), Q4_K)
    for tensors, rows in (((matrix, odd, embedding), 16 + 8), ((matrix, odd, embedding, head), 16 + 8)):
        found = facts(file, dict(LLAMA), tensors)
        assert found.architecture is not None
        assert found.architecture.repack_bytes == rows * 144
        assert found.architecture.weights is not None
        assert found.architecture.weights.tied == (len(tensors) == 3)


def test_types_the_engine_reads_as_they_are_are_not_repacked(file: Path) -> None:
    found = facts(file, dict(LLAMA), (("blk.0.ffn_up.weight", (64, 8), F32),))
    assert found.architecture is not None
    assert found.architecture.repack_bytes == 0


def test_key_and_value_lengths_may_be_given_and_differ(file: Path) -> None:
    found = facts(file, {**LLAMA, "llama.attention.key_length": 192, "llama.attention.value_length": 128})
    assert found.architecture is not None
    assert found.architecture.kv_width == 2 * (192 + 128)


def test_heads_by_layer_are_averaged_so_that_the_sum_is_right(file: Path) -> None:
    found = facts(file, {**LLAMA, "llama.attention.head_count_kv": [0, 0, 0, 2], "llama.feed_forward_length": [1, 9]})
    assert found.architecture is not None
    assert found.architecture.kv_width * found.architecture.layers == 2 * (8 + 8)
    assert found.architecture.feed_forward == 9


@pytest.mark.parametrize(("name", "layers", "sliding"), [("gemma2", 26, 13), ("gemma3", 18, 15), ("llama", 18, 0)])
def test_sliding_layers(file: Path, name: str, layers: int, sliding: int) -> None:
    metadata = {key.replace("llama.", f"{name}."): item for key, item in LLAMA.items()}
    metadata |= {"general.architecture": name, f"{name}.block_count": layers, f"{name}.attention.sliding_window": 512}
    found = facts(file, metadata)
    assert found.architecture is not None
    assert (found.architecture.sliding_window, found.architecture.sliding_layers) == (512 if sliding else 0, sliding)


def test_sliding_layers_by_an_explicit_pattern(file: Path) -> None:
    metadata = {key.replace("llama.", "gemma3."): item for key, item in LLAMA.items()}
    metadata |= {
        "general.architecture": "gemma3",
        "gemma3.attention.sliding_window": 64,
        "gemma3.attention.sliding_window_pattern": [True, True, False, True],
    }
    found = facts(file, metadata)
    assert found.architecture is not None
    assert found.architecture.sliding_layers == 3


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"general.type": "mmproj"}, FileKind.PROJECTOR),
        ({"general.architecture": "clip"}, FileKind.PROJECTOR),
        ({"general.type": "adapter"}, FileKind.ADAPTER),
        ({"adapter.type": "lora", "adapter.lora.alpha": 16.0}, FileKind.ADAPTER),
        ({"general.architecture": "eagle3", "eagle3.block_count": 1}, FileKind.DRAFT),
        ({"llama.pooling_type": 3}, FileKind.EMBEDDING),
        ({"llama.attention.causal": False}, FileKind.EMBEDDING),
        ({"general.architecture": "flux"}, FileKind.OTHER),
    ],
)
def test_files_one_cannot_chat_with(file: Path, change: dict[str, object], kind: FileKind) -> None:
    found = facts(file, {**LLAMA, **change})
    assert (found.kind, found.architecture) == (kind, None)


def test_facts_survive_the_cache(file: Path) -> None:
    found = facts(file, dict(LLAMA))
    assert ModelFacts.from_json(found.to_json()) == found


def test_a_type_younger_than_the_reader_is_no_error(file: Path) -> None:
    whole = bytearray(gguf(LLAMA, (("x", (32,), F32),)))
    at = whole.index(text("x")) + len(text("x")) + 4 + 8
    whole[at : at + 4] = struct.pack("<I", 250)
    file.write_bytes(whole)
    assert read_header(file).tensors[0].size == 0


def pairs(*items: bytes, tensors: int = 0, count: int | None = None) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, len(items) if count is None else count) + b"".join(items)


ALIGNED = gguf(LLAMA, TENSORS)
HOSTILE = {
    "empty": (b"", "truncated"),
    "another format": (b"\x89PNG" + bytes(64), "not a GGUF"),
    "a page": (b"<!doctype html>", "not a GGUF"),
    "version 1": (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
    "big-endian version 1": (b"GGUF" + struct.pack(">IQQ", 1, 0, 0), "version 1"),
    "too many tensors": (pairs(tensors=1 << 40), "tensors"),
    "too many pairs": (pairs(count=1 << 60), "metadata"),
    "a key without end": (pairs(struct.pack("<Q", 1 << 63)), "name of"),
    "a text without end": (pairs(text("k") + struct.pack("<IQ", 8, 1 << 62)), "truncated"),
    "an array without end": (pairs(text("k") + struct.pack("<IIQ", 9, 4, 1 << 61)), "truncated"),
    "texts without end": (pairs(text("k") + struct.pack("<IIQ", 9, 8, 1 << 61)), "array of"),
    "one long text among texts": (pairs(text("k") + struct.pack("<IIQQ", 9, 8, 2, (1 << 64) - 8)), "truncated"),
    "arrays in arrays": (pairs(text("k") + struct.pack("<IIQ", 9, 9, 1)), "array of arrays"),
    "an unknown type": (pairs(text("k") + struct.pack("<I", 77)), "unknown type 77"),
    "a key twice": (pairs(text("k") + value(1), text("k") + value(1)), "twice"),
    "five dimensions": (pairs(tensors=1) + text("t") + struct.pack("<I", 5), "dimensions"),
    "half a block": (pairs(tensors=1) + text("t") + struct.pack("<IQIQ", 1, 100, Q4_K, 0), "multiple"),
    "an offset between": (pairs(tensors=1) + text("t") + struct.pack("<IQIQ", 1, 4, F32, 3), "alignment"),
    "weights without end": (pairs(tensors=1) + text("t") + struct.pack("<IQIQ", 1, 1 << 60, F32, 0), "truncated"),
    "an offset without end": (pairs(tensors=1) + text("t") + struct.pack("<IQIQ", 1, 4, F32, 1 << 62), "truncated"),
    "a byte too short": (ALIGNED[:-1], "truncated"),
    "half of it": (ALIGNED[: len(ALIGNED) // 2], "truncated"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_at_once(file: Path, name: str) -> None:
    content, message = HOSTILE[name]
    file.write_bytes(content)
    started = time.perf_counter()
    with pytest.raises(ModelFileError, match=message) as caught:
        read_header(file)
    assert time.perf_counter() - started < 0.5
    assert caught.value.remedy


@pytest.mark.parametrize("alignment", [0, 3, 48])
def test_an_alignment_is_a_power_of_two(file: Path, alignment: int) -> None:
    file.write_bytes(pairs(text("general.alignment") + value(alignment)))
    with pytest.raises(ModelFileError, match="alignment"):
        read_header(file)


@pytest.mark.parametrize("key", ["llama.block_count", "llama.attention.head_count", "llama.embedding_length"])
def test_senseless_numbers_are_refused(file: Path, key: str) -> None:
    with pytest.raises(ModelFileError):
        facts(file, {**LLAMA, key: "many"})


def test_no_layers_at_all(file: Path) -> None:
    with pytest.raises(ModelFileError, match="0 layers"):
        facts(file, {**LLAMA, "llama.block_count": 0})


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    for name in ("pipe.gguf", "missing.gguf", "."):
        with pytest.raises(ModelFileError):
            read_header(tmp_path / name)


def test_memory_is_bounded(file: Path) -> None:
    """200,000 tokens of 100 bytes are 20 MB on disk; reading past them takes a window or two."""
    tokens = struct.pack("<IIQ", 9, 8, 200_000) + (struct.pack("<Q", 100) + bytes(100)) * 200_000
    file.write_bytes(pairs(text("tokenizer.ggml.tokens") + tokens, text("general.name") + value("x" * 5_000_000)))
    tracemalloc.start()
    try:
        header = read_header(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert header.lengths["tokenizer.ggml.tokens"] == 200_000
    assert len(str(header.metadata["general.name"])) == 4096
    assert peak < 6 << 20


def test_tokens_longer_than_the_window(file: Path) -> None:
    tokens = ["short", "x" * 3_000_000, "", "y" * 1_048_568, "end"]
    file.write_bytes(gguf({"tokenizer.ggml.tokens": tokens, "general.name": "after"}))
    header = read_header(file)
    assert (header.lengths["tokenizer.ggml.tokens"], header.metadata["general.name"]) == (5, "after")


@cache
def sample() -> bytes:
    return tiny()


@settings(max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=512), st.booleans())
def test_random_bytes_are_refused_and_nothing_else(file: Path, content: bytes, disguised: bool) -> None:
    file.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1, 2) + content if disguised else content)
    with pytest.raises(ModelFileError):
        read_model([file])


@settings(max_examples=500, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_header_is_read_or_refused(file: Path, data: st.DataObject) -> None:
    content = bytearray(sample())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
        if not content:
            break
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(ModelFileError):
        read_model([file])


@pytest.mark.weights
def test_real_headers(starter_gguf: Path, second_gguf: Path) -> None:
    starter, second = read_model([starter_gguf]), read_model([second_gguf])
    assert (starter.quantisation, starter.parameters, starter.max_context) == ("Q4_1", 134_515_008, 8192)
    assert starter.architecture is not None
    assert second.architecture is not None
    # 45 MiB of keys and values at 2048 tokens, 96 MiB at 8192, as the engine reports them
    assert starter.architecture.kv_width * starter.architecture.layers * 2048 * 2 == 45 << 20
    assert second.architecture.kv_width * second.architecture.layers * 8192 * 2 == 96 << 20
    assert (starter.architecture.repack_bytes, second.architecture.repack_bytes >> 20) == (0, 28)
    assert starter.chat_template
    assert second.chat_template


@pytest.mark.weights
def test_a_real_header_takes_about_30_milliseconds(second_gguf: Path) -> None:
    """The largest vocabulary at hand: 300,000 texts to step over. The bound allows for a busy machine."""
    seconds = []
    for _ in range(5):
        started = time.process_time()
        read_header(second_gguf)
        seconds.append(time.process_time() - started)
    assert min(seconds) < 0.08
