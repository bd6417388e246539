"""Writes GGUF headers: right ones of any size without their weights, and the parts of wrong ones."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mai_backends.gguf.types import GGML_TYPES

Row = tuple[str, Sequence[int], str]
_NUMBER_OF = {form.name: number for number, form in GGML_TYPES.items()}
_FORMS = {0: "B", 2: "H", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 12: "d"}


@dataclass(frozen=True)
class Strings:
    """An array of so many texts, which need not be told apart."""

    count: int
    length: int = 6


@dataclass(frozen=True)
class Numbers:
    """An array of so many zeros of one type."""

    count: int
    kind: int = 6


@dataclass(frozen=True)
class Typed:
    """A value of a type that Python's own types do not tell."""

    kind: int
    value: float


class Writer:
    """Values as bytes, in either byte order."""

    def __init__(self, order: str = "little") -> None:
        self._sign = "<" if order == "little" else ">"

    def pack(self, fields: str, *values: object) -> bytes:
        return struct.pack(self._sign + fields, *values)

    def text(self, value: str) -> bytes:
        raw = value.encode()
        return self.pack("Q", len(raw)) + raw

    def value(self, item: object) -> bytes:
        match item:
            case Typed(kind, number):
                return self.pack("I" + _FORMS[kind], kind, number)
            case Strings(count, length):
                one = self.text("x" * length)
                return self.pack("IIQ", 9, 8, count) + one * count
            case Numbers(count, kind):
                return self.pack("IIQ", 9, kind, count) + bytes(struct.calcsize("=" + _FORMS[kind]) * count)
            case bool():
                return self.pack("I?", 7, item)
            case int():
                return self.pack("II", 4, item)
            case float():
                return self.pack("If", 6, item)
            case str():
                return self.pack("I", 8) + self.text(item)
            case [str(), *_]:
                return self.pack("IIQ", 9, 8, len(item)) + b"".join(self.text(one) for one in item)
            case [bool(), *_]:
                return self.pack(f"IIQ{len(item)}?", 9, 7, len(item), *item)
            case [int(), *_]:
                return self.pack(f"IIQ{len(item)}i", 9, 5, len(item), *item)
            case [float(), *_]:
                return self.pack(f"IIQ{len(item)}f", 9, 6, len(item), *item)
        raise TypeError(item)

    def row(self, name: str, shape: Sequence[int], kind: int, offset: int) -> bytes:
        return self.text(name) + self.pack(f"I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def size_of(shape: Sequence[int], kind: str) -> int:
    form = GGML_TYPES[_NUMBER_OF[kind]]
    return math.prod(shape) // form.block * form.size


def header(
    metadata: Mapping[str, object], rows: Sequence[Row] = (), *, version: int = 3, order: str = "little"
) -> tuple[bytes, int]:
    """The bytes up to where the weights begin, and the size of the file if the weights were there."""
    writer, alignment = Writer(order), int(str(metadata.get("general.alignment", 32)))
    pieces = [b"GGUF", writer.pack("IQQ", version, len(rows), len(metadata))]
    pieces += [writer.text(key) + writer.value(item) for key, item in metadata.items()]
    offset = 0
    for name, shape, kind in rows:
        pieces.append(writer.row(name, shape, _NUMBER_OF[kind], offset))
        offset += -(-size_of(shape, kind) // alignment) * alignment
    written = b"".join(pieces)
    written += bytes(-len(written) % alignment)
    return written, len(written) + offset


def write(
    path: Path,
    metadata: Mapping[str, object],
    rows: Sequence[Row] = (),
    *,
    version: int = 3,
    order: str = "little",
) -> Path:
    """A file whose weights are a hole: however large, it takes no room on the disk."""
    written, size = header(metadata, rows, version=version, order=order)
    path.write_bytes(written)
    with open(path, "r+b") as file:
        file.truncate(size)
    return path
