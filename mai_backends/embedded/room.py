"""Room on the disk: asked for before anything is written, and told apart from other failures when it runs out."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from mai_backends.embedded.files import size_text
from mai_core.errors import DiskFull, FetchError

__all__ = ["disk_errors", "not_written", "require_room"]

# A quota and a limit on the size of a file end a download just as a full disk does.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def require_room(folder: Path, needed: int) -> None:
    """Raises ``DiskFull``, saying how much is missing, unless ``needed`` bytes are free where ``folder`` lies."""
    with disk_errors(folder):
        free = shutil.disk_usage(folder).free
    if needed > free:
        raise DiskFull(
            f"{size_text(needed)} are needed in {folder}, {size_text(free)} are free: "
            f"{size_text(needed - free)} are missing",
            remedy="free some room, or set MAI_HOME to a folder on a larger disk",
        )


def not_written(error: OSError, path: Path) -> FetchError:
    """The error for a file that could not be read or written."""
    if error.errno in _NO_ROOM:
        return DiskFull(f"the disk of {path.parent} is full", remedy="free some room and run the same again")
    return FetchError(f"{path} cannot be written: {error.strerror or error}", remedy="check its permissions")


@contextlib.contextmanager
def disk_errors(path: Path, *half_written: Path) -> Iterator[None]:
    """Turns ``OSError`` into Mai's errors; when the disk is full, what was half written is given back."""
    try:
        yield
    except OSError as error:
        failure = not_written(error, path)
        if isinstance(failure, DiskFull):
            for half in half_written:
                half.unlink(missing_ok=True)
        raise failure from error
