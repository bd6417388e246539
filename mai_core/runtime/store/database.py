"""One SQLite file, opened with care: transactions, waiting, and errors a person can act on."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, Self

from mai_core.errors import StoreError
from mai_core.runtime.store.schema import prepare

__all__ = ["Database"]

log = logging.getLogger("mai.store")

# Far longer than any transaction takes: whoever waits in vain for this long waits for a process that hangs.
BUSY_SECONDS = 30.0


class Database:
    """A connection that the threads of this process share; other processes may have theirs.

    One lock serialises the threads. Every transaction that writes begins as a writer (``BEGIN IMMEDIATE``), so that
    two processes queue and never meet half way. Commits reach the disk before they return.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, now: Callable[[], float]) -> None:
        self._connection = connection
        self._path = path
        self._now = now
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: Path, *, now: Callable[[], float]) -> Self:
        """Open the database at ``path``, and create it and its folder when there is none.

        ``now`` gives seconds since the epoch. Raises ``StoreError`` when the file is damaged, is no database of
        Mai's, was written by a newer Mai, or cannot be written. Such a file is left as it is.
        """
        with _explained(path):
            _create_private(path)
            connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            try:
                _patiently(lambda: prepare(connection, path))
            except BaseException:
                connection.close()
                raise
        return cls(connection, path, now)

    def close(self) -> None:
        """Close the database; a second time does nothing. Using it afterwards raises ``StoreError``."""
        with self._lock, _explained(self._path):
            self._connection.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """All statements inside see one moment."""
        with self._transaction("DEFERRED"):
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """All statements inside happen, or none; they are on disk when the block ends."""
        with self._transaction("IMMEDIATE"):
            yield self._connection

    def _empty_journal(self) -> None:
        """Let nothing of what was deleted stay behind in the journal, unless others are still reading it."""
        with self._lock:
            try:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as error:
                log.warning("the journal cannot be emptied now", extra={"error": str(error)})

    @contextmanager
    def _transaction(self, kind: Literal["DEFERRED", "IMMEDIATE"]) -> Iterator[None]:
        with self._lock, _explained(self._path):
            try:
                self._connection.execute(f"BEGIN {kind}")
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                # What is not committed is gone when the connection ends, so a rollback that fails loses nothing
                # and must not hide the first error.
                with suppress(sqlite3.Error):
                    self._connection.rollback()
                raise


def _create_private(path: Path) -> None:
    """Conversations are nobody else's: SQLite gives the files beside the database the rights of the database."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _patiently(action: Callable[[], None]) -> None:
    """Repeat while the file is busy: of two that prepare a new file at once, SQLite turns one away without waiting."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(error, path) from error
    except UnicodeEncodeError as error:
        raise StoreError(f"{error.object!a} is no text that {path} could hold", detail=repr(error)) from error
    except OSError as error:
        message = f"{path} cannot be opened ({error.strerror})"
        raise StoreError(message, remedy=_MAKE_WRITABLE, detail=repr(error)) from error


_MAKE_WRITABLE = "make its folder writable, or set MAI_HOME to a folder that is"

_EXPLANATIONS = {
    (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB): (
        "{path} is damaged",
        "move {path}* to another folder and Mai starts a new history",
    ),
    (sqlite3.SQLITE_FULL,): ("there is no room left to write {path}", "free some disk space"),
    (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH): (
        "{path} cannot be written",
        _MAKE_WRITABLE,
    ),
    (sqlite3.SQLITE_IOERR,): (
        "the disk refuses to read or write {path}",
        "check that it has free space and works",
    ),
    (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL): (
        "another program keeps {path} locked",
        "end that program and try again",
    ),
}


def _explain(error: sqlite3.Error, path: Path) -> StoreError:
    detail = f"{getattr(error, 'sqlite_errorname', type(error).__name__)}: {error}"
    for codes, (message, remedy) in _EXPLANATIONS.items():
        if _code(error) in codes:
            return StoreError(message.format(path=path), remedy=remedy.format(path=path), detail=detail)
    return StoreError(f"{path} cannot be used ({error})", detail=detail)


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; the extended ones keep it in their lowest byte."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF
