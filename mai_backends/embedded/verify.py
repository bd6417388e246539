"""Whether the bytes of a file are the published ones: corrupted weights load without complaint and answer nonsense."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

from mai_backends.embedded.files import FileCache, in_thread
from mai_core.errors import ModelFileError

__all__ = ["Verifier"]

_CHUNK = 4 << 20

Report = Callable[[int], None]


class Verifier:
    """SHA-256 of files, remembered for as long as a file is not touched."""

    def __init__(self, cache: FileCache) -> None:
        self._cache = cache

    async def sha256(self, file: Path, *, fresh: bool = False, report: Report | None = None) -> str:
        """The digest in hexadecimal; ``fresh`` reads the file though its digest is remembered.

        ``report`` is called on the event loop with the bytes read so far. Cancelling stops the reading. Raises
        ``OSError`` when the file cannot be read.
        """
        if not fresh and isinstance(remembered := self._cache.get(file), str):
            return remembered
        loop = asyncio.get_running_loop()

        def tell(done: int) -> None:
            if report is not None:
                loop.call_soon_threadsafe(report, done)

        return await in_thread(lambda stop: self._read(file, stop, tell))

    def remember(self, file: Path, digest: str) -> None:
        """Take a digest that was computed while this very file had another name. Raises ``OSError``."""
        self._cache.put(file, digest)
        self._cache.save()

    async def check(self, file: Path, expected: str, *, key: str) -> None:
        """Raises ``ModelFileError`` unless the file is there and its digest is ``expected``."""
        try:
            actual = await self.sha256(file)
        except OSError as error:
            raise ModelFileError(f"{file} cannot be read: {error.strerror}", remedy=f"run: mai pull {key}") from error
        if actual != expected.lower():
            raise ModelFileError(
                f"{file.name} is corrupted: its sha256 is {actual[:12]}..., the published one {expected[:12]}...",
                remedy=f"fetch it again: mai pull {key}",
                detail=str(file),
            )

    def _read(self, file: Path, stop: threading.Event, tell: Report) -> str:
        digest, done = hashlib.sha256(), 0
        before = file.stat()
        with open(file, "rb", buffering=0) as stream:
            while chunk := stream.read(_CHUNK):
                if stop.is_set():
                    return ""
                digest.update(chunk)
                done += len(chunk)
                tell(done)
        after = file.stat()
        if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size):
            self._cache.put(file, digest.hexdigest())
            self._cache.save()
        return digest.hexdigest()
