"""Many small numbers in one Python integer, so that one addition adds them all.

A table ``word -> integer`` then scores a text for every class or model at once: ``sum(map(table.get, words))``. Packing
is ``sum(value << 32 * lane)`` over signed values, which addition and multiplication by an integer respect as long as
every lane stays within 31 bits: then the borrow a negative lane takes from the next is paid back on reading.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

__all__ = ["BITS", "LIMIT", "Lanes"]

BITS = 32
# Magnitude a lane has to stay below.
LIMIT = 1 << (BITS - 1)


class Lanes:
    """How ``count`` signed numbers lie in one integer."""

    __slots__ = ("_bias", "_bytes", "_form", "count")

    def __init__(self, count: int) -> None:
        self.count = count
        self._form = struct.Struct(f"<{count}I")
        self._bytes = self._form.size
        self._bias = sum(LIMIT << BITS * lane for lane in range(count))

    def pack(self, values: Sequence[int]) -> int:
        """``values``, one a lane, each of magnitude below ``LIMIT``."""
        raw = self._form.pack(*[value + LIMIT for value in values])
        return int.from_bytes(raw, "little") - self._bias

    def unpack(self, packed: int) -> list[int]:
        """What every lane holds; wrong, not an error, when a lane overflowed."""
        raw = ((packed + self._bias) % (1 << BITS * self.count)).to_bytes(self._bytes, "little")
        return [value - LIMIT for value in self._form.unpack(raw)]

    def total(self, packed: Iterable[int]) -> list[int]:
        """The sums, lane by lane."""
        return self.unpack(sum(packed))
