"""Files on this disk: what they are told apart by, what was learnt about them, and work on them that can be stopped."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["FileCache", "in_thread", "replace_file", "size_text", "sync_to_disk"]

T = TypeVar("T")

log = logging.getLogger("mai.embedded.files")


async def in_thread(work: Callable[[threading.Event], T]) -> T:
    """Run ``work`` in a thread; when the caller is cancelled its event is set, and waited for until it has stopped.

    So nothing goes on writing to a file after whoever asked for it, and holds its lock, is gone.
    """
    stop = threading.Event()
    running = asyncio.ensure_future(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([running])
        if running.done() and not running.cancelled():
            running.exception()  # of no interest to a caller who is gone, but retrieved
        raise


def replace_file(path: Path, content: str) -> None:
    """Write a small file so that a reader sees the old content or the new, never a half. Raises ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def sync_to_disk(path: Path) -> None:
    """Return when a file's content, or a folder's entries, would survive a loss of power. Raises ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def size_text(size: int) -> str:
    """Bytes as a person reads them: 93.8 MiB."""
    amount, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"


class FileCache:
    """What was learnt about files, believed only while size, modification time and inode stay the same.

    Losing it costs time and nothing else: a missing, damaged or unwritable cache is no error.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._entries: dict[str, Any] | None = None
        self._dirty = False

    def get(self, file: Path) -> Any:
        """What was put for this file as it is now, or None. Raises ``OSError`` when the file cannot be looked at."""
        key, identity = _identify(file)
        with self._lock:
            entry = self._loaded().get(key)
        return entry["value"] if isinstance(entry, dict) and entry.get("identity") == identity else None

    def put(self, file: Path, value: Any) -> None:
        """Remember something JSON can hold about this file as it is now."""
        key, identity = _identify(file)
        with self._lock:
            self._loaded()[key] = {"identity": identity, "value": value}
            self._dirty = True

    def save(self) -> None:
        """Write what is new, keeping what other processes wrote, without files that are gone."""
        with self._lock:
            if not self._dirty:
                return
            entries = {**self._read(), **self._loaded()}
            self._entries = {key: entry for key, entry in entries.items() if os.path.exists(key)}
            self._dirty = False
            try:
                replace_file(self._path, json.dumps(self._entries))
            except OSError as error:
                log.warning("cache not written", extra={"path": str(self._path), "error": str(error)})

    def _loaded(self) -> dict[str, Any]:
        if self._entries is None:
            self._entries = self._read()
        return self._entries

    def _read(self) -> dict[str, Any]:
        try:
            entries = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            log.info("cache not readable, rebuilt", extra={"path": str(self._path), "error": str(error)})
            return {}
        return entries if isinstance(entries, dict) else {}


def _identify(file: Path) -> tuple[str, list[int]]:
    real = os.path.realpath(file)
    status = os.stat(real)
    return real, [status.st_size, status.st_mtime_ns, status.st_ino]
