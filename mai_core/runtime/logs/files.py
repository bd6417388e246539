"""The rotating files: how several processes append to them, and how they are read in order."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

__all__ = ["SharedFile", "open_newer"]


class SharedFile(logging.Handler):
    """Appends every record in one write, so those of several processes never mix.

    Whoever finds the file full rotates it, holding a lock that no writer waits for: the others go on writing to the
    file they have open and find the new one with a later record.
    """

    def __init__(self, file: Path, max_bytes: int, files: int) -> None:
        super().__init__()
        self._file, self._max_bytes, self._files = file, max_bytes, files
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._guard = os.open(_beside(file, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._descriptor = self._open()
        except OSError:
            os.close(self._guard)
            raise
        self._separator = b""  # a newline after a record the disk had no room for the end of

    def emit(self, record: logging.LogRecord) -> None:
        """Append a record; one the disk does not take is dropped."""
        try:
            line = f"{self.format(record)}\n".encode()
        except Exception:  # noqa: BLE001 what a caller passes to be formatted may raise anything
            self.handleError(record)
            return
        with suppress(OSError):
            if self._was_rotated():
                self._reopen()
            if self._is_full(os.fstat(self._descriptor).st_size, len(line)):
                self._rotate(len(line))
            line = self._separator + line
            written = os.write(self._descriptor, line)
            self._separator = b"" if written == len(line) else b"\n"

    def close(self) -> None:
        """Close the file; what is logged afterwards is dropped."""
        self.acquire()
        try:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                os.close(self._guard)
                self._descriptor = self._guard = -1
        finally:
            self.release()
        super().close()

    def _open(self) -> int:
        return os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

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
        try:
            fcntl.flock(self._guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        try:
            # Another process may have done it between the look at the size and the lock.
            if self._is_full(self._file.stat().st_size, more):
                self._shift()
            self._reopen()
        finally:
            fcntl.flock(self._guard, fcntl.LOCK_UN)

    def _shift(self) -> None:
        """Count every file's number up by one, as far as there are files; the last one gives way."""
        most = self._files - 1
        if most == 0:
            self._file.unlink()
        first_free = next((n for n in range(1, most) if not _beside(self._file, n).exists()), most)
        for number in range(first_free, 0, -1):
            newer = _beside(self._file, number - 1) if number > 1 else self._file
            newer.replace(_beside(self._file, number))


def open_newer(log_file: Path, file: IO[bytes] | None) -> IO[bytes] | None:
    """The file that was begun after this one, opened; the oldest there is when this one is None or was deleted."""
    with _rotation_held_off(log_file):
        files = _files(log_file)
        if file is not None:
            here = os.fstat(file.fileno())
            place = next((n for n, path in enumerate(files) if os.path.samestat(here, path.stat())), -1)
            files = files[place + 1 :]
        return files[0].open("rb") if files else None


def _files(log_file: Path) -> list[Path]:
    """The files there are, oldest first."""
    numbers = [p.name.removeprefix(f"{log_file.name}.") for p in log_file.parent.glob("*") if p != log_file]
    rotated = sorted((int(number) for number in numbers if number.isdecimal()), reverse=True)
    return [path for path in (*(_beside(log_file, n) for n in rotated), log_file) if path.exists()]


@contextmanager
def _rotation_held_off(log_file: Path) -> Iterator[None]:
    """No file gets another name inside; writers go on writing."""
    with ExitStack() as opened:
        with suppress(FileNotFoundError):  # then nobody ever wrote
            guard = opened.enter_context(_beside(log_file, "lock").open("rb"))
            fcntl.flock(guard, fcntl.LOCK_SH)
        yield


def _beside(log_file: Path, suffix: object) -> Path:
    return log_file.with_name(f"{log_file.name}.{suffix}")
