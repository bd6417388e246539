"""The log as entries, of the past or as they are written."""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from mai_core.errors import MaiError
from mai_core.runtime.logs.files import open_newer

__all__ = ["LogEntry", "follow", "tail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One record of the log. ``time`` is ISO 8601 in UTC; ``fields`` is everything that was logged besides."""

    time: str
    level: str
    logger: str
    message: str
    pid: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, line: bytes) -> Self | None:
        """The entry a line holds; None when it was torn, or is none of Mai's."""
        try:
            told = json.loads(line)
            named = {name: told.pop(name) for name in ("time", "level", "logger", "message")}
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        named["level"] = str(named["level"]).lower()
        return cls(**named, pid=told.pop("pid", None), fields=told)


def tail(log_file: Path, lines: int = 50, level: str = "debug") -> Iterator[LogEntry]:
    """The last ``lines`` entries of at least that level, oldest first, over all rotated files.

    Raises ``MaiError`` when the log cannot be read; no log at all is an empty one.
    """
    wanted: deque[LogEntry] = deque(maxlen=lines)
    for entry in _entries(log_file):
        if entry is None:
            break
        if _rank(entry.level) >= _rank(level):
            wanted.append(entry)
    return iter(wanted)


def follow(
    log_file: Path,
    lines: int = 10,
    level: str = "debug",
    *,
    wait: Callable[[float], object] = time.sleep,
    poll_seconds: float = 0.25,
) -> Iterator[LogEntry]:
    """What ``tail`` gives, and then every entry as it is written, until the iterator is closed.

    Goes on through rotations, however many there were since the last look. ``wait`` is called when there is nothing
    new.
    """
    last: deque[LogEntry] = deque(maxlen=lines)
    is_live = False
    for entry in _entries(log_file):
        if entry is None:
            yield from last
            last.clear()
            is_live = True
            wait(poll_seconds)
        elif _rank(entry.level) >= _rank(level):
            if is_live:
                yield entry
            else:
                last.append(entry)


def _entries(log_file: Path) -> Iterator[LogEntry | None]:
    """Every entry from the oldest file on, without end; None whenever there is no further one yet."""
    file: IO[bytes] | None = None
    begun = b""
    try:
        while True:
            # Looked for before the rest is read: once there is a newer file, this one is all but complete.
            newer = open_newer(log_file, file)
            for line in file or ():
                begun += line
                if begun.endswith(b"\n"):
                    if (entry := LogEntry.parse(begun)) is not None:
                        yield entry
                    begun = b""
            if newer is None:
                yield None
                continue
            if file is not None:
                file.close()
            file, begun = newer, b""
    except OSError as error:
        raise MaiError(f"{log_file} cannot be read ({error.strerror})") from error
    finally:
        if file is not None:
            file.close()


def _rank(level: str) -> int:
    return logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
