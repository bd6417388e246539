"""Server-sent events: bytes in, as the network cuts them, the data of whole events out."""

from __future__ import annotations

import re

from mai_backends.wire.errors import Unreadable

__all__ = ["LONGEST_EVENT", "EventStream"]

LONGEST_EVENT = 4 * 2**20
"""Bytes of one event. The longest real ones are tool calls and refusals of a few hundred kilobytes."""

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventStream:
    """A parser of ``text/event-stream``, after the HTML standard, that never holds more than ``limit`` bytes.

    Lines may end in any way, comments are passed over, several ``data`` lines make one event. Of the fields only
    ``data`` is kept. Unlike the standard, an event at the very end needs no blank line: see ``close``.
    """

    def __init__(self, *, limit: int = LONGEST_EVENT) -> None:
        self._limit = limit
        self._unfinished: list[bytes] = []
        self._data: list[bytes] = []
        self._held = 0
        self._first = True
        self._after_return = False

    def feed(self, chunk: bytes) -> list[str]:
        """The data of every event that ``chunk`` completes. Raises ``Unreadable`` for one that is too long."""
        if not chunk:
            return []
        if self._after_return:
            chunk = chunk.removeprefix(b"\n")
        self._after_return = chunk.endswith(b"\r")
        *ends, rest = _LINE_END.split(chunk)
        events: list[str] = []
        for end in ends:
            self._take(end, events)
        if rest:
            self._hold(len(rest))
            self._unfinished.append(rest)
        return events

    def close(self) -> list[str]:
        """What a server that left out the last line end or blank line still meant to say."""
        events: list[str] = []
        self._take(b"", events)
        self._take(b"", events)
        return events

    def _take(self, end: bytes, events: list[str]) -> None:
        """A line is complete."""
        self._hold(len(end) + 1)
        line = b"".join((*self._unfinished, end))
        self._unfinished.clear()
        self._held -= len(line) + 1
        if self._first:
            self._first, line = False, line.removeprefix(_BYTE_ORDER_MARK)
        field, _, value = line.partition(b":")
        if not line:
            if any(self._data):
                events.append(b"\n".join(self._data).decode("utf-8", "replace"))
            self._data.clear()
            self._held = 0
        elif field == b"data":
            self._data.append(value.removeprefix(b" "))
            self._hold(len(self._data[-1]) + 1)

    def _hold(self, more: int) -> None:
        self._held += more
        if self._held > self._limit:
            self._unfinished.clear()
            self._data.clear()
            self._held = 0
            raise Unreadable(f"more than {self._limit} bytes without an end")
