"""Reads the header of a GGUF file: its metadata and its tensor table, never its weights.

The file is somebody else's, so nothing in it is believed: every count and length is checked against a bound and
against the size of the file. It is read in windows and not mapped, because a mapped file that shrinks kills the
process. Arrays of tokens are stepped over, which leaves a header of 150,000 tokens at 10 to 30 milliseconds.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import IO, NoReturn

from mai_backends.gguf.types import GGML_TYPES, Header, Tensor, Value
from mai_core.errors import ModelFileError

__all__ = ["read_header"]

_WINDOW = 1 << 20
_MAX_PAIRS = 4096
_MAX_TENSORS = 1 << 16
_MAX_DIMENSIONS = 4
_MAX_NAME = 1024
_MAX_STEPPED_OVER = 4_000_000
_KEPT_TEXT = 4096
_KEPT_ARRAY = 1024
_DEFAULT_ALIGNMENT = 32

_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


def read_header(path: Path) -> Header:
    """Read and check the header of one file, and that every tensor it lists ends within the file.

    Raises ``ModelFileError`` when the file is missing, unreadable, not GGUF, or shorter than its own table says.
    """
    try:
        # A pipe or a device with this name must not be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ModelFileError(f"{path} is not a file", remedy="name a GGUF file")
            return _Reader(file, status.st_size, path).header()
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}", remedy="check that it is there") from error


class _Reader:
    """A forward cursor over the file, one window of bytes at a time."""

    def __init__(self, file: IO[bytes], size: int, path: Path) -> None:
        self._file = file
        self._size = size
        self._path = path
        self._window = b""
        self._base = 0
        self._at = 0
        self._stepped_over = 0

    def header(self) -> Header:
        if self._bytes(4) != b"GGUF":
            self._fail("is not a GGUF file")
        version = self._number(_U32)
        if version not in (2, 3):
            big_endian = version in (2 << 24, 3 << 24)
            self._fail("is a big-endian GGUF file" if big_endian else f"has GGUF version {version}, not 2 or 3")
        tensor_count = self._count(_MAX_TENSORS, "tensors")
        pair_count = self._count(_MAX_PAIRS, "metadata entries")
        metadata: dict[str, Value] = {}
        lengths: dict[str, int] = {}
        for _ in range(pair_count):
            self._pair(metadata, lengths)
        return Header(
            version=version,
            metadata=metadata,
            lengths=lengths,
            tensors=self._tensors(tensor_count, self._alignment(metadata)),
        )

    def _pair(self, metadata: dict[str, Value], lengths: dict[str, int]) -> None:
        key = self._text(limit=_MAX_NAME)
        if key in metadata or key in lengths:
            self._fail(f"has the metadata key {key[:64]!r} twice")
        kind = self._number(_U32)
        if kind == _STRING:
            metadata[key] = self._text()
        elif kind == _ARRAY:
            kept, lengths[key] = self._array(key)
            if kept is not None:
                metadata[key] = kept
        else:
            metadata[key] = self._scalars(kind, 1)[0]

    def _array(self, key: str) -> tuple[Value | None, int]:
        kind, length = self._number(_U32), self._number(_U64)
        if kind == _STRING:
            self._step_over_texts(length)
            return None, length
        # Arrays of arrays are refused here: the engine refuses them too.
        if kind not in _SCALARS:
            self._fail(f"has elements of unknown type {kind} in {key[:64]!r}")
        if length > _KEPT_ARRAY:
            self._skip(length * _SCALARS[kind].size)
            return None, length
        return self._scalars(kind, length), length

    def _scalars(self, kind: int, length: int) -> tuple[int | float | bool, ...]:
        if kind not in _SCALARS:
            self._fail(f"has metadata of unknown type {kind}")
        form = _SCALARS[kind]
        return tuple(value for (value,) in form.iter_unpack(self._bytes(form.size * length)))

    def _alignment(self, metadata: Mapping[str, Value]) -> int:
        value = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
        if not isinstance(value, int) or value < 1 or value & (value - 1):
            self._fail(f"has an alignment of {value!r}, which is no power of two")
        return value

    def _tensors(self, count: int, alignment: int) -> tuple[Tensor, ...]:
        tensors, last_end, last_name = [], 0, ""
        for _ in range(count):
            tensor, offset = self._tensor()
            if offset % alignment:
                self._fail(f"has tensor {tensor.name!r} off the alignment of {alignment} bytes")
            # A tensor of unknown type still has its first byte somewhere.
            end = offset + max(tensor.size, 1 if tensor.elements else 0)
            if end > last_end:
                last_end, last_name = end, tensor.name
            tensors.append(tensor)
        start = -(-self._position // alignment) * alignment
        if last_end and start + last_end > self._size:
            self._fail(f"is truncated: tensor {last_name!r} ends at byte {start + last_end}, the file at {self._size}")
        return tuple(tensors)

    def _tensor(self) -> tuple[Tensor, int]:
        name = self._text(limit=_MAX_NAME)
        dimensions = self._number(_U32)
        if dimensions > _MAX_DIMENSIONS:
            self._fail(f"has tensor {name!r} of {dimensions} dimensions")
        shape = [self._number(_U64) for _ in range(dimensions)]
        kind, offset = self._number(_U32), self._number(_U64)
        elements = 1
        for extent in shape:
            elements *= extent
        form = GGML_TYPES.get(kind)
        if form is None:
            return Tensor(name, kind, elements, 0), offset
        if shape and shape[0] % form.block:
            self._fail(f"has tensor {name!r} whose rows are no multiple of {form.block} elements")
        return Tensor(name, kind, elements, elements // form.block * form.size), offset

    @property
    def _position(self) -> int:
        return self._base + self._at

    def _bytes(self, length: int) -> bytes:
        """The next ``length`` bytes, of which the caller guarantees that they are few."""
        if self._at + length > len(self._window):
            self._refill(length)
        start, self._at = self._at, self._at + length
        return self._window[start : self._at]

    def _number(self, form: struct.Struct) -> int:
        value: int = form.unpack(self._bytes(form.size))[0]
        return value

    def _count(self, limit: int, what: str) -> int:
        count = self._number(_U64)
        if count > limit:
            self._fail(f"claims {count} {what}")
        return count

    def _text(self, *, limit: int | None = None) -> str:
        length = self._number(_U64)
        if limit is not None and length > limit:
            self._fail(f"has a name of {length} bytes")
        kept = self._bytes(length if limit is not None else min(length, _KEPT_TEXT))
        self._skip(length - len(kept))
        return kept.decode("utf-8", errors="replace")

    def _skip(self, length: int) -> None:
        if length > self._size - self._position:
            self._fail("is truncated within its header")
        self._at += length

    def _step_over_texts(self, count: int) -> None:
        """Step over ``count`` texts without making an object of any; the loop is what a header's time goes to."""
        self._stepped_over += count
        if self._stepped_over > _MAX_STEPPED_OVER:
            self._fail(f"claims an array of {count} texts")
        unpack = _U64.unpack_from
        while count:
            if self._at + 8 > len(self._window):
                self._refill(8)
            window, at, done = self._window, self._at, 0
            try:
                for done in range(count):  # noqa: B007 - how many were read when the window ends
                    at += 8 + unpack(window, at)[0]
                done = count
            except (struct.error, OverflowError, IndexError):
                pass
            self._skip(at - self._at)
            count -= done

    def _refill(self, needed: int) -> None:
        """Move the window to the cursor; it then holds at least ``needed`` bytes."""
        start = self._position
        if needed > self._size - start:
            self._fail("is truncated within its header")
        self._file.seek(start)
        pieces, wanted = [], max(needed, _WINDOW)
        while wanted > 0 and (piece := self._file.read(wanted)):
            pieces.append(piece)
            wanted -= len(piece)
        self._window, self._base, self._at = b"".join(pieces), start, 0
        if len(self._window) < needed:
            self._fail("is truncated within its header")

    def _fail(self, what: str) -> NoReturn:
        raise ModelFileError(f"{self._path.name} {what}", remedy="fetch it again or remove it", detail=str(self._path))
