"""Brings one URL to one file: resumed where it stopped, checked, and put in place whole or not at all.

What has arrived lies in ``FILE.part``; beside it ``FILE.part.json`` says which version of the URL it is, so that a
resume never joins two versions.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from mai_backends.embedded.files import in_thread, replace_file, sync_to_disk
from mai_backends.embedded.room import disk_errors
from mai_backends.embedded.sources import Part
from mai_backends.transport import (
    PASSING,
    Patience,
    extent_of,
    host_of,
    refused,
    require_encrypted,
    unreachable,
    validator_of,
)
from mai_core.errors import ChecksumMismatch, FetchError

__all__ = ["Downloader"]

log = logging.getLogger("mai.embedded.download")

_CHUNK = 256 << 10

Report = Callable[[int, int], None]
Room = Callable[[int], None]
Digest = Callable[[Path], Awaitable[str]]


class _Again(Exception):
    """An answer that may be different soon; ``delay`` in seconds when the server named one."""

    def __init__(self, error: FetchError, delay: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.delay = delay


class _Partial:
    """``FILE.part`` and what is known about the version of the URL it holds."""

    def __init__(self, target: Path, part: Part) -> None:
        self.path = target.with_name(target.name + ".part")
        self._note = target.with_name(target.name + ".part.json")
        self.files = (self.path, self._note)
        self._url = part.url
        self._sha256 = part.sha256

    @property
    def size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def validator(self) -> str | None:
        """The version of what has arrived, empty if its digest alone tells; None if it is not to be continued."""
        try:
            note = json.loads(self._note.read_bytes())
            known: tuple[str, str, str] = note["url"], note["sha256"], note["validator"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        url, sha256, validator = known
        # A published digest identifies the content, whichever mirror it comes from.
        if url != self._url:
            return "" if sha256 and sha256 == self._sha256 else None
        return validator or ("" if sha256 and sha256 == self._sha256 else None)

    def restart(self, validator: str) -> None:
        """Forget what has arrived: the note is written only when nothing of another version is left."""
        with open(self.path, "wb"):
            pass
        replace_file(self._note, json.dumps({"url": self._url, "sha256": self._sha256, "validator": validator}))

    def append(self, chunk: bytearray) -> None:
        with open(self.path, "ab", buffering=0) as file:
            left = memoryview(chunk)
            while left:
                left = left[file.write(left) :]

    def appending(self, chunk: bytearray) -> Callable[[object], None]:
        return lambda _: self.append(chunk)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def publish(self, target: Path) -> None:
        os.replace(self.path, target)
        self._note.unlink(missing_ok=True)


class Downloader:
    """Downloads over one client.

    ``report`` is called with the bytes that are here and the bytes there are (0 when unknown), ``room`` with the
    bytes still to come: it raises ``DiskFull`` when they will not fit. ``digest`` gives the SHA-256 of a file.
    """

    def __init__(self, client: httpx.AsyncClient, patience: Patience, digest: Digest) -> None:
        self._client = client
        self._patience = patience
        self._digest = digest

    async def download(self, part: Part, target: Path, *, report: Report, room: Room) -> None:
        """Have ``part`` in ``target``, continuing what an earlier download left.

        Raises ``Offline``, ``ChecksumMismatch``, ``DiskFull`` or ``FetchError``. After ``Offline`` and a
        cancellation what arrived is kept; a full disk is given back.
        """
        partial = _Partial(target, part)
        with disk_errors(target, *partial.files):
            continued = partial.size > 0
            await self._until_complete(part, partial, report, room)
            published = await self._is_published(part, partial)
            if not published and continued:
                log.warning("resumed download is damaged, fetched anew", extra={"file": target.name})
                partial.discard()
                await self._until_complete(part, partial, report, room)
                published = await self._is_published(part, partial)
            if not published:
                partial.discard()
                raise ChecksumMismatch(
                    f"what {host_of(part.url)} sent for {target.name} is not what was published",
                    remedy="try again later, or another source",
                )
            await in_thread(lambda _: sync_to_disk(partial.path))
            partial.publish(target)

    async def _is_published(self, part: Part, partial: _Partial) -> bool:
        return not part.sha256 or await self._digest(partial.path) == part.sha256.lower()

    async def _until_complete(self, part: Part, partial: _Partial, report: Report, room: Room) -> None:
        fruitless, allowed = 0, self._patience.first_contact
        last: httpx.TransportError | _Again
        for _ in range(self._patience.in_all):
            before = partial.size
            try:
                return await self._attempt(part, partial, report, room)
            except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects) as error:
                raise FetchError(f"{host_of(part.url)} cannot be read: {error}", remedy="check the source") from error
            except (httpx.TransportError, _Again) as error:
                last = error
            if partial.size > before:
                fruitless, allowed = 0, self._patience.attempts
            else:
                fruitless += 1
            if fruitless >= allowed:
                break
            log.info("download interrupted", extra={"host": host_of(part.url), "why": repr(last)})
            await asyncio.sleep(self._delay(last, fruitless))
        raise last.error if isinstance(last, _Again) else unreachable(part.url, last, kept=True) from last

    def _delay(self, error: Exception, fruitless: int) -> float:
        asked = error.delay if isinstance(error, _Again) else 0.0
        doubling = self._patience.first_delay * 2.0 ** max(0, fruitless - 1)
        return min(max(asked, doubling), self._patience.longest_delay)

    async def _attempt(self, part: Part, partial: _Partial, report: Report, room: Room) -> None:
        validator = partial.validator()
        have = partial.size if validator is not None else 0
        if have and have == part.size:
            return
        headers = dict(part.headers)
        if have:
            headers["Range"] = f"bytes={have}-"
            if validator:
                headers["If-Range"] = validator
        async with self._client.stream("GET", part.url, headers=headers) as response:
            self._accept(response, part)
            start, total = extent_of(response)
            if response.status_code == 416:
                if have and total == have:
                    return
                partial.discard()
                raise _Again(refused(response))
            if part.size and total and total != part.size:
                raise ChecksumMismatch(
                    f"{host_of(part.url)} offers {total} bytes, {part.size} were published",
                    remedy="try again later, or another source",
                )
            now = validator_of(response)
            if start != have or (validator and now and validator != now):
                # The server sent the whole, or a piece of something else.
                if start:
                    partial.discard()
                    raise _Again(refused(response))
                have = 0
            if have == 0:
                partial.restart(now)
            total = total or part.size
            room(max(0, total - have))
            await self._receive(response, partial, have, total, report)

    def _accept(self, response: httpx.Response, part: Part) -> None:
        """Let through only answers that carry the file, or say that none of it is left to send."""
        require_encrypted(response, part.url)
        if response.status_code in PASSING:
            wait = response.headers.get("Retry-After", "")
            raise _Again(refused(response), float(wait) if wait.isdecimal() else 0.0)
        if response.status_code not in (200, 206, 416):
            raise refused(response)

    async def _receive(
        self, response: httpx.Response, partial: _Partial, done: int, total: int, report: Report
    ) -> None:
        report(done, total)
        waiting = bytearray()
        try:
            async for piece in response.aiter_raw():
                waiting += piece
                if len(waiting) >= _CHUNK:
                    chunk, waiting = waiting, bytearray()
                    await in_thread(partial.appending(chunk))
                    done += len(chunk)
                    report(done, total)
        finally:
            # Also after a dropped connection: what was paid for is kept.
            partial.append(waiting)
        report(done + len(waiting), total)
        if total and partial.size != total:
            raise httpx.RemoteProtocolError(f"{partial.size} of {total} bytes arrived")
