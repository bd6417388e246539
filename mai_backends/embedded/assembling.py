"""Puts a file together from members of archives: one archive is on the disk at a time, and each survives an end."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mai_backends.embedded.download import Downloader
from mai_backends.embedded.files import in_thread, replace_file
from mai_backends.embedded.progress import Meter
from mai_backends.embedded.room import disk_errors, require_room
from mai_backends.embedded.sources import Artifact, Part
from mai_backends.embedded.unpacking import append_member, member_size

__all__ = ["Assembly"]


class Assembly:
    """An artifact whose parts are archives. ``staged`` is where it will be once it is whole.

    ``FILE.part`` grows by one member after the other; its ledger says how many are in, and how long it then was, so
    a member that was only half unpacked is cut off and unpacked again.
    """

    def __init__(self, artifact: Artifact, staged: Path) -> None:
        self._artifact = artifact
        self._staged = staged
        self._growing = staged.with_name(staged.name + ".part")
        self._ledger = staged.with_name(staged.name + ".part.json")
        self._in, self._length = self._read_ledger()

    async def complete(self, downloader: Downloader, meter: Meter) -> None:
        """Fetch and unpack what is missing. Raises ``FetchError`` and its kinds."""
        parts, room = self._artifact.parts, partial(require_room, self._staged.parent)
        room(self._needed())
        before = sum(part.size for part in parts[: self._in])
        total = sum(part.size for part in parts) if all(part.size for part in parts) else 0
        for part in parts[self._in :]:
            archive = self._archive(part)
            if not archive.exists():
                await downloader.download(part, archive, report=_offset(meter, before, total), room=room)
            before += part.size
            with disk_errors(self._growing, self._growing, self._ledger, archive):
                await self._unpack(part, archive, meter)
        with disk_errors(self._staged):
            os.replace(self._growing, self._staged)
            self._ledger.unlink(missing_ok=True)

    async def _unpack(self, part: Part, archive: Path, meter: Meter) -> None:
        end = self._length + member_size(archive, part.member)
        require_room(archive.parent, end - self._length)
        tell = meter.from_thread("unpacking", max(self._artifact.size, end))
        await in_thread(partial(self._append, part, archive, tell))
        self._record(end)
        os.unlink(archive)

    def _append(self, part: Part, archive: Path, tell: Callable[[int], None], stop: threading.Event) -> None:
        append_member(archive, part.member, self._growing, self._length, stop, tell)

    def _record(self, length: int) -> None:
        self._in, self._length = self._in + 1, length
        note = {"in": [_identity(part) for part in self._artifact.parts[: self._in]], "length": length}
        replace_file(self._ledger, json.dumps(note))

    def _needed(self) -> int:
        """Bytes still to be written: the members, about as large as their archives, and the largest archive."""
        remaining = self._artifact.parts[self._in :]
        packed = sum(part.size for part in remaining)
        arrived = sum(_size(path) for part in remaining for path in self._archives(part))
        members = max(packed, self._artifact.size - self._length)
        return members + max(0, max((part.size for part in remaining), default=0) - arrived)

    def _archive(self, part: Part) -> Path:
        return self._staged.with_name(f"{self._staged.name}.{_identity(part)[:16]}.zip")

    def _archives(self, part: Part) -> tuple[Path, Path]:
        archive = self._archive(part)
        return archive, archive.with_name(archive.name + ".part")

    def _read_ledger(self) -> tuple[int, int]:
        """How many parts are in, and the bytes they make: none, unless they are the first ones of this artifact."""
        try:
            note = json.loads(self._ledger.read_bytes())
            known, length = list(note["in"]), int(note["length"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0, 0
        same = known == [_identity(part) for part in self._artifact.parts[: len(known)]]
        return (len(known), length) if same and _size(self._growing) >= length else (0, 0)


def _identity(part: Part) -> str:
    """Tells the content of parts apart: two versions of a file never share an archive."""
    return part.sha256 or hashlib.sha256(part.url.encode()).hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _offset(meter: Meter, before: int, total: int) -> Callable[[int, int], None]:
    return lambda done, size: meter.tell("downloading", before + done, total or before + size)
