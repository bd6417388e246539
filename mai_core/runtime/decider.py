"""Gathers what a decision depends on, and decides: the bridge from the world to ``policy``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from mai_core.errors import BackendUnavailable, MaiError
from mai_core.plugin.isolation import StrategyRunner
from mai_core.policy.decision import decide
from mai_core.policy.explanation import smallest_flip
from mai_core.policy.feasibility import Limits, Situation
from mai_core.policy.features import TaskFeatures
from mai_core.policy.health import FORGET_SECONDS, health_after
from mai_core.policy.models import ModelProfile
from mai_core.policy.selection import Decision
from mai_core.policy.stability import StabilityRules
from mai_core.runtime.catalog import Catalog
from mai_core.runtime.monitor import Monitor
from mai_core.runtime.pool import Pool
from mai_core.runtime.store import Store

__all__ = ["Decider"]


class Decider:
    """Decides which model serves a turn, on the state of the world at that moment."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        pool: Pool,
        monitor: Monitor,
        strategies: StrategyRunner,
        store: Store,
        limits: Limits,
        rules: StabilityRules,
        arbiter: str,
        now: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._pool = pool
        self._monitor = monitor
        self._strategies = strategies
        self._store = store
        self._limits = limits
        self._rules = rules
        self._arbiter = arbiter
        self._now = now
        self._failures: dict[tuple[str, str], list[float]] | None = None
        self._struggles: dict[tuple[str, str], list[float]] = {}

    async def situation(self, features: TaskFeatures, *, current: str | None, pinned: str | None) -> Situation:
        """Everything a decision depends on, as it is now."""
        models, loaded, speeds = await asyncio.gather(
            self._catalog.current(), self._pool.loaded(), asyncio.to_thread(self._store.speeds)
        )
        pinned_on: tuple[str, ...] = ()
        if pinned is not None and not self._catalog.meant(pinned):
            models = await self._catalog.heard()
            pinned_on = await asyncio.to_thread(self._store.pinned_on, pinned)
        now = self._now()
        failures = await self._known_failures()
        return Situation(
            models=models,
            snapshot=await asyncio.to_thread(self._monitor.refresh),
            features=features,
            limits=self._limits,
            loaded=loaded,
            promised=self._pool.promised,
            current=current,
            pinned=pinned,
            health={m.key: self._health(failures, self._origin(m), now) for m in models},
            speeds={m.key: speed for m in models if (speed := speeds.get(self._origin(m)))},
            not_chat=self._catalog.not_chat,
            unavailable=self._catalog.unavailable,
            remedies=self._catalog.remedies,
            pinned_on=pinned_on,
        )

    async def decide(self, situation: Situation, *, explain: bool = False) -> Decision:
        """The decision; with ``explain`` also the smallest change that would flip it."""
        return await asyncio.to_thread(self._explained if explain else self._decided, situation)

    async def failed(self, key: str, backend: str, error: MaiError) -> None:
        """Remember that a model failed; of one whose backend is gone, that the backend is."""
        if isinstance(error, BackendUnavailable):
            self._catalog.unreachable(backend, error)
            return
        failures = await self._known_failures()
        origin = self._catalog.origin(key)
        failures.setdefault(origin, []).append(self._now())
        told = f"{type(error).__name__}: {error.message}"
        await asyncio.to_thread(self._store.record_failure, key=origin[1], backend=backend, error=told)

    def struggled(self, key: str) -> None:
        """Remember, for this session, that a model answered badly: a lighter matter than a failure."""
        self._struggles.setdefault(self._catalog.origin(key), []).append(self._now())

    async def worked(self, key: str) -> None:
        """Forget a model's failures: it answered, or the person asked for it."""
        failures = await self._known_failures()
        backend, own = origin = self._catalog.origin(key)
        self._struggles.pop(origin, None)
        if failures.pop(origin, None):
            await asyncio.to_thread(self._store.forgive, key=own, backend=backend)

    def _origin(self, model: ModelProfile) -> tuple[str, str]:
        return self._catalog.origin(model.key)

    def _health(self, failures: dict[tuple[str, str], list[float]], origin: tuple[str, str], now: float) -> float:
        return health_after(failures.get(origin, ()), now, struggles=self._struggles.get(origin, ()))

    def _decided(self, situation: Situation) -> Decision:
        return decide(situation, self._strategies.ballots, arbiter=self._arbiter, rules=self._rules)

    def _explained(self, situation: Situation) -> Decision:
        return replace(self._decided(situation), flip=smallest_flip(situation, self._decided))

    async def _known_failures(self) -> dict[tuple[str, str], list[float]]:
        """Seconds since the epoch, by backend and the key the model has there."""
        if self._failures is None:
            rows: Sequence[tuple[str, str, str, float]] = await asyncio.to_thread(
                self._store.failures, self._now() - FORGET_SECONDS
            )
            self._failures = {}
            for key, backend, _, at in rows:
                self._failures.setdefault((backend, key), []).append(at)
        return self._failures
