"""Small images for tests, made of nothing but their formats."""

from __future__ import annotations

import struct
import zlib

from mai_core.policy.messages import Image

__all__ = ["gif", "image", "jpeg", "png", "webp"]


def png(width: int = 8, height: int = 8, grey: int = 128) -> bytes:
    """A whole PNG of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes([grey]) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def jpeg(width: int = 8, height: int = 8) -> bytes:
    """The headers of a JPEG: a thumbnail's worth of JFIF, padding, a table, then the frame."""
    jfif = b"\xff\xe0" + struct.pack(">H", 16) + b"JFIF\0" + bytes(9)
    table = b"\xff\xff\xdb" + struct.pack(">H", 67) + bytes(65)
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0"
    return b"\xff\xd8" + jfif + table + frame + b"\xff\xd9"


def gif(width: int = 8, height: int = 8) -> bytes:
    """The header of a GIF and its end."""
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b";"


def webp(width: int = 8, height: int = 8, kind: bytes = b"VP8 ") -> bytes:
    """The headers of a WebP, lossy, lossless (``VP8L``) or extended (``VP8X``)."""
    if kind == b"VP8X":
        inner = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    elif kind == b"VP8L":
        inner = b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little") + bytes(5)
    else:
        inner = bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", width, height)
    chunk = kind + struct.pack("<I", len(inner)) + inner
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def image(name: str = "cat.png", width: int = 8, height: int = 8, grey: int = 128) -> Image:
    """A PNG as a person shows it."""
    return Image(name=name, data=png(width, height, grey))
