"""The only owner of load, unload and evict. Everything that changes what is in memory happens here.

An instance is in one of four states:

    absent --acquire--> loading --loaded--> idle <--release/lease--> leased
                           |                  |
                           +--failed--> absent +--evict--> unloading --> absent

Callers that want a model that is being loaded share that load, and whoever comes while it is being cancelled waits
for its end and begins anew. Only idle instances that Mai loaded are evicted.
Memory promised to a load in flight counts as used. What a backend no longer lists is absent, whatever was thought.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from mai_core.errors import BackendUnavailable, OutOfMemory
from mai_core.plugin.interfaces import Backend
from mai_core.policy.feasibility import Limits, headroom
from mai_core.policy.footprint import predict_footprint
from mai_core.policy.models import Footprint, LoadedModel, LoadPlan, ModelProfile
from mai_core.policy.resources import ResourceSnapshot
from mai_core.runtime.residents import Residents

__all__ = ["LoadRecord", "Pool"]

log = logging.getLogger("mai.pool")

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRecord:
    """What a load was expected to take and what it took."""

    key: str
    backend: str
    context: int
    predicted: Footprint
    observed: Footprint
    seconds: float


@dataclass(slots=True)
class _Load:
    """A load in flight and everyone who waits for it.

    ``ending`` once it is being cancelled: nobody joins it any more. ``held`` is the new instance, leased in the name
    of the waiters until the last of them has woken up.
    """

    model: ModelProfile
    plan: LoadPlan
    footprint: Footprint
    task: asyncio.Task[LoadedModel] | None = None
    waiting: int = 0
    ending: bool = False
    held: str = ""
    listeners: list[Progress] = field(default_factory=list)


class Pool:
    """Models in memory, over all backends.

    A backend may know a model by another key than the rest of Mai does: ``own`` gives a model as its backend lists it,
    ``known_as`` a loaded one under the key it has here.
    """

    def __init__(
        self,
        backends: Mapping[str, Backend],
        *,
        snapshot: Callable[[], Awaitable[ResourceSnapshot]],
        limits: Limits,
        own: Callable[[ModelProfile], ModelProfile] = lambda model: model,
        known_as: Callable[[LoadedModel], LoadedModel] = lambda loaded: loaded,
        on_load: Callable[[LoadRecord], None] = lambda record: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backends = backends
        self._residents = Residents(backends)
        self._own = own
        self._known_as = known_as
        self._snapshot = snapshot
        self._limits = limits
        self._on_load = on_load
        self._clock = clock
        self._room = asyncio.Lock()
        self._loads: dict[str, _Load] = {}
        self._leases: dict[str, int] = {}
        self._leaving: set[str] = set()
        self._used_at: dict[str, float] = {}
        self._ticks = itertools.count()

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """What is in memory now, as the backends say, with this pool's leases marked."""
        return tuple(
            replace(self._known_as(m), leased=m.leased or self._leases.get(m.instance, 0) > 0)
            for m in await self._residents.all()
        )

    @contextlib.asynccontextmanager
    async def acquire(
        self, model: ModelProfile, plan: LoadPlan, *, progress: Progress | None = None
    ) -> AsyncIterator[LoadedModel]:
        """A lease on ``model``, loaded by ``plan`` unless an instance with that much context is there already.

        While it is held, the instance is not unloaded. Raises what the backend's ``load`` raises.
        """
        instance = await self._ready(model, plan, progress)
        self._hold(instance.instance)
        try:
            yield replace(instance, leased=True)
        finally:
            self._release(instance.instance)
            self._used_at[instance.instance] = next(self._ticks)

    async def unload(self, key: str) -> int:
        """Free every idle instance of ``key`` that Mai loaded; returns how many there were."""
        async with self._room:
            idle = [m for m in await self.loaded() if m.key == key and m.owned and not m.leased]
            return sum([await self._evict(instance) for instance in idle])

    async def close(self) -> None:
        """Stop loads in flight. The backends free what they hold themselves."""
        loads = tuple(self._loads.values())
        for load in loads:
            self._cancel(load)
        await asyncio.gather(*(load.task for load in loads if load.task), return_exceptions=True)
        await self._residents.close()

    async def _ready(self, model: ModelProfile, plan: LoadPlan, progress: Progress | None) -> LoadedModel:
        while True:
            self._backend(model)
            for instance in map(self._known_as, await self._residents.surely_of(model.backend)):
                fresh = instance.instance not in self._leaving
                if instance.key == model.key and instance.plan.context >= plan.context and fresh:
                    return instance
            load = self._loads.get(model.key)
            if load is not None and load.ending and load.task is not None:
                await asyncio.wait([load.task])
                continue
            mine = load is None
            if load is None:
                load = _Load(model, plan, predict_footprint(model, plan))
                self._loads[model.key] = load
                load.task = asyncio.create_task(self._load(load))
                # Not at the end of the coroutine: one that is cancelled before its first step never gets there.
                load.task.add_done_callback(lambda _: self._loads.pop(model.key, None))
            if progress is not None:
                load.listeners.append(progress)
            instance = await self._join(load)
            # A backend may give less context than it was asked for; asking it again would give the same.
            if mine or instance.plan.context >= plan.context:
                return instance

    async def _join(self, load: _Load) -> LoadedModel:
        """Wait for a load that others may share; it is cancelled when its last waiter leaves."""
        assert load.task is not None
        load.waiting += 1
        try:
            return await asyncio.shield(load.task)
        except asyncio.CancelledError:
            if load.waiting == 1 and not load.task.done():
                self._cancel(load)
                await asyncio.gather(load.task, return_exceptions=True)
            raise
        finally:
            load.waiting -= 1
            if load.held and not load.waiting:
                self._release(load.held)

    @staticmethod
    def _cancel(load: _Load) -> None:
        load.ending = True
        if load.task is not None:
            load.task.cancel()

    def _hold(self, instance: str) -> None:
        self._leases[instance] = self._leases.get(instance, 0) + 1

    def _release(self, instance: str) -> None:
        self._leases[instance] -= 1
        if not self._leases[instance]:
            del self._leases[instance]

    async def _load(self, load: _Load) -> LoadedModel:
        model, plan = load.model, load.plan

        def report(share: float) -> None:
            for listener in load.listeners:
                listener(share)

        try:
            async with self._room:
                await self._make_room(load)
            report(0.0)
            started = self._clock()
            own = await self._backend(model).load(self._own(model), plan, progress=report)
            seconds = self._clock() - started
        except OutOfMemory:
            await self._evict_idle(model.host)
            raise
        self._residents.add(own)
        instance = self._known_as(own)
        self._used_at[instance.instance] = next(self._ticks)
        if load.waiting:
            load.held = instance.instance
            self._hold(load.held)
        log.info(
            "model loaded",
            extra={"model": model.key, "seconds": round(seconds, 3), "context": plan.context, "kv": plan.kv_type},
        )
        self._on_load(
            LoadRecord(
                key=model.key,
                backend=model.backend,
                context=plan.context,
                predicted=load.footprint,
                observed=instance.footprint,
                seconds=seconds,
            )
        )
        return instance

    async def _make_room(self, load: _Load) -> None:
        """Evict idle instances until the load fits: first this model's own smaller one, then the least recently used.

        When everything idle is gone the load is tried all the same: feasibility judged it to fit.
        """
        model = load.model
        idle = [m for m in await self.loaded() if m.host == model.host and m.owned and not m.leased]
        idle.sort(key=lambda m: (m.key != model.key, self._used_at.get(m.instance, -1)))
        for instance in idle:
            if instance.key != model.key and await self._fits(load):
                return
            await self._try_evict(instance)

    async def _fits(self, load: _Load) -> bool:
        host = (await self._snapshot()).host(load.model.host)
        if host is None or host.ram is None:
            return load.model.remote
        promised = sum(o.footprint.ram for o in self._loads.values() if o is not load and o.model.host == host.name)
        return host.ram.available - headroom(host, self._limits) - promised >= load.footprint.ram

    async def _evict_idle(self, host: str) -> None:
        async with self._room:
            for instance in await self.loaded():
                if instance.host == host and instance.owned and not instance.leased:
                    await self._try_evict(instance)

    async def _try_evict(self, instance: LoadedModel) -> None:
        """Evict on behalf of another model, which is not to fail for what this one's backend cannot do."""
        try:
            await self._evict(instance)
        except Exception as error:  # noqa: BLE001 - maybe a third party's backend; it is named
            log.warning(
                "model not unloaded",
                extra={"model": instance.key, "backend": instance.backend, "error": f"{type(error).__name__}: {error}"},
            )

    async def _evict(self, instance: LoadedModel) -> bool:
        """Unload an instance, unless it was leased since it was listed; says whether it did."""
        if self._leases.get(instance.instance):
            return False
        started = self._clock()
        self._leaving.add(instance.instance)
        try:
            await self._backends[instance.backend].unload(instance.instance)
        finally:
            self._leaving.discard(instance.instance)
        self._residents.remove(instance)
        self._used_at.pop(instance.instance, None)
        log.info("model unloaded", extra={"model": instance.key, "seconds": round(self._clock() - started, 3)})
        return True

    def _backend(self, model: ModelProfile) -> Backend:
        try:
            return self._backends[model.backend]
        except KeyError:
            raise BackendUnavailable(f"{model.key} belongs to the backend {model.backend}, which is off") from None
