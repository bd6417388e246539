"""Where the bytes of a model's weights belong, by the names of its tensors."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence

from mai_backends.gguf.types import GGML_TYPES, Tensor
from mai_core.policy.architecture import WeightBytes

__all__ = ["is_gated", "repack_bytes", "weight_bytes"]

_BLOCK = re.compile(r"blk\.(\d{1,4})\.")
_INPUT = ("token_embd", "per_layer_token_embd", "token_types", "position_embd")
_HEAD = "output.weight"
_EMBEDDING = "token_embd.weight"
_EXPERTS = "_exps."
_ROWS = 8
_GATE, _UP, _DOWN = ".ffn_gate", ".ffn_up.weight", ".ffn_down.weight"


# Types the CPU engine copies into a faster layout (ggml-cpu/repack.cpp, ggml_repack_get_optimal_repack_type): on x86
# with AVX2, and on ARM with dot products.
_REPACKED_X86 = frozenset({"Q4_0", "Q4_K", "IQ4_NL", "MXFP4"})
_REPACKED_ARM = frozenset({"Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL", "MXFP4"})


def weight_bytes(tensors: Sequence[Tensor], layers: int) -> WeightBytes | None:
    """The bytes by place; None where there is no table of tensors."""
    if not tensors:
        return None
    entry = output = experts = 0
    of_layer = [0] * layers
    for tensor in tensors:
        block = _BLOCK.match(tensor.name)
        if block is not None and int(block[1]) < layers:
            of_layer[int(block[1])] += tensor.size
            experts += tensor.size if _EXPERTS in tensor.name else 0
        elif tensor.name.startswith(_INPUT):
            entry += tensor.size
        else:
            output += tensor.size
    tied = all(tensor.name != _HEAD for tensor in tensors)
    return WeightBytes(input=entry, layers=tuple(of_layer), output=output, tied=tied, experts=experts)


def is_gated(tensors: Sequence[Tensor]) -> bool:
    """Whether the feed-forward has a gate: a matrix of its own, or one that is as tall as gate and up together.

    Where there is no table of tensors one is assumed: it takes more memory.
    """
    ups = [tensor for tensor in tensors if _UP in tensor.name]
    downs = [tensor for tensor in tensors if _DOWN in tensor.name]
    if not ups or not downs or any(_GATE in tensor.name for tensor in tensors):
        return True
    return any(up.shape[1:2] != down.shape[0:1] for up, down in zip(ups, downs, strict=False))


def repack_bytes(tensors: Sequence[Tensor], machine: str = "") -> int:
    """Bytes the CPU engine copies on ``machine``, this one by default: of matrices, not of what is only looked up.

    A token embedding that is the head as well is copied as the head. Rows are copied by eight together.
    """
    machine = (machine or platform.machine()).lower()
    tied = all(tensor.name != _HEAD for tensor in tensors)
    types = _REPACKED_ARM if machine.startswith(("arm", "aarch")) else _REPACKED_X86
    return sum(
        tensor.size
        for tensor in tensors
        if tensor.type in GGML_TYPES
        and GGML_TYPES[tensor.type].name in types
        and len(tensor.shape) > 1
        and tensor.shape[1] % _ROWS == 0
        and (not tensor.name.startswith(_INPUT) or (tied and tensor.name == _EMBEDDING))
    )
