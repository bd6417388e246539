"""What failed and when, kept over restarts, and who may be tried in spite of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping

from mai_core.errors import MaiError, ModelCrashed, ModelFileError, ModelLoadError, OutOfMemory
from mai_core.policy.health import FORGET_SECONDS, Breaker, backend_breaker, breaker, health_after, longer_of
from mai_core.runtime.store import Store

__all__ = ["Breakers", "Origin"]

Origin = tuple[str, str]
"""A backend and the key a model has there."""

_OF_THE_ENGINE = frozenset({ModelCrashed.__name__, ModelLoadError.__name__})


class Breakers:
    """The circuit breakers of all models and backends. ``now`` is seconds since the epoch; it may jump.

    A failure to load or a crash counts against the engine too, unless it is known to be the file's fault, or memory's.
    """

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._failures: dict[Origin, list[float]] | None = None
        self._of_engines: dict[str, dict[str, list[float]]] = {}
        self._struggles: dict[Origin, list[float]] = {}
        self._trials: set[Origin | str] = set()

    async def remember(self) -> None:
        """Read what failed before this process began; only the first call does."""
        if self._failures is not None:
            return
        rows = await asyncio.to_thread(self._store.failures, self._now() - FORGET_SECONDS)
        if self._failures is None:
            self._failures = {}
            for key, backend, error, at in rows:
                self._note((backend, key), error.partition(":")[0], at)

    async def failed(self, origin: Origin, backend: str, error: MaiError) -> None:
        """A model of ``backend`` failed."""
        await self.remember()
        self._note(origin, _kind(error), self._now())
        told = f"{type(error).__name__}: {error.message}"
        await asyncio.to_thread(self._store.record_failure, key=origin[1], backend=backend, error=told)

    def struggled(self, origin: Origin) -> None:
        """A model answered badly: a lighter matter, remembered for this session."""
        self._struggles.setdefault(origin, []).append(self._now())

    async def worked(self, origin: Origin) -> None:
        """A model answered, or the person asked for it: its failures are forgotten, and its engine is not broken."""
        await self.remember()
        assert self._failures is not None
        self._struggles.pop(origin, None)
        self._of_engines.pop(origin[0], None)
        if self._failures.pop(origin, None):
            await asyncio.to_thread(self._store.forgive, key=origin[1], backend=origin[0])

    def health(self, origin: Origin) -> float:
        """Health in [0, 1]; 0 while a breaker keeps it out."""
        if (kept_out := self.of(origin)) is not None and kept_out.open:
            return 0.0
        return health_after(self._times(origin), self._now(), struggles=self._struggles.get(origin, ()))

    def of(self, origin: Origin) -> Breaker | None:
        """The breaker that keeps a model out the longest: its own or its backend's; None when both are closed."""
        now, backend = self._now(), origin[0]
        own = breaker(self._times(origin), now)
        engine = backend_breaker(self._of_engines.get(backend, {}), now)
        return longer_of(self._tried(own, origin), self._tried(engine, backend))

    @contextlib.contextmanager
    def admissions(self) -> Iterator[Callable[[Origin], bool]]:
        """For one turn: says of each model whether the turn may try it, and holds its trial until the turn ends.

        A model that was admitted once stays so: what its failures lead to within a turn is for the turn to say.
        """
        held: set[Origin | str] = set()
        admitted: set[Origin] = set()

        def admits(origin: Origin) -> bool:
            if origin in admitted:
                return True
            own = breaker(self._times(origin), self._now())
            engine = backend_breaker(self._of_engines.get(origin[0], {}), self._now())
            places = ((own, origin), (engine, origin[0]))
            if any(b.remaining > 0.0 or (where in self._trials - held) for b, where in places if b is not None):
                return False
            trials: set[Origin | str] = {where for b, where in places if b is not None}
            held.update(trials)
            self._trials.update(trials)
            admitted.add(origin)
            return True

        try:
            yield admits
        finally:
            self._trials -= held

    def _note(self, origin: Origin, kind: str, at: float) -> None:
        assert self._failures is not None
        self._failures.setdefault(origin, []).append(at)
        if kind in _OF_THE_ENGINE:
            self._of_engines.setdefault(origin[0], {}).setdefault(origin[1], []).append(at)

    def _tried(self, found: Breaker | None, where: Origin | str) -> Breaker | None:
        if found is None or where not in self._trials:
            return found
        return Breaker(found.failures, found.remaining, found.backend, trial=True)

    def _times(self, origin: Origin) -> list[float]:
        failures: Mapping[Origin, list[float]] = self._failures or {}
        return failures.get(origin, [])


def _kind(error: MaiError) -> str:
    """The class a failure is counted under: the nearest of those that matter here."""
    for kind in (ModelFileError, OutOfMemory, ModelCrashed, ModelLoadError):
        if isinstance(error, kind):
            return kind.__name__
    return type(error).__name__
