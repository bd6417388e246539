"""A structured log, one JSON object a line, in rotating files that several processes share.

Importing this installs nothing. The command line calls ``configure``, which gives the logger ``mai`` its handlers and
leaves the root logger alone. Modules log with ``logging.getLogger("mai.<area>")`` and ``extra={...}``; what people and
models write is left out unless the settings ask for it.
"""

from __future__ import annotations

import copy
import fcntl
import json
import logging
import os
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from mai_core.errors import MaiError
from mai_core.settings.model import LogSettings

__all__ = ["CONTENT_FIELDS", "LogEntry", "LogSession", "configure", "follow", "tail"]

CONTENT_FIELDS = frozenset({"prompt", "reply", "text", "content"})
STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@dataclass(frozen=True, slots=True)
class LogSession:
    """What ``configure`` installed, to be closed at the end; ``warning`` says in one line why no log is kept."""

    handlers: tuple[logging.Handler, ...]
    level_before: int
    warning: str = ""

    def close(self) -> None:
        """Take the handlers off again and close the file. A second time does nothing."""
        logger = logging.getLogger("mai")
        for handler in self.handlers:
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(self.level_before)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def configure(log_file: Path, settings: LogSettings, verbose: bool = False) -> LogSession:
    """Write what Mai logs to ``log_file``; ``verbose`` also shows everything on standard error.

    Raises nothing: a log that cannot be written is told by the session's ``warning``, and Mai goes on without.
    """
    from pythonjsonlogger.json import JsonFormatter

    logger = logging.getLogger("mai")
    level: int = getattr(logging, settings.level.upper())
    handlers: list[logging.Handler] = []
    warning = ""
    try:
        kept: logging.Handler = _SharedFile(log_file, settings.max_bytes, settings.files)
    except OSError as error:
        warning = f"no log is kept: {log_file} cannot be written ({error.strerror})"
        kept = logging.NullHandler()
    renamed = {"levelname": "level", "name": "logger", "process": "pid"}
    as_json = JsonFormatter([*renamed, "message"], rename_fields=renamed, timestamp="time")
    handlers.append(_formatting(kept, as_json, level, settings.content))
    if verbose:
        handlers.append(_formatting(logging.StreamHandler(), _Line(), logging.DEBUG, settings.content))
    session = LogSession(tuple(handlers), logger.level, warning)
    for handler in handlers:
        logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else level)
    return session


def _formatting(handler: logging.Handler, formatter: logging.Formatter, level: int, content: bool) -> logging.Handler:
    handler.setLevel(level)
    handler.setFormatter(formatter if content else _WithoutContent(formatter))
    return handler


class _WithoutContent(logging.Formatter):
    """Formats a copy of the record that holds nothing a person or a model wrote."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        private = copy.copy(record)
        vars(private).clear()
        vars(private).update(_without_content(vars(record)))
        if record.exc_info:
            private.exc_info, private.exc_text = None, _frames(record.exc_info[1])
        return self._inner.format(private)


def _without_content(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_content(value) if isinstance(value, Mapping) else value
        for key, value in fields.items()
        if key not in CONTENT_FIELDS
    }


def _frames(error: BaseException | None) -> str:
    """Where an error came from, and its class. The message stays out, which may quote anything, unless it is Mai's."""
    told: list[str] = []
    while error is not None and len(told) < 10:
        frames = "".join(traceback.format_tb(error.__traceback__))
        told.append(f"{frames}{type(error).__qualname__}{f': {error}' if isinstance(error, MaiError) else ''}")
        error = error.__cause__ or error.__context__
    return "\ncaused by\n".join(told)


class _Line(logging.Formatter):
    """One line for a person: time, level, area, message, fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {key: value for key, value in vars(record).items() if key not in STANDARD_FIELDS}
        told = [
            time.strftime("%H:%M:%S", time.localtime(record.created)),
            record.levelname.lower(),
            f"{record.name}:",
            record.getMessage(),
            *(f"{key}={value}" for key, value in fields.items()),
        ]
        trouble = self.formatException(record.exc_info) if record.exc_info else record.exc_text
        return " ".join(told) + (f"\n{trouble}" if trouble else "")


class _SharedFile(logging.Handler):
    """Appends every record in one write, so those of several processes never mix.

    Whoever finds the file full rotates it, holding a lock that the others do not wait for: they go on writing to the
    file they have open and find the new one with their next record.
    """

    def __init__(self, file: Path, max_bytes: int, files: int) -> None:
        super().__init__()
        self._file, self._max_bytes, self._files = file, max_bytes, files
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = self._open()
        self._separator = b""  # a newline after a record the disk had no room for the end of

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = f"{self.format(record)}\n".encode()
        except Exception:  # noqa: BLE001 what a caller passes to be formatted may raise anything
            self.handleError(record)
            return
        # A full disk must not stop what is only being reported on.
        with suppress(OSError):
            if self._was_rotated():
                self._reopen()
            if self._is_full(os.fstat(self._descriptor).st_size, len(line)):
                self._rotate(len(line))
                self._reopen()
            line = self._separator + line
            written = os.write(self._descriptor, line)
            self._separator = b"" if written == len(line) else b"\n"

    def close(self) -> None:
        self.acquire()
        try:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
        finally:
            self.release()
        super().close()

    def _open(self) -> int:
        return os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _reopen(self) -> None:
        fresh = self._open()
        os.close(self._descriptor)
        self._descriptor = fresh

    def _was_rotated(self) -> bool:
        try:
            return not os.path.samestat(os.fstat(self._descriptor), self._file.stat())
        except FileNotFoundError:
            return True

    def _is_full(self, size: int, more: int) -> bool:
        return size > 0 and 0 < self._max_bytes < size + more

    def _rotate(self, more: int) -> None:
        with open(os.open(_beside(self._file, "lock"), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as guard:
            try:
                fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            # Another process may have done it between the look at the size and the lock.
            if not self._is_full(self._file.stat().st_size, more):
                return
            if self._files == 1:
                self._file.unlink()
            most = self._files - 1
            first_free = next((n for n in range(1, most) if not _beside(self._file, n).exists()), most)
            for number in range(first_free, 0, -1):
                newer = _beside(self._file, number - 1) if number > 1 else self._file
                with suppress(FileNotFoundError):
                    newer.replace(_beside(self._file, number))


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

    Misses and repeats nothing when the files are rotated meanwhile. ``wait`` is called when there is nothing new.
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
            # Looked for before the rest is read: once there is a newer file, this one grows no more.
            newer = _newer(log_file, file)
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


def _newer(log_file: Path, file: IO[bytes] | None) -> IO[bytes] | None:
    """The file that was begun after this one, opened; the oldest there is when this one is None or was deleted."""
    numbers = [p.name.removeprefix(f"{log_file.name}.") for p in log_file.parent.glob("*") if p != log_file]
    rotated = [_beside(log_file, number) for number in sorted((int(n) for n in numbers if n.isdecimal()), reverse=True)]
    files = [path for path in (*rotated, log_file) if path.exists()]
    if file is not None:
        here = os.fstat(file.fileno())
        for place, path in enumerate(files):
            if os.path.samestat(here, path.stat()):
                files = files[place + 1 :]
                break
    try:
        return files[0].open("rb") if files else None
    except FileNotFoundError:
        return None


def _beside(log_file: Path, suffix: object) -> Path:
    return log_file.with_name(f"{log_file.name}.{suffix}")


def _rank(level: str) -> int:
    return logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
