"""Which models are in the stand-in's memory, with what options, and for how long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.standins.faults import Fault
from tests.standins.ollama.models import StandInModel
from tests.standins.ollama.refusals import Refusal, memory_at_load

__all__ = ["Machine", "Runner"]

FOR_EVER = 2**63 / 1e9  # seconds: the longest duration there is in Go
DEFAULT_KEEP_ALIVE = 300.0
DEFAULT_CONTEXT = 4096
_LOADED_WITH = ("num_ctx", "num_gpu", "num_thread", "num_batch", "main_gpu", "use_mmap")


@dataclass(eq=False)
class Runner:
    """A model in memory. ``users`` are the requests it works for; it leaves only when there are none."""

    model: StandInModel
    options: dict[str, Any]
    shift: bool
    keep_alive: float
    users: int = 0
    expires: float = field(default_factory=time.time)
    turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    @property
    def context(self) -> int:
        """Tokens of its window."""
        return int(self.options["num_ctx"])

    @property
    def taken(self) -> int:
        """Bytes."""
        return self.model.taken(self.context)


class Machine:
    """State that tests read and change while the server runs.

    fault          what is wrong; None when healthy. Held-back answers are given when it is taken away
    after_pieces   how many pieces a reply gives before a fault in mid-stream strikes
    spoils         which answers INVALID_UTF8 and HUGE_LINE spoil: "chat" or "tags"
    huge_bytes     size of the line of HUGE_LINE
    memory         bytes all runners together may take
    version        what it says it is; older ones know less
    ps_seconds     how long it takes to list what is in memory
    calls          (path, body) of every request, in order
    loads          (model, options) of every load that was begun
    generating     replies the server is still writing
    loading        loads the server is still working on
    """

    def __init__(self, models: Iterable[StandInModel]) -> None:
        self.models = {model.name: model for model in models}
        self.runners: dict[str, Runner] = {}
        self.memory = 64 * 1024**3
        self.version = "0.33.0"
        self.api_key = ""
        self.raw_rows: list[Any] = []
        self.fault: Fault | None = None
        self.after_pieces = 3
        self.spoils = "chat"
        self.huge_bytes = 100_000_000
        self.ps_seconds = 0.0
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.loads: list[tuple[str, dict[str, Any]]] = []
        self.generating = 0
        self.loading = 0
        self._schedule = asyncio.Lock()

    @property
    def instances(self) -> list[str]:
        """Names of the models in memory."""
        return [runner.model.name for runner in self.runners.values()]

    def knows(self, *since: int) -> bool:
        """Whether the server is of this version or newer."""
        return tuple(int(part) for part in self.version.split(".")[:3]) >= since

    async def held(self, *faults: Fault) -> None:
        """Says nothing for as long as one of these faults is set."""
        while self.fault in faults:
            await asyncio.sleep(0.01)

    def sweep(self) -> None:
        """Unloads what was idle for longer than it is kept."""
        for weights, runner in list(self.runners.items()):
            if not runner.users and time.time() >= runner.expires:
                del self.runners[weights]

    async def acquire(self, model: StandInModel, body: dict[str, Any]) -> Runner:
        """The runner for a request, loaded if need be; it is held until ``release``."""
        options, shift = self._effective(model, body), body.get("shift") is not False or not self.knows(0, 12, 6)
        runner = self.runners.get(model.weights)
        if runner is None or _differs(runner, options, shift):
            async with self._schedule:
                runner = self.runners.get(model.weights)
                if runner is None or _differs(runner, options, shift):
                    if runner is not None:
                        await self._evict(runner)
                    runner = await self._load(model, options, shift)
                self._use(runner, body)
                return runner
        self._use(runner, body)
        return runner

    def release(self, runner: Runner) -> None:
        """A request is done; idleness begins with the last."""
        runner.users -= 1
        runner.expires = time.time() + runner.keep_alive
        self.sweep()

    def expire(self, model: StandInModel) -> None:
        """Unload as soon as nobody uses it."""
        if (runner := self.runners.get(model.weights)) is not None:
            runner.keep_alive, runner.expires = 0.0, time.time()
            self.sweep()

    def row(self, runner: Runner) -> dict[str, Any]:
        """Of ``/api/ps``."""
        expires = time.time() + runner.keep_alive if runner.users else runner.expires
        moment = datetime.now(UTC) + timedelta(seconds=min(expires - time.time(), FOR_EVER))
        row: dict[str, Any] = {
            "name": runner.model.name,
            "model": runner.model.name,
            "size": runner.taken,
            "digest": runner.model.digest,
            "details": runner.model.details(),
            "expires_at": moment.strftime("%Y-%m-%dT%H:%M:%S.%f123Z"),
            "size_vram": int(runner.taken * runner.model.on_gpu),
        }
        return row | ({"context_length": runner.context} if self.knows(0, 11, 0) else {})

    def _effective(self, model: StandInModel, body: dict[str, Any]) -> dict[str, Any]:
        asked = body.get("options") or {}
        options = {key: asked[key] for key in _LOADED_WITH if asked.get(key) is not None}
        context = max(4, int(options.get("num_ctx", DEFAULT_CONTEXT)))
        if "vision" in model.capabilities:
            context = max(context, 2048)
        return options | {"num_ctx": min(context, model.context)}

    def _use(self, runner: Runner, body: dict[str, Any]) -> None:
        runner.users += 1
        if (keep_alive := body.get("keep_alive")) is not None:
            runner.keep_alive = seconds_of(keep_alive)

    async def _evict(self, runner: Runner) -> None:
        runner.keep_alive, runner.expires = 0.0, time.time()
        while self.runners.get(runner.model.weights) is runner:
            self.sweep()
            await asyncio.sleep(0.005)

    async def _load(self, model: StandInModel, options: dict[str, Any], shift: bool) -> Runner:
        self.loads.append((model.name, options))
        self.loading += 1
        try:
            needed = model.taken(options["num_ctx"])
            while needed > self.memory - sum(runner.taken for runner in self.runners.values()) and self.runners:
                await self._evict(min(self.runners.values(), key=lambda runner: (runner.users > 0, runner.keep_alive)))
            await self.held(Fault.HANGS_AT_LOAD)
            await asyncio.sleep(model.load_seconds)
            if needed > self.memory or self.fault is Fault.OUT_OF_MEMORY_AT_LOAD:
                raise memory_at_load(needed, self.memory, old=not self.knows(0, 30, 0))
            if model.load_error:
                raise Refusal(500, model.load_error)
        finally:
            self.loading -= 1
        runner = Runner(model, options, shift, DEFAULT_KEEP_ALIVE)
        self.runners[model.weights] = runner
        return runner


def seconds_of(keep_alive: Any) -> float:
    """As Ollama reads a duration: a number is seconds, a negative one for ever."""
    if isinstance(keep_alive, str):
        units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
        unit = next(unit for unit in units if keep_alive.endswith(unit))
        keep_alive = float(keep_alive.removesuffix(unit)) * units[unit]
    return FOR_EVER if keep_alive < 0 else float(keep_alive)


def _differs(runner: Runner, options: dict[str, Any], shift: bool) -> bool:
    if options.get("num_gpu", -1) < 0:
        return runner.shift != shift or _without_gpu(runner.options) != _without_gpu(options)
    return runner.shift != shift or runner.options != options


def _without_gpu(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != "num_gpu"}
