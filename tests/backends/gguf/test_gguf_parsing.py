"""The parser: right about every right header, in any byte order and by windows of any size; short with wrong ones."""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import struct
import time
import tracemalloc
from functools import cache
from pathlib import Path

import pytest
from gguf_bytes import Numbers, Row, Strings, Typed, Writer, header, write
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mai_backends.gguf.parsing import Need, parse
from mai_backends.gguf.reader import read_header
from mai_backends.gguf.types import Header
from mai_core.errors import ModelFileError

F32 = 0
W = Writer()
TINY: tuple[Row, ...] = (("token_embd.weight", (64, 4), "F16"), ("blk.0.ffn_up.weight", (64, 8), "Q8_0"))


def by_windows(content: bytes, size: int, window: int, *, strict: bool = True) -> Header:
    """Parse, and see that what is asked for never goes back and is not more than needed."""
    parsing = parse("x.gguf", size, strict=strict)
    need, before = next(parsing), Need(0, 0)
    try:
        while True:
            assert need.start >= before.start
            assert 0 < need.length <= 16_384
            before = need
            need = parsing.send(content[need.start : need.start + max(need.length, window)])
    except StopIteration as end:
        found: Header = end.value
        return found


texts = st.text(max_size=40)
values = (
    st.booleans()
    | st.integers(0, 2**32 - 1)
    | st.floats(allow_nan=False, width=32)
    | texts
    | st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=40)
    | st.lists(st.floats(allow_nan=False, width=32), min_size=1, max_size=9)
    | st.lists(st.booleans(), min_size=1, max_size=9)
    | st.lists(st.text(max_size=400), min_size=1, max_size=150)
    | st.builds(Strings, st.sampled_from([0, 1, 50, 1023, 1024, 1200]), st.sampled_from([0, 1, 7, 255, 256]))
    | st.builds(Numbers, st.integers(0, 3000), st.sampled_from([0, 5, 6, 10]))
)
keys = st.text(min_size=1, max_size=30) | st.sampled_from([f"tokenizer.{name}" for name in ("x", "ggml.y", "z" * 99)])
entries = st.dictionaries(keys, values, max_size=8)
shapes = st.lists(st.integers(1, 5), min_size=0, max_size=3).map(lambda more: (64, *more))
tables = st.dictionaries(st.text(max_size=30), st.tuples(shapes, st.sampled_from(["F32", "F16", "Q8_0"])), max_size=6)


@settings(max_examples=150, deadline=None)
@given(entries, tables, st.sampled_from(["little", "big"]), st.sampled_from([2, 3]), st.integers(1, 50_000))
def test_what_was_written_is_read(
    metadata: dict[str, object],
    tensors: dict[str, tuple[tuple[int, ...], str]],
    order: str,
    version: int,
    window: int,
) -> None:
    rows = [(name, shape, kind) for name, (shape, kind) in tensors.items()]
    metadata.pop("general.alignment", None)
    content, size = header(metadata, rows, version=version, order=order)
    found = by_windows(content, size, window)
    assert (found.version, found.byte_order, found.size, found.weights_at) == (version, order, size, len(content))
    assert [(one.name, one.shape, one.elements) for one in found.tensors] == [
        (name, shape, math.prod(shape)) for name, shape, _ in rows
    ]
    for key, item in metadata.items():
        match item:
            case Strings(count) | Numbers(count):
                assert found.lengths[key] == count
            case [str(), *_]:
                assert found.lengths[key] == len(item)
                assert key not in found.metadata
            case list():
                assert found.metadata[key] == tuple(item)
            case _:
                assert found.metadata[key] == item


@settings(max_examples=150, deadline=None)
@given(entries, tables, st.integers(1000, 50_000))
@example({"tokens": Strings(1024, 0), "between": False, "tokenizer.x": False}, {}, 1000)
@example({"tokens": Strings(1024, 0), "between": 1, "tokenizer.x": 1}, {"t": ((64,), "F32")}, 1000)
def test_the_quick_reading_is_the_strict_one_or_none(
    metadata: dict[str, object], tensors: dict[str, tuple[tuple[int, ...], str]], window: int
) -> None:
    rows = [(name, shape, kind) for name, (shape, kind) in tensors.items()]
    metadata.pop("general.alignment", None)
    content, size = header(metadata, rows)
    strict = by_windows(content, size, window)
    with contextlib.suppress(ModelFileError):
        assert by_windows(content, size, window, strict=False) == strict


def test_a_text_that_looks_like_the_rest_of_the_header_does_not_mislead(tmp_path: Path) -> None:
    """What a token says is a key, after which a tensor follows that there is room for."""
    tensor = W.row("t", (64,), F32, 0)
    seeming = W.text("tokenizer.ggml.bos_token_id") + W.value(666) + tensor + bytes(64)
    tokens = [W.pack("Q", len(seeming)) + seeming, *[W.text("x" * 20)] * 1999]
    pairs = [
        W.text("tokenizer.ggml.tokens") + W.pack("IIQ", 9, 8, 2000) + tokens[1] * 1000 + b"".join(tokens[:1000]),
        W.text("tokenizer.ggml.bos_token_id") + W.value(7),
    ]
    content = b"GGUF" + W.pack("IQQ", 3, 1, 2) + b"".join(pairs) + tensor
    content += bytes(-len(content) % 32)
    file = tmp_path / "x.gguf"
    file.write_bytes(content + bytes(256))
    found = read_header(file)
    assert found.metadata["tokenizer.ggml.bos_token_id"] == 7
    assert (found.weights_at, found.lengths["tokenizer.ggml.tokens"]) == (len(content), 2000)


@pytest.mark.parametrize("after", ["tokenizer.chat_template", "general.quantization_version", "split.no"])
@pytest.mark.parametrize("window", [100, 4096, 1 << 20])
def test_what_follows_the_tokens_is_found(after: str, window: int) -> None:
    content, size = header({"tokenizer.ggml.tokens": Strings(5000), after: 7}, TINY)
    found = by_windows(content, size, window)
    assert found.metadata[after] == 7
    if not after.startswith("split"):
        assert by_windows(content, size, window, strict=False) == found
    else:
        with pytest.raises(ModelFileError):
            by_windows(content, size, window, strict=False)


@pytest.mark.parametrize("length", [0, 1, 1000, 1023, 1024, 5000])
@pytest.mark.parametrize("size", [0, 5, 256, 7000])
def test_arrays_of_texts_of_any_length(tmp_path: Path, length: int, size: int) -> None:
    file = write(tmp_path / "x.gguf", {"tokens": Strings(length, size), "after": "it"}, TINY)
    assert read_header(file).lengths["tokens"] == length
    assert read_header(file).metadata["after"] == "it"


def damaged(*pieces: bytes, tensors: int = 0, pairs: int = 0) -> bytes:
    content = b"GGUF" + struct.pack("<IQQ", 3, tensors, pairs) + b"".join(pieces)
    return content + bytes(-len(content) % 32) + bytes(4096)


HOSTILE = {
    "tensors in one place": (
        damaged(W.row("a", (64,), F32, 0), W.row("b", (64,), F32, 128), tensors=2),
        "'a' and 'b' in the same place",
    ),
    "a tensor within another": (
        damaged(W.row("a", (256,), F32, 0), W.row("b", (8,), F32, 32), tensors=2),
        "in the same place",
    ),
    "a tensor twice": (damaged(W.row("a", (8,), F32, 0), W.row("a", (8,), F32, 32), tensors=2), "'a' twice"),
    "a tensor with an endless name": (damaged(W.text("t" * 257), bytes(64), tensors=1), "name of 257 bytes"),
    "a key with an endless name": (damaged(W.text("k" * 1025), bytes(64), pairs=1), "name of 1025 bytes"),
    "a number that is none": (damaged(W.text("k"), W.value(Typed(6, math.nan)), pairs=1), "NaN"),
    "another one": (damaged(W.text("k"), W.value(Typed(12, math.nan)), pairs=1), "NaN"),
    "one among others": (damaged(W.text("k"), W.value([1.0, math.nan]), pairs=1), "NaN"),
    "arrays in arrays in arrays": (damaged(W.text("k"), struct.pack("<IIQ", 9, 9, 1) * 500, pairs=1), "of arrays"),
    "an array of nothing known": (damaged(W.text("k"), struct.pack("<IIQ", 9, 77, 1), pairs=1), "unknown type 77"),
    "an alignment of gigabytes": (damaged(W.text("general.alignment"), W.value(1 << 30), pairs=1), "alignment"),
    "a fractional alignment": (damaged(W.text("general.alignment"), W.value(32.0), pairs=1), "alignment"),
    "more kept than any model": (
        damaged(*(W.text(f"k{n}") + W.value(Numbers(1024, kind=10)) for n in range(200)), pairs=200),
        "1 MiB of metadata",
    ),
    "a shape beyond all numbers": (damaged(W.row("a", (1 << 63,) * 4, F32, 0), tensors=1), "truncated"),
    "version 0": (b"GGUF" + bytes(64), "version 0"),
    "version 4": (b"GGUF" + struct.pack("<IQQ", 4, 0, 0), "version 4"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_are_refused_at_once(tmp_path: Path, name: str) -> None:
    content, message = HOSTILE[name]
    file = tmp_path / "x.gguf"
    file.write_bytes(content)
    started = time.process_time()
    with pytest.raises(ModelFileError, match=message) as caught:
        read_header(file)
    assert time.process_time() - started < 0.5
    assert caught.value.remedy
    assert caught.value.detail == str(file)


def test_infinity_is_a_number(tmp_path: Path) -> None:
    assert read_header(write(tmp_path / "x.gguf", {"limit": math.inf}, TINY)).metadata["limit"] == math.inf


def test_tensors_without_elements_lie_anywhere(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(damaged(W.row("none", (0, 4), F32, 0), W.row("some", (8,), F32, 0), tensors=2))
    assert [tensor.size for tensor in read_header(file).tensors] == [0, 32]


def guarded(file: Path) -> None:
    """Read, or refuse; within a second of processor time and 8 MiB of memory, whatever the file is."""
    tracemalloc.start()
    started = time.process_time()
    try:
        with contextlib.suppress(ModelFileError):
            read_header(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < 1.0
    assert peak < 8 << 20


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fuzzed.gguf"


fuzzing = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fuzzing
@given(st.binary(max_size=600), st.sampled_from([b"", b"GGUF", b"GGUF\x03\0\0\0", b"GGUF\0\0\0\x03"]))
@example(b"", b"GGUF\x03\0\0\0")
def test_any_bytes_are_read_or_refused(file: Path, content: bytes, beginning: bytes) -> None:
    file.write_bytes(beginning + content)
    guarded(file)


@cache
def sample(order: str) -> bytes:
    metadata = {
        "general.architecture": "llama",
        "llama.block_count": 2,
        "llama.rope.freq_base": 1e4,
        "tokenizer.ggml.tokens": Strings(80, 9),
        "tokenizer.ggml.scores": Numbers(80),
        "heads": [1, 2, 3],
    }
    content, size = header(metadata, TINY, order=order)
    return content + bytes(size - len(content))


changes = st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6)


@fuzzing
@given(st.sampled_from(["little", "big"]), changes, st.integers(0, 200))
def test_a_damaged_header_is_read_or_refused(file: Path, order: str, damage: list[tuple[int, bytes]], cut: int) -> None:
    content = bytearray(sample(order))
    for at, piece in damage:
        at %= len(content)
        content[at : at + len(piece)] = piece
    file.write_bytes(content[: len(content) - cut])
    guarded(file)


@pytest.mark.weights
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4))
def test_a_damaged_real_header_is_read_or_refused(
    file: Path, starter_gguf: Path, damage: list[tuple[float, bytes]]
) -> None:
    """Damage anywhere in a real model's header, where lengths, tokens, merges and shapes are; weights are a hole."""
    content = bytearray(real(starter_gguf))
    for where, piece in damage:
        # Half of the damage near the end, where the table of tensors is.
        at = int(where * 2 * len(content)) if where < 0.5 else len(content) - 1 - int((where - 0.5) * 40_000)
        content[at : at + len(piece)] = piece
    file.write_bytes(content)
    os.truncate(file, starter_gguf.stat().st_size)
    guarded(file)


@cache
def real(model: Path) -> bytes:
    with open(model, "rb") as opened:
        return opened.read(read_header(model).weights_at)


@pytest.mark.parametrize("merges", [0, 262_144])
def test_large_vocabularies_take_milliseconds(tmp_path: Path, merges: int) -> None:
    """262,144 tokens, as Gemma has, and as many merges. The bound allows for a busy processor."""
    metadata = {
        "tokenizer.ggml.tokens": Strings(262_144, 7),
        "tokenizer.ggml.scores": Numbers(262_144),
        "tokenizer.ggml.merges": Strings(merges, 9),
        "tokenizer.chat_template": "{{ messages }}",
    }
    rows: list[Row] = [(f"blk.{layer}.ffn_up_exps.weight", (64, 4), "Q8_0") for layer in range(1000)]
    file = write(tmp_path / "large.gguf", metadata, rows)
    seconds = []
    for _ in range(5):
        started = time.process_time()
        read_header(file)
        seconds.append(time.process_time() - started)
    assert statistics.median(seconds) < 0.1
