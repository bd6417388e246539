"""The one way a model comes into Mai's folder: fetched beside it, checked, and moved in whole.

Everything unfinished lies in ``models/.incoming``. Of two processes that want the same file one fetches and the
other waits for it, so no two ever write to one file.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from mai_backends.embedded.assembling import Assembly
from mai_backends.embedded.download import Downloader
from mai_backends.embedded.files import in_thread, sync_to_disk
from mai_backends.embedded.notes import OriginNote, read_note, write_note
from mai_backends.embedded.progress import Meter
from mai_backends.embedded.room import disk_errors, require_room
from mai_backends.embedded.sources import Artifact, local
from mai_backends.embedded.verify import Verifier
from mai_backends.gguf.facts import FileKind, facts_of
from mai_backends.gguf.reader import read_header
from mai_backends.transport import Patience, open_client
from mai_core.errors import ChecksumMismatch, FetchError, ModelFileError

__all__ = ["Fetcher"]

_LOCK_POLL = 0.2
_INCOMING = ".incoming"


class Fetcher:
    """Brings files to ``models``. Raises ``Offline``, ``ChecksumMismatch``, ``DiskFull`` or ``FetchError``."""

    def __init__(self, models: Path, verifier: Verifier, patience: Patience) -> None:
        self._models = models
        self._incoming = models / _INCOMING
        self._verifier = verifier
        self._patience = patience

    async def held(self, sha256: str, meter: Meter) -> Path | None:
        """A file of Mai's that has this digest, as read just now; so no source need be asked for it."""
        for note in self._models.glob("*.gguf.mai.json"):
            file = note.with_name(note.name.removesuffix(".mai.json"))
            if read_note(file).sha256 == sha256 and file.is_file() and await self._digest(file, meter) == sha256:
                return file
        return None

    async def fetch(self, artifacts: Sequence[Artifact], meter: Meter) -> list[Path]:
        """Have every artifact in Mai's folder; one that is there and whole is not fetched again."""
        self._prepare()
        for artifact in artifacts:
            async with self._alone(artifact.filename, meter):
                if not await self._is_here(artifact, meter):
                    staged = self._incoming / artifact.filename
                    digest = await self._download(artifact, staged, meter)
                    await self._take_in(staged, digest, artifact, meter)
        return [self._models / artifact.filename for artifact in artifacts]

    async def adopt(self, file: Path, artifact: Artifact, meter: Meter) -> Path:
        """Have a file of this disk in Mai's folder, as ``artifact``, which has no parts."""
        self._prepare()
        async with self._alone(artifact.filename, meter):
            if not await self._is_here(artifact, meter):
                staged = self._incoming / artifact.filename
                tell = meter.from_thread("copying", artifact.size)
                with disk_errors(staged):
                    require_room(self._incoming, local.room_needed(file, self._incoming))
                    await in_thread(lambda stop: local.adopt(file, staged, stop, tell))
                await self._take_in(staged, "", artifact, meter)
        return self._models / artifact.filename

    def _prepare(self) -> None:
        with disk_errors(self._incoming):
            self._incoming.mkdir(parents=True, exist_ok=True)

    @contextlib.asynccontextmanager
    async def _alone(self, filename: str, meter: Meter) -> AsyncIterator[None]:
        """Hold the lock of a file's name. Lock files stay: removing one would let two processes hold it."""
        path = self._incoming / f"{filename}.lock"
        with disk_errors(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            while not _locked(descriptor):
                meter.tell("waiting")
                await asyncio.sleep(_LOCK_POLL)
            yield
        finally:
            os.close(descriptor)

    async def _is_here(self, artifact: Artifact, meter: Meter) -> bool:
        """Whether the file was fetched before and is still whole: read anew, for this is how damage is repaired."""
        target = self._models / artifact.filename
        if not os.path.isfile(target):  # noqa: ASYNC240 - a single look
            return False
        note = read_note(target)
        same_source = note.source == artifact.source
        expected = artifact.sha256 or (note.sha256 if same_source else "")
        if expected and await self._digest(target, meter) == expected.lower():
            return True
        if same_source or (expected and note.sha256 == expected):
            return False
        raise FetchError(f"another model is already installed as {artifact.filename}", remedy="remove it with: mai rm")

    async def _download(self, artifact: Artifact, staged: Path, meter: Meter) -> str:
        """Have the whole file in ``staged``; its digest when that was computed on the way, else empty."""
        async with open_client(self._patience, artifact.certificates) as client:
            downloader = Downloader(client, self._patience, lambda path: self._digest(path, meter))
            if any(part.member for part in artifact.parts):
                await Assembly(artifact, staged).complete(downloader, meter)
                return ""
            (part,) = artifact.parts
            expected = artifact.sha256 or part.sha256
            await downloader.download(
                replace(part, sha256=expected),
                staged,
                report=lambda done, total: meter.tell("downloading", done, total or artifact.size),
                room=partial(require_room, self._incoming),
            )
            return expected.lower()

    async def _take_in(self, staged: Path, digest: str, artifact: Artifact, meter: Meter) -> None:
        """Check what is staged and make it a model of Mai's; what fails the check is deleted."""
        target = self._models / artifact.filename
        with disk_errors(target):
            digest = digest or await self._digest(staged, meter)
            await in_thread(lambda _: _check(staged, digest, artifact))
            # The note comes first: a model without one would lose its digest, a note without a model is harmless.
            write_note(target, OriginNote(source=artifact.source, sha256=digest, size=os.stat(staged).st_size))
            os.replace(staged, target)
            await in_thread(lambda _: sync_to_disk(self._models))
            self._verifier.remember(target, digest)

    async def _digest(self, file: Path, meter: Meter) -> str:
        total = os.stat(file).st_size
        return await self._verifier.sha256(file, fresh=True, report=lambda done: meter.tell("verifying", done, total))


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check(staged: Path, digest: str, artifact: Artifact) -> None:
    """Raises ``FetchError``, and deletes the file, unless it is what was published and a model that writes text."""
    try:
        if artifact.sha256 and digest != artifact.sha256.lower():
            raise ChecksumMismatch(
                f"{artifact.filename} is not what was published: its sha256 is {digest[:12]}..., "
                f"not {artifact.sha256[:12]}...",
                remedy="try again later, or another source",
            )
        _check_kind(staged)
    except FetchError:
        staged.unlink()
        raise


def _check_kind(file: Path) -> None:
    try:
        header = read_header(file)
        kind = facts_of(header, header.tensors).kind
    except (ModelFileError, ValueError) as error:
        message = error.message if isinstance(error, ModelFileError) else f"{file.name} has {error}"
        raise FetchError(f"this is no usable model: {message}", remedy="check the source") from error
    # Only the first part of a split model says what it is.
    if kind is not FileKind.TEXT and not header.metadata.get("split.no"):
        what = "no language model" if kind is FileKind.OTHER else f"of the kind {kind.value!r}"
        raise FetchError(f"{file.name} is {what}: Mai cannot chat with it", remedy="choose another file")
