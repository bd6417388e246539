"""A vision projector of two tiny layers, as llama.cpp reads them: it sees nothing, but it is read, loaded and run."""

from __future__ import annotations

import struct

__all__ = ["projector"]

SIDE, PATCH, WIDTH, INNER = 28, 14, 16, 32


def projector(embedding: int, *, kind: str = "mlp") -> bytes:
    """A whole file for a model whose embeddings have so many numbers; of the build of LLaVA 1.5."""
    metadata: dict[str, object] = {
        "general.architecture": "clip",
        "general.type": "mmproj",
        "general.file_type": 0,
        "clip.has_vision_encoder": True,
        "clip.projector_type": kind,
        "clip.use_gelu": False,
        "clip.vision.image_size": SIDE,
        "clip.vision.patch_size": PATCH,
        "clip.vision.embedding_length": WIDTH,
        "clip.vision.feed_forward_length": INNER,
        "clip.vision.projection_dim": embedding,
        "clip.vision.block_count": 1,
        "clip.vision.attention.head_count": 2,
        "clip.vision.attention.layer_norm_epsilon": 1e-5,
        "clip.vision.image_mean": [0.5, 0.5, 0.5],
        "clip.vision.image_std": [0.5, 0.5, 0.5],
    }
    tensors: dict[str, tuple[int, ...]] = {
        "v.class_embd": (WIDTH,),
        "v.patch_embd.weight": (PATCH, PATCH, 3, WIDTH),
        "v.position_embd.weight": (WIDTH, (SIDE // PATCH) ** 2 + 1),
        "v.pre_ln.weight": (WIDTH,),
        "v.pre_ln.bias": (WIDTH,),
        "mm.0.weight": (WIDTH, embedding),
        "mm.0.bias": (embedding,),
        "mm.2.weight": (embedding, embedding),
        "mm.2.bias": (embedding,),
    }
    for part, (read, written) in {
        **{f"attn_{one}": (WIDTH, WIDTH) for one in ("q", "k", "v", "out")},
        "ffn_up": (WIDTH, INNER),
        "ffn_down": (INNER, WIDTH),
    }.items():
        tensors |= {f"v.blk.0.{part}.weight": (read, written), f"v.blk.0.{part}.bias": (written,)}
    for norm in ("ln1", "ln2"):
        tensors |= {f"v.blk.0.{norm}.weight": (WIDTH,), f"v.blk.0.{norm}.bias": (WIDTH,)}
    return _gguf(metadata, tensors)


def _gguf(metadata: dict[str, object], tensors: dict[str, tuple[int, ...]]) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, item in metadata.items():
        head += _text(key) + _value(item)
    offset, data = 0, bytearray()
    for name, shape in tensors.items():
        head += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        count = 1
        for extent in shape:
            count *= extent
        data += struct.pack(f"<{count}f", *(0.01 * (i % 7 - 3) for i in range(count)))
        data += bytes(-len(data) % 32)
        offset = len(data)
    return head + bytes(-len(head) % 32) + bytes(data)


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def _value(item: object) -> bytes:
    match item:
        case bool():
            return struct.pack("<I?", 7, item)
        case int():
            return struct.pack("<II", 4, item)
        case float():
            return struct.pack("<If", 6, item)
        case str():
            return struct.pack("<I", 8) + _text(item)
        case [float(), *_]:
            return struct.pack(f"<IIQ{len(item)}f", 9, 6, len(item), *item)
    raise TypeError(item)
