"""A path: a GGUF file that is already on this disk becomes one of Mai's, without a copy where the disk allows it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

from mai_core.errors import FetchError

__all__ = ["adopt", "is_path", "locate", "room_needed"]

_CHUNK = 8 << 20
_FICLONE = 0x40049409  # linux/fs.h: share the blocks of another file until one of them is written to
_NOT_HERE = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.EINVAL, errno.ENOTTY)


def is_path(source: str) -> bool:
    """Whether a person who writes this means a file."""
    return source.startswith(("/", "./", "../", "~")) or source.lower().endswith(".gguf")


def locate(source: str, home: Path) -> Path:
    """The real path of a file. Raises ``FetchError`` when there is none."""
    path = home / source[2:] if source.startswith("~/") else Path(source)
    real = Path(os.path.realpath(path))
    if not real.is_file():
        raise FetchError(f"there is no file {source}", remedy="check the path")
    return real


def adopt(source: Path, target: Path, stop: threading.Event, report: Callable[[int], None]) -> None:
    """Make ``target`` the same content as ``source``: by a hard link, by shared blocks, or else by a copy.

    ``report`` gets the bytes copied. Raises ``OSError``; leaves no target when it fails or is stopped.
    """
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
        return
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
    try:
        with open(source, "rb", buffering=0) as given, open(target, "xb") as made:
            with contextlib.suppress(OSError):
                fcntl.ioctl(made.fileno(), _FICLONE, given.fileno())
                return
            done = 0
            while not stop.is_set() and (chunk := given.read(_CHUNK)):
                done += made.write(chunk)
                report(done)
        if stop.is_set():
            target.unlink(missing_ok=True)
    except OSError:
        target.unlink(missing_ok=True)
        raise


def room_needed(source: Path, folder: Path) -> int:
    """Bytes a copy would take; 0 when a hard link will do."""
    return 0 if source.stat().st_dev == folder.stat().st_dev else source.stat().st_size
