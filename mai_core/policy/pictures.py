"""What the bytes of an image say of themselves: told by the bytes, whatever a file is called.

PNG (ISO/IEC 15948), JPEG (ITU-T T.81), GIF (version 89a) and WebP (RFC 9649). Every engine takes the first two; one
that does not take the others says so, and another model is asked.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["LARGEST", "Picture", "read_picture"]

LARGEST = 20 * 2**20
"""Bytes of one image: hosted models take no more, and no model sees more than a few megapixels of it."""

_NO_SIZE = frozenset({0xC4, 0xC8, 0xCC})
"""JPEG's tables and extensions that are numbered like frame headers."""
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
"""JPEG's markers without a length."""


class Picture(NamedTuple):
    """A format, and pixels across and down."""

    media_type: str
    width: int
    height: int


def read_picture(data: bytes) -> Picture:
    """The format and size of an image. Raises ``ValueError`` that says what the bytes are not."""
    if not data:
        raise ValueError("is empty")
    if len(data) > LARGEST:
        raise ValueError(f"has {len(data) / 2**20:.1f} MiB, and an image may have {LARGEST // 2**20}")
    for begins, media_type, measure in _FORMATS:
        if data.startswith(begins):
            size = measure(data)
            if size is None or min(size) <= 0:
                raise ValueError(f"begins like {media_type.removeprefix('image/').upper()}, but is damaged")
            return Picture(media_type, *size)
    raise ValueError("is no PNG, JPEG, WebP or GIF")


_Size = tuple[int, int] | None


def _png(data: bytes) -> _Size:
    if data[12:16] != b"IHDR" or len(data) < 33:
        return None
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _gif(data: bytes) -> _Size:
    if data[4:6] not in (b"7a", b"9a") or len(data) < 13:
        return None
    return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")


def _jpeg(data: bytes) -> _Size:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in _NO_SIZE:
            if at + 9 > len(data):
                return None
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    return None


def _webp(data: bytes) -> _Size:
    kind = data[12:16]
    if data[8:12] != b"WEBP" or len(data) < 30:
        return None
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return None


_FORMATS = (
    (b"\x89PNG\r\n\x1a\n", "image/png", _png),
    (b"\xff\xd8\xff", "image/jpeg", _jpeg),
    (b"GIF8", "image/gif", _gif),
    (b"RIFF", "image/webp", _webp),
)
