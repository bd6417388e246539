"""Writes small GGUF files, right ones and wrong ones."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

F32, Q4_0, Q4_K, Q8_0 = 0, 2, 12, 8
_BLOCKS = {F32: (1, 4), Q4_0: (32, 18), Q4_K: (256, 144), Q8_0: (32, 34)}


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(item: object) -> bytes:
    match item:
        case bool():
            return struct.pack("<I?", 7, item)
        case int():
            return struct.pack("<II", 4, item)
        case float():
            return struct.pack("<If", 6, item)
        case str():
            return struct.pack("<I", 8) + text(item)
        case [str(), *_]:
            return struct.pack("<IIQ", 9, 8, len(item)) + b"".join(text(one) for one in item)
        case [bool(), *_]:
            return struct.pack(f"<IIQ{len(item)}?", 9, 7, len(item), *item)
        case [int(), *_]:
            return struct.pack(f"<IIQ{len(item)}I", 9, 4, len(item), *item)
    raise TypeError(item)


def gguf(
    metadata: Mapping[str, object], tensors: Sequence[tuple[str, Sequence[int], int]] = (), *, version: int = 3
) -> bytes:
    """A whole file: header, tensor table, and weights of a repeating pattern."""
    alignment = int(str(metadata.get("general.alignment", 32)))
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    for key, item in metadata.items():
        head += text(key) + value(item)
    offset, data = 0, bytearray()
    for name, shape, kind in tensors:
        head += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
        elements = 1
        for extent in shape:
            elements *= extent
        block, size = _BLOCKS[kind]
        data += bytes(i % 251 for i in range(elements // block * size))
        data += bytes(-len(data) % alignment)
        offset = len(data)
    return head + bytes(-len(head) % alignment) + bytes(data)


LLAMA: Mapping[str, object] = {
    "general.architecture": "llama",
    "general.name": "Tiny Llama",
    "general.file_type": 15,
    "llama.block_count": 4,
    "llama.context_length": 2048,
    "llama.embedding_length": 64,
    "llama.feed_forward_length": 256,
    "llama.attention.head_count": 8,
    "llama.attention.head_count_kv": 2,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": ["<s>", "a", "b", "ab"],
    "tokenizer.chat_template": "{{ messages }}",
}
TENSORS = (("token_embd.weight", (256, 4), Q4_K), ("blk.0.attn_q.weight", (256, 2), Q4_K), ("norm.weight", (64,), F32))


def tiny(*, name: str = "Tiny Llama", weights: int = 0) -> bytes:
    """A model that reads as a chat model; ``weights`` more F32 elements make it larger."""
    more = (("blk.1.ffn_up.weight", (weights,), F32),) if weights else ()
    return gguf({**LLAMA, "general.name": name}, TENSORS + more)


def write(path: Path, content: bytes | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tiny(name=path.stem) if content is None else content)
    return path
