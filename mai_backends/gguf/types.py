"""What a GGUF file's header holds, once read: metadata, the tensor table, and how each type of tensor is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["GGML_TYPES", "ByteOrder", "GgmlType", "Header", "Scalar", "Tensor", "Value"]

ByteOrder = Literal["little", "big"]
Scalar = int | float | bool | str
Value = Scalar | tuple[int | float | bool, ...]


@dataclass(frozen=True, slots=True)
class GgmlType:
    """How a tensor stores its elements: ``size`` bytes for every ``block`` of them."""

    name: str
    block: int
    size: int


GGML_TYPES: Mapping[int, GgmlType] = {
    number: GgmlType(name, block, size)
    for number, name, block, size in (
        (0, "F32", 1, 4),
        (1, "F16", 1, 2),
        (2, "Q4_0", 32, 18),
        (3, "Q4_1", 32, 20),
        (6, "Q5_0", 32, 22),
        (7, "Q5_1", 32, 24),
        (8, "Q8_0", 32, 34),
        (9, "Q8_1", 32, 36),
        (10, "Q2_K", 256, 84),
        (11, "Q3_K", 256, 110),
        (12, "Q4_K", 256, 144),
        (13, "Q5_K", 256, 176),
        (14, "Q6_K", 256, 210),
        (15, "Q8_K", 256, 292),
        (16, "IQ2_XXS", 256, 66),
        (17, "IQ2_XS", 256, 74),
        (18, "IQ3_XXS", 256, 98),
        (19, "IQ1_S", 256, 50),
        (20, "IQ4_NL", 32, 18),
        (21, "IQ3_S", 256, 110),
        (22, "IQ2_S", 256, 82),
        (23, "IQ4_XS", 256, 136),
        (24, "I8", 1, 1),
        (25, "I16", 1, 2),
        (26, "I32", 1, 4),
        (27, "I64", 1, 8),
        (28, "F64", 1, 8),
        (29, "IQ1_M", 256, 56),
        (30, "BF16", 1, 2),
        (34, "TQ1_0", 256, 54),
        (35, "TQ2_0", 256, 66),
        (39, "MXFP4", 32, 17),
        (40, "NVFP4", 64, 36),
        (41, "Q1_0", 128, 18),
    )
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A row of the tensor table.

    ``size`` is in bytes, 0 for a type younger than this reader. ``shape`` has the length of a row first, as the file
    does; ``offset`` is in bytes from where the weights of its file begin.
    """

    name: str
    type: int
    elements: int
    size: int
    shape: tuple[int, ...] = ()
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a GGUF file says about itself.

    ``metadata`` holds scalars, the first 4096 bytes of each text, and numeric arrays of up to 1024 elements;
    ``lengths`` the number of elements of every array, kept or not. ``weights_at`` is the byte at which the weights
    begin and ``size`` the bytes of the file, 0 where a server does not tell; of a model in several files ``size`` is
    that of all of them and ``weights_at`` that of the first. ``byte_order`` is ``little`` or ``big``.
    """

    version: int
    metadata: Mapping[str, Value]
    lengths: Mapping[str, int]
    tensors: tuple[Tensor, ...]
    byte_order: ByteOrder = "little"
    weights_at: int = 0
    size: int = 0
