"""Starts LM Studio when it is installed and not running, and ends it again.

Nobody who only lists models waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from asyncio.subprocess import DEVNULL
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from mai_backends.lmstudio.discovery import Address
from mai_backends.lmstudio.processes import Mark
from mai_core.errors import BackendUnavailable

__all__ = ["Starter"]

log = logging.getLogger("mai.lmstudio")

LOOK_SECONDS = 0.25
STOP_SECONDS = 5.0
DETAIL = 2000


@dataclass(frozen=True, slots=True)
class _Way:
    """Arguments of ``lms`` that start a server, and those that end it."""

    up: tuple[str, ...]
    down: tuple[str, ...]


_WAYS = (
    # Prefers the headless daemon, and opens the application where there is none.
    _Way(("daemon", "up", "--json"), ("daemon", "down")),
    # An lms that knows no daemon.
    _Way(("server", "start"), ("server", "stop")),
)


class Starter:
    """Starts a server with ``lms``; ``find`` tells where one answers. ``patience`` seconds may pass until it does.

    ``mark`` shows other processes that a start is under way.
    """

    def __init__(
        self, lms: Path, *, find: Callable[[], Awaitable[Address | None]], patience: float, mark: Mark
    ) -> None:
        self._lms = lms
        self._find = find
        self._patience = patience
        self._mark = mark
        self._failed = False
        self._lost = False
        self._task: asyncio.Task[Address] | None = None
        self._hurry = asyncio.Event()
        self._way: _Way | None = None
        self.note = ""

    @property
    def started(self) -> bool:
        """Whether Mai started, or is starting, what answers."""
        return self._way is not None

    @property
    def again(self) -> str:
        """How a start is told from the first one: a server that was there has ended."""
        return " again" if self._lost else ""

    def prospect(self, after: float) -> str:
        """What is going to be done about a server that is not there, in a session that has lasted ``after`` seconds."""
        if self._failed:
            return self.note
        if self._task is None or not (self.note or self._task.done()):
            return "Mai starts it again" if self._lost else f"Mai starts it in a session of {after:g} s"
        if not self._task.done():
            return f"Mai is starting it{self.again}"
        return f"Mai starts it{self.again} when one of its models is wanted"

    def lost(self) -> None:
        """A server that answered has ended: how it came to be there is no longer of interest."""
        self._lost = True
        if self._task is None or self._task.done():
            self._failed, self.note = False, ""

    def later(self, seconds: float) -> None:
        """Start a server in the background, in so many seconds. Only the first time it is asked for."""
        if self._task is None:
            self._task = self._begin(seconds)

    async def now(self) -> Address:
        """Start a server, or join a start that is under way; where it answers. Raises ``BackendUnavailable``."""
        if self._task is None or self._task.done():
            self._task = self._begin(0.0)
        self._hurry.set()
        return await asyncio.shield(self._task)

    async def end(self, *, stop: bool) -> None:
        """End a start that is under way; with ``stop``, also the server, if Mai started it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        way, self._way = self._way, None
        if stop and way is not None:
            with contextlib.suppress(OSError):
                await self._lms_says(way.down, STOP_SECONDS)
            log.info("stopped LM Studio", extra={"command": way.down})

    def _begin(self, delay: float) -> asyncio.Task[Address]:
        task = asyncio.create_task(self._start(delay), name="lmstudio-start")
        # Where nobody waits for it, the note tells how it went.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _start(self, delay: float) -> Address:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), delay)
        self._hurry.clear()
        if (address := await self._find()) is not None:
            return address
        self._failed, self.note = False, f"starting LM Studio{self.again}"
        log.info("starting LM Studio", extra={"command": str(self._lms)})
        self._mark.put()
        try:
            return await self._up()
        finally:
            self._mark.take()

    async def _up(self) -> Address:
        why = f"it did not answer within {self._patience:g} s"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                for way in _WAYS:
                    self._way = way
                    try:
                        return await self._started_by(way)
                    except _Refused as error:
                        self._way, why = None, str(error)
        self._failed, self.note = True, f"LM Studio could not be started{self.again}: {why}"
        log.warning("LM Studio could not be started", extra={"why": why})
        raise BackendUnavailable(self.note, remedy=f"try {self._lms} {_WAYS[-1].up[0]}")

    async def _started_by(self, way: _Way) -> Address:
        """Where the server answers. It may do so before ``lms`` has ended, or a while after."""
        starting = asyncio.create_task(self._lms_says(way.up, self._patience))
        try:
            while True:
                ended = starting in (await asyncio.wait({starting}, timeout=LOOK_SECONDS))[0]
                if (address := await self._find()) is not None:
                    self.note = f"started{self.again} by Mai"
                    return address
                if ended:
                    _check(starting)
                    await asyncio.sleep(LOOK_SECONDS)
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)

    async def _lms_says(self, arguments: tuple[str, ...], seconds: float) -> tuple[int, str]:
        """The exit code of ``lms``, and the last it said. Only its own process is ended with the task, no other.

        What it starts inherits its output, so that is a file: the end of a pipe would come only with the server's.
        """
        with tempfile.TemporaryFile() as said:
            process = await asyncio.create_subprocess_exec(
                str(self._lms), *arguments, stdin=DEVNULL, stdout=said, stderr=said
            )
            try:
                async with asyncio.timeout(seconds):
                    code = await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    await asyncio.shield(process.wait())
            said.seek(0)
            return code, said.read(DETAIL).decode("utf-8", "replace").strip()


class _Refused(Exception):
    """``lms`` did not do it; says why in one line."""


def _check(starting: asyncio.Task[tuple[int, str]]) -> None:
    try:
        code, said = starting.result()
    except OSError as error:
        raise _Refused(error.strerror or type(error).__name__) from error
    if code:
        raise _Refused(said.splitlines()[-1][:200] if said else f"lms ended with code {code}")
