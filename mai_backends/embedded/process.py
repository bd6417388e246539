"""The life of a worker process: started, watched, measured, and gone for certain."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mai_backends.embedded.failures import Remains
from mai_core.errors import BackendUnavailable
from mai_core.policy.models import Footprint, KvType

__all__ = ["Configuration", "LoadFailed", "WorkerProcess"]

WORKER = Path(__file__).with_name("worker.py")
STDERR_KEPT = 64 * 1024
LOOK_SECONDS = 0.1
SPIN_COUNT = "300000"
"""How long a thread that waits for the slowest one burns its core before it sleeps: about a millisecond.

Tokens a second of SmolLM2 135M with two threads, on two free cores / with one of them busy: 90 / 91 at 300,000 rounds;
27 / 43 when threads sleep at once (``OMP_WAIT_POLICY=PASSIVE``); 98 / 24 by default, when they hardly ever do. Below
100,000 rounds the busy case falls to 10 at times.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What a worker is told. The key opens its HTTP interface; it is sent over standard input alone.

    ``parallel`` conversations have ``context`` tokens each. ``states`` is the folder its engine may write states of
    conversations to; empty for none. ``projector`` is the file that lets the model see. ``verbosity`` 2 has it tell of
    failures, 4 of every buffer it makes.
    """

    model: str
    context: int
    kv_type: KvType
    gpu_layers: int
    threads: int
    batch_threads: int
    batch: int
    parallel: int = 1
    states: str = ""
    projector: str = ""
    verbosity: int = 2
    api_key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)


class LoadFailed(Exception):
    """A worker did not become ready; ``remains`` tell why."""

    def __init__(self, remains: Remains) -> None:
        super().__init__(remains.end)
        self.remains = remains


class WorkerProcess:
    """A worker. Made by ``spawn``, made ready by ``start``, ended by ``kill``; it ends with this process, too."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._stderr = bytearray()
        self._heard = 0
        self._killed = False
        self._starved_before = _oom_kills()
        self._drain = asyncio.create_task(self._read_stderr())

    @classmethod
    async def spawn(cls) -> WorkerProcess:
        """Start a worker that waits for its configuration. Raises ``BackendUnavailable``."""
        # An engine that aborts would start a debugger, if there is one, and take seconds to be gone.
        environment = {"GOMP_SPINCOUNT": SPIN_COUNT, "GGML_NO_BACKTRACE": "1", **os.environ}
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", str(WORKER)),
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise BackendUnavailable(f"no process can be started for the engine: {error.strerror}") from error
        return cls(process)

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs. The system is asked: the news of a death takes a moment to reach this program."""
        return self._process.returncode is None and _running(self.pid)

    @property
    def killed(self) -> bool:
        """Whether it was ended on purpose."""
        return self._killed

    @property
    def remains(self) -> Remains:
        """How it ended and the last it said."""
        now, before = _oom_kills(), self._starved_before
        starved = now > before if now is not None and before is not None else None
        return Remains(self._process.returncode, self._stderr.decode("utf-8", "replace"), starved)

    async def start(
        self, configuration: Configuration, *, size_bytes: int, silence: float, progress: Callable[[float], None]
    ) -> str:
        """Load the model; returns the URL it answers at.

        ``progress`` gets the share of ``size_bytes`` that is in memory. A load may take as long as it needs while
        memory grows or the engine talks; ``silence`` is how many seconds it may do neither. Raises ``LoadFailed`` or
        ``BackendUnavailable``; cancelling leaves the process to ``kill``.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):  # then it is dead, and its answer says so
            self._process.stdin.write(json.dumps(asdict(configuration)).encode() + b"\n")
            await self._process.stdin.drain()
        answer = await self._answer(size_bytes, silence, progress)
        if "ready" in answer:
            return str(answer["ready"]["address"])
        if answer.get("failed", {}).get("stage") == "engine":
            raise BackendUnavailable(
                f"the engine cannot be started: {answer['failed']['message']}", remedy="pip install xllamacpp"
            )
        await self.ended(within=5.0)
        raise LoadFailed(self.remains)

    async def ended(self, *, within: float) -> bool:
        """Whether the process ends, and everything it said is read, within so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._process.wait()
                await asyncio.wait({self._drain})
        return not self.alive

    async def kill(self) -> None:
        """End the process; returns when it is gone and its memory free. Nothing in it wants to be saved.

        Goes on to the end though the caller is cancelled.
        """
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await asyncio.shield(self._reap())

    async def footprint(self) -> Footprint | None:
        """Bytes of memory it takes now; None when it is gone."""
        return await asyncio.to_thread(_footprint, self.pid) if self.alive else None

    async def _answer(self, size_bytes: int, silence: float, progress: Callable[[float], None]) -> dict[str, Any]:
        """The worker's one line; nothing when it ended without. Raises ``LoadFailed`` when it falls silent."""
        assert self._process.stdout is not None
        clock = asyncio.get_running_loop().time
        reading = asyncio.ensure_future(_read_answer(self._process.stdout))
        last_sign, life = clock(), (0, 0)
        try:
            while not (await asyncio.wait({reading}, timeout=LOOK_SECONDS))[0]:
                resident = await asyncio.to_thread(_resident, self.pid)
                if (resident, self._heard) != life:
                    last_sign, life = clock(), (resident, self._heard)
                elif clock() - last_sign > silence:
                    raise LoadFailed(self.remains)
                progress(min(0.95, resident / max(1, size_bytes)))
            return reading.result()
        finally:
            reading.cancel()

    async def _reap(self) -> None:
        await self._process.wait()
        await asyncio.wait({self._drain}, timeout=1.0)
        self._drain.cancel()
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def _read_stderr(self) -> None:
        """Keep the pipe from filling up, and the last of what came through it."""
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(STDERR_KEPT):
            self._heard += len(chunk)
            self._stderr += chunk
            del self._stderr[:-STDERR_KEPT]


async def _read_answer(output: asyncio.StreamReader) -> dict[str, Any]:
    """The worker's one line; nothing when it ended without.

    Whatever else is there was printed by start-up files of the person's, before the worker claimed its output. It is
    passed over, however long it is: a pipe that nobody empties would also keep a dead process from being reaped.
    """
    line = bytearray()
    while piece := await output.read(STDERR_KEPT):
        *ends, rest = piece.split(b"\n")
        for end in ends:
            line += end
            with contextlib.suppress(ValueError):
                answer = json.loads(line)
                if isinstance(answer, dict) and answer.keys() & {"ready", "failed"}:
                    return answer
            line.clear()
        line += rest
        del line[:-STDERR_KEPT]
    return {}


def _running(pid: int) -> bool:
    import psutil

    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def _resident(pid: int) -> int:
    """Bytes of main memory a process has; 0 when it is gone."""
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _oom_kills() -> int | None:
    """Processes the system has killed for want of memory since it started, those within a memory group among them."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)
    except OSError:
        return None


def _footprint(pid: int) -> Footprint | None:
    """Private and mapped memory, told apart where the system does; elsewhere all of it counts as private."""
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    try:
        rows = dict(line.split(":", 1) for line in rollup.read_text(encoding="ascii").splitlines()[1:])
        taken = {name: int(rows[name].split()[0]) * 1024 for name in ("Rss", "Anonymous", "Swap")}
    except (OSError, KeyError):
        resident = _resident(pid)
        return Footprint(resident) if resident else None
    return Footprint(taken["Anonymous"] + taken["Swap"], taken["Rss"] - taken["Anonymous"])
