"""Bytes to a header, wherever the bytes come from: the parser says which it needs next and is sent them.

The file is somebody else's, so nothing in it is believed: every count and length is checked against a bound and
against the size of the file. What is kept of it is small, and so is what is held at once: one window of bytes, as long
as whoever drives the parser makes it. Arrays of tokens are stepped over.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Bounds that the format leaves open, and the
refusal of arrays of arrays, are those of llama.cpp's own loader (ggml/src/gguf.cpp) or wider.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Generator, Iterable, Mapping
from itertools import repeat
from typing import Any, NamedTuple, NoReturn, TypeVar

from mai_backends.gguf.types import GGML_TYPES, ByteOrder, Header, Tensor, Value
from mai_core.errors import ModelFileError

__all__ = ["Need", "Parsing", "parse"]

_MAX_PAIRS = 4096
_MAX_TENSORS = 1 << 16
_MAX_DIMENSIONS = 4
_MAX_KEY = 1024
_MAX_TENSOR_NAME = 256
_MAX_STEPPED_OVER = 2_000_000
_MAX_ALIGNMENT = 1 << 20
_KEPT_TEXT = 4096
_KEPT_ARRAY = 1024
_MAX_KEPT = 1 << 20
_DEFAULT_ALIGNMENT = 32

_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_WORTH_A_LEAP = 1024
_LONGEST_LEAP = 32 << 20
# How the keys that follow tokens begin, with the upper seven bytes of their length before them.
_KEYS = (bytes(7) + b"tokenizer.", bytes(7) + b"general.")
_LONGEST_KEY = max(map(len, _KEYS))

_T = TypeVar("_T")


class Need(NamedTuple):
    """The parser wants the bytes from ``start`` on, at least ``length`` of them; more are welcome, fewer mean the end.

    ``start`` never goes back. What lies before it is not asked for again.
    """

    start: int
    length: int


Parsing = Generator[Need, bytes, Header]


def parse(name: str, size: int | None, *, strict: bool = True, remedy: str = "fetch it again or remove it") -> Parsing:
    """Parse a file of ``size`` bytes, None when that is unknown; ``name`` and ``remedy`` are for messages.

    Not strict, arrays of tokens are not walked through but left by the next thing that looks like a key, which is found
    ten times as fast. Such a reading also asks that the tensors take up the file to the last byte; who had it refused
    asks again strictly. A file can be made that passes and that an engine reads differently: it lies about itself then,
    which it could have done without.

    Raises ``ModelFileError`` for whatever is not a header and the tensors it lists, all of them within the file.
    """
    return _Parser(name, size, strict, remedy).header()


class _Short(Exception):
    """The window ends before what is being read does; it needs ``length`` bytes from where the cursor is."""

    def __init__(self, length: int) -> None:
        self.length = length


class _Parser:
    """A cursor over a window of the file. What is read whole or not at all is a unit, begun again in a new window."""

    def __init__(self, name: str, size: int | None, strict: bool, remedy: str) -> None:
        self._name = name
        self._size = size
        self._strict = strict
        self._remedy = remedy
        self._window = b""
        self._base = 0
        self._at = 0
        self._stepped_over = 0
        self._kept = 0
        self._order: ByteOrder = "little"
        self._forms: dict[str, struct.Struct] = {}

    def header(self) -> Parsing:
        version, tensor_count, pair_count = yield from self._unit(self._beginning)
        metadata: dict[str, Value] = {}
        lengths: dict[str, int] = {}
        for _ in repeat(None, pair_count):
            texts = yield from self._unit(lambda: self._pair(metadata, lengths))
            if texts:
                yield from self._step_over(texts)
        alignment = self._alignment(metadata)
        tensors: dict[str, Tensor] = {}
        for _ in repeat(None, tensor_count):
            tensor = yield from self._unit(self._tensor)
            if tensor.name in tensors:
                self._fail(f"has tensor {tensor.name[:64]!r} twice")
            tensors[tensor.name] = tensor
        weights_at = -(-self._position // alignment) * alignment
        self._check(tensors.values(), alignment, weights_at)
        return Header(
            version=version,
            metadata=metadata,
            lengths=lengths,
            tensors=tuple(tensors.values()),
            byte_order=self._order,
            weights_at=weights_at,
            size=self._size or 0,
        )

    # -- units -----------------------------------------------------------------------------------------------------

    def _beginning(self) -> tuple[int, int, int]:
        """The version and how many tensors and metadata entries there are; settles the byte order."""
        self._order, self._forms = "little", {}
        if self._bytes(4) != b"GGUF":
            self._fail("is not a GGUF file")
        (version,) = self._numbers("I")
        if version & 0xFFFF == 0 and version:
            # Only the version tells the byte order: no version takes more than two bytes.
            self._order, self._forms = "big", {}
            version = int.from_bytes(version.to_bytes(4, "little"), "big")
        if version not in (2, 3):
            # Version 1 counted in 32 bits and was out of use within weeks.
            self._fail(f"is of GGUF version {version}; engines read 2 and 3")
        tensors, pairs = self._numbers("QQ")
        for count, limit, what in ((tensors, _MAX_TENSORS, "tensors"), (pairs, _MAX_PAIRS, "metadata entries")):
            if count > limit:
                self._fail(f"claims {count} {what}")
        return version, tensors, pairs

    def _pair(self, metadata: dict[str, Value], lengths: dict[str, int]) -> int:
        """One metadata entry. Of an array of texts only the beginning: how many texts are to be stepped over."""
        key = self._text(_MAX_KEY)
        if key in metadata or key in lengths:
            self._fail(f"has the metadata key {key[:64]!r} twice")
        (kind,) = self._numbers("I")
        if kind == _STRING:
            metadata[key] = self._long_text()
        elif kind == _ARRAY:
            kind, length = self._numbers("IQ")
            if kind == _ARRAY:
                self._fail(f"has an array of arrays in {key[:64]!r}")
            if kind == _STRING:
                lengths[key] = length
                return int(length)
            if length > _KEPT_ARRAY:
                self._skip(length * struct.calcsize(f"={self._scalar(kind, key)}"))
            else:
                metadata[key] = self._values(kind, length, key)
            lengths[key] = length
        else:
            metadata[key] = self._values(kind, 1, key)[0]
        return 0

    def _tensor(self) -> Tensor:
        name = self._text(_MAX_TENSOR_NAME)
        (dimensions,) = self._numbers("I")
        if dimensions > _MAX_DIMENSIONS:
            self._fail(f"has tensor {name[:64]!r} of {dimensions} dimensions")
        *shape, kind, offset = self._numbers(f"{dimensions}QIQ")
        elements = math.prod(shape)
        form = GGML_TYPES.get(kind)
        if form is None:
            return Tensor(name, kind, elements, 0, tuple(shape), offset)
        if shape and shape[0] % form.block:
            self._fail(f"has tensor {name[:64]!r} whose rows are no multiple of {form.block} elements")
        return Tensor(name, kind, elements, elements // form.block * form.size, tuple(shape), offset)

    # -- what holds over all of it ---------------------------------------------------------------------------------

    def _alignment(self, metadata: Mapping[str, Value]) -> int:
        value = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
        if not isinstance(value, int) or not 1 <= value <= _MAX_ALIGNMENT or value & (value - 1):
            self._fail(f"has an alignment of {value!r}, which is no power of two up to {_MAX_ALIGNMENT}")
        return value

    def _check(self, tensors: Iterable[Tensor], alignment: int, weights_at: int) -> None:
        """Each tensor aligned, beside the others and within the file."""
        end, before, gaps = 0, "", False
        for tensor in sorted(tensors, key=lambda tensor: tensor.offset):
            if tensor.offset % alignment:
                self._fail(f"has tensor {tensor.name[:64]!r} off the alignment of {alignment} bytes")
            # A tensor of unknown type still has its first byte somewhere.
            size = tensor.size or (1 if tensor.elements else 0)
            if size and tensor.offset < end:
                self._fail(f"has tensors {before[:64]!r} and {tensor.name[:64]!r} in the same place")
            if size:
                gaps = gaps or tensor.offset - end >= alignment
                end, before = tensor.offset + size, tensor.name
        if self._size is None:
            return
        if self._position > self._size:
            self._fail("is truncated within its header")
        if end and weights_at + end > self._size:
            where = f"tensor {before[:64]!r} ends at byte {weights_at + end}, the file at {self._size}"
            self._fail(f"is truncated: {where}")
        if not self._strict and (not end or gaps or self._size - (weights_at + end) >= alignment):
            self._fail("has bytes that belong to no tensor, or none that do")

    # -- reading within the window ---------------------------------------------------------------------------------

    @property
    def _position(self) -> int:
        return self._base + self._at

    def _bytes(self, length: int) -> bytes:
        start, end = self._at, self._at + length
        if end > len(self._window):
            raise _Short(length)
        self._at = end
        return self._window[start:end]

    def _numbers(self, fields: str) -> tuple[Any, ...]:
        form = self._form(fields)
        return form.unpack(self._bytes(form.size))

    def _form(self, fields: str) -> struct.Struct:
        form = self._forms.get(fields)
        if form is None:
            form = self._forms[fields] = struct.Struct((">" if self._order == "big" else "<") + fields)
        return form

    def _scalar(self, kind: int, key: str) -> str:
        if kind not in _SCALARS:
            self._fail(f"has metadata of unknown type {kind} in {key[:64]!r}")
        return _SCALARS[kind]

    def _values(self, kind: int, length: int, key: str) -> tuple[int | float | bool, ...]:
        fields = f"{length}{self._scalar(kind, key)}"
        values = self._numbers(fields)
        self._keep(self._form(fields).size)
        if any(value != value for value in values):
            self._fail(f"has NaN in {key[:64]!r}")
        return values

    def _text(self, limit: int) -> str:
        (length,) = self._numbers("Q")
        if length > limit:
            self._fail(f"has a name of {length} bytes")
        return self._bytes(length).decode("utf-8", errors="replace")

    def _long_text(self) -> str:
        (length,) = self._numbers("Q")
        kept = self._bytes(min(length, _KEPT_TEXT))
        self._keep(len(kept))
        self._skip(length - len(kept))
        return kept.decode("utf-8", errors="replace")

    def _keep(self, length: int) -> None:
        self._kept += length
        if self._kept > _MAX_KEPT:
            self._fail(f"has more than {_MAX_KEPT >> 20} MiB of metadata besides its tokens")

    def _skip(self, length: int) -> None:
        """Move on; where that leads out of the window the next unit asks for a new one."""
        if self._size is not None and length > self._size - self._position:
            self._fail("is truncated within its header")
        self._at += length

    # -- arrays of texts -------------------------------------------------------------------------------------------

    def _step_over(self, count: int) -> Generator[Need, bytes, None]:
        """Step over ``count`` texts without making an object of any; this is what a header's time goes to."""
        self._stepped_over += count
        if self._stepped_over > _MAX_STEPPED_OVER:
            self._fail(f"claims an array of {count} texts")
        if not self._strict and self._order == "little" and count >= _WORTH_A_LEAP:
            yield from self._leap(count)
            return
        while count:
            if self._at + 8 > len(self._window):
                yield from self._refill(8)
            count -= self._walk(count)

    def _leap(self, count: int) -> Generator[Need, bytes, None]:
        """To what looks like the next key, beyond the least that ``count`` texts take."""
        self._skip(8 * count)
        end = self._position + _LONGEST_LEAP
        while self._position < end:
            if self._at + _LONGEST_KEY >= len(self._window):
                yield from self._refill(_LONGEST_KEY + 1)
            found = [at for key in _KEYS if (at := self._window.find(key, self._at + 1)) > 0]
            if found:
                # The lowest byte of the length is the first of them.
                self._at = min(found) - 1
                return
            self._at = max(self._at + 1, len(self._window) - _LONGEST_KEY)
        self._fail("has no key after its tokens")

    def _walk(self, count: int) -> int:
        """From length to length as far as the window goes; how many texts that were."""
        window, at, done = self._window, self._at, 0
        unpack = self._form("Q").unpack_from
        try:
            for done in range(count):  # noqa: B007 - how many were walked
                (length,) = unpack(window, at)
                at += 8 + length
            done = count
        except (struct.error, OverflowError):
            pass
        self._skip(at - self._at)
        return done

    # -- the window ------------------------------------------------------------------------------------------------

    def _unit(self, read: Callable[[], _T]) -> Generator[Need, bytes, _T]:
        """What ``read`` returns, once the window holds all of it."""
        while True:
            start = self._at
            try:
                return read()
            except _Short as short:
                needed, self._at = self._at + short.length - start, start
            yield from self._refill(needed)

    def _refill(self, needed: int) -> Generator[Need, bytes, None]:
        """Move the window to the cursor; it then holds at least ``needed`` bytes."""
        start = self._position
        if self._size is not None and needed > self._size - start:
            self._fail("is truncated within its header")
        self._window = yield Need(start, needed)
        self._base, self._at = start, 0
        if len(self._window) < needed:
            self._fail("is truncated within its header")

    def _fail(self, what: str) -> NoReturn:
        raise ModelFileError(f"{self._name} {what}", remedy=self._remedy)
