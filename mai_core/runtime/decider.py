"""Gathers what a decision depends on, and decides: the bridge from the world to ``policy``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from mai_core.errors import BackendUnavailable, MaiError
from mai_core.plugin.isolation import StrategyRunner
from mai_core.policy.decision import decide
from mai_core.policy.exclusion import rejected
from mai_core.policy.explanation import smallest_flip
from mai_core.policy.feasibility import Limits, Situation
from mai_core.policy.features import TaskFeatures
from mai_core.policy.health import kept_out_words
from mai_core.policy.models import ModelProfile
from mai_core.policy.outcomes import Abilities
from mai_core.policy.resources import PoolKind, ResourceSnapshot
from mai_core.policy.selection import Decision, Rejection, RejectionReason
from mai_core.policy.speed import Machine, MeasuredSpeed
from mai_core.policy.stability import StabilityRules, Switch, paid_switch
from mai_core.runtime.breakers import Breakers
from mai_core.runtime.catalog import Catalog
from mai_core.runtime.learning import Learning
from mai_core.runtime.metering import Metering
from mai_core.runtime.monitor import Monitor
from mai_core.runtime.observing import Observing
from mai_core.runtime.outcomes import Outcomes
from mai_core.runtime.pool import Pool
from mai_core.runtime.spending import Spending
from mai_core.runtime.status import Held
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
        observing: Observing,
        learning: Learning,
        spending: Spending,
        metering: Metering,
        outcomes: Outcomes,
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
        self._observing = observing
        self._learning = learning
        self._spending = spending
        self._metering = metering
        self._outcomes = outcomes
        self._limits = limits
        self._rules = rules
        self._arbiter = arbiter
        self._breakers = Breakers(store, now)
        self._history: tuple[Switch, ...] = ()

    async def situation(
        self, features: TaskFeatures, *, current: str | None, pinned: str | None, conversation: str = ""
    ) -> Situation:
        """Everything a decision depends on, as it is now, for a turn of ``conversation``."""
        models, loaded, (speeds, abilities) = await asyncio.gather(
            self._catalog.current(), self._pool.loaded(), asyncio.to_thread(self._past)
        )
        pinned_on: tuple[str, ...] = ()
        if pinned is not None and not self._catalog.meant(pinned):
            models = await self._catalog.heard()
            pinned_on = await asyncio.to_thread(self._store.pinned_on, pinned)
        await self._breakers.remember()
        origins = {m.key: self._catalog.origin(m.key) for m in models}
        kept_out = {key: b for key, o in origins.items() if (b := self._breakers.of(o)) is not None and b.open}
        snapshot = await asyncio.to_thread(self._monitor.refresh)
        known_speeds = {key: speed for key, origin in origins.items() if (speed := speeds.get(origin))}
        return Situation(
            models=models,
            snapshot=snapshot,
            features=features,
            limits=replace(self._limits, watts=self._metering.watts(self._limits.watts)),
            loaded=loaded,
            promised=self._pool.promised,
            current=current,
            pinned=pinned,
            health={key: self._breakers.health(origin) for key, origin in origins.items()},
            kept_out=kept_out,
            speeds=known_speeds,
            machines=_machines(models, known_speeds, snapshot),
            not_chat=self._catalog.not_chat,
            unavailable=self._catalog.unavailable,
            remedies=self._catalog.remedies,
            pinned_on=pinned_on,
            history=self._history,
            learned=await self._observing.learned(),
            engines=self._observing.engines,
            read=self._pool.read(conversation) if conversation else {},
            budget=await asyncio.to_thread(self._spending.budget),
            experts=await asyncio.to_thread(self._learning.experts),
            abilities=abilities,
        )

    async def kept_out(self) -> tuple[Rejection, ...]:
        """The models that are not tried after failing: until when, and what gets them back."""
        await self._breakers.remember()
        return tuple(
            rejected(model, RejectionReason.HEALTH, *kept_out_words(model.key, model.backend, found))
            for model in self._catalog.models
            if model.installed
            and (found := self._breakers.of(self._catalog.origin(model.key))) is not None
            and found.open
        )

    async def held(self) -> dict[str, Held]:
        """By key, how predictions stood when models were last measured; see ``Observing``."""
        last = await self._observing.last()
        learned = await self._observing.learned()
        return {
            m.key: Held.of(learned.of(m, one.engine).estimate(one.predicted), one.observed)
            for m in self._catalog.models
            if (one := last.get((m.backend, m.location))) is not None
        }

    async def decide(self, situation: Situation, *, explain: bool = False) -> Decision:
        """The decision; with ``explain`` also the smallest change that would flip it."""
        return await asyncio.to_thread(self._explained if explain else self._decided, situation)

    def carried_out(self, decision: Decision, situation: Situation) -> None:
        """Remember what somebody waited for, so that the next switch has to be worth more: see ``policy.stability``."""
        at = situation.snapshot.taken_at
        if (switch := paid_switch(decision, at)) is not None:
            recent = (s for s in self._history if at - s.at < self._rules.remember_seconds)
            self._history = (*recent, switch)

    async def failed(self, key: str, backend: str, error: MaiError) -> None:
        """Remember that a model failed; of one whose backend is gone, that the backend is."""
        if isinstance(error, BackendUnavailable):
            self._catalog.unreachable(backend, error)
            return
        await self._breakers.failed(self._catalog.origin(key), backend, error)

    def struggled(self, key: str) -> None:
        """Remember, for this session, that a model answered badly: a lighter matter than a failure."""
        self._breakers.struggled(self._catalog.origin(key))

    async def worked(self, key: str) -> None:
        """Forget a model's failures: it answered, or the person asked for it."""
        await self._breakers.worked(self._catalog.origin(key))

    @contextlib.contextmanager
    def admissions(self) -> Iterator[Callable[[str], bool]]:
        """For one turn: says of each model, by key, whether the turn may still try it; see ``Breakers.admissions``.

        A decision is older than what happened since: a backend that has just crashed three models is not given a
        fourth, and of several turns only one makes the trial.
        """
        with self._breakers.admissions() as admits:
            yield lambda key: admits(self._catalog.origin(key))

    def _past(self) -> tuple[Mapping[tuple[str, str], MeasuredSpeed], Abilities]:
        return self._store.speeds(), self._outcomes.abilities()

    def _decided(self, situation: Situation) -> Decision:
        return decide(situation, self._strategies.ballots, arbiter=self._arbiter, rules=self._rules)

    def _explained(self, situation: Situation) -> Decision:
        return replace(self._decided(situation), flip=smallest_flip(situation, self._decided))


def _machines(
    models: Sequence[ModelProfile], speeds: Mapping[str, MeasuredSpeed], snapshot: ResourceSnapshot
) -> dict[str, Machine]:
    """What the processor of each host can do, as models showed that surely ran on no GPU."""
    machines: dict[str, Machine] = {}
    for host in snapshot.hosts:
        has_gpu = any(pool.kind is not PoolKind.RAM for pool in host.pools)
        ran = ((m, speeds[m.key]) for m in models if m.key in speeds and m.host == host.name)
        machines[host.name] = Machine.learned(((m, s) for m, s in ran if not (has_gpu and m.offload)), host.cpu.cores)
    return machines
