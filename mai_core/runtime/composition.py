"""Puts a running Mai together, part by part, and takes it down again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from mai_core.paths import Paths
from mai_core.plugin.interfaces import Backend
from mai_core.plugin.isolation import StrategyRunner
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.messages import Conversation, GenerationOptions
from mai_core.policy.triggers import WatchRules
from mai_core.runtime.announcing import Announcing
from mai_core.runtime.answering import Answering
from mai_core.runtime.anticipating import Anticipating
from mai_core.runtime.assembly import assemble, limits_of, rules_of
from mai_core.runtime.background import BackgroundTasks
from mai_core.runtime.calibrating import Calibrating
from mai_core.runtime.catalog import Catalog
from mai_core.runtime.decider import Decider
from mai_core.runtime.judging import Judging
from mai_core.runtime.learning import Learning
from mai_core.runtime.lookahead import Lookahead
from mai_core.runtime.manager import ModelManager
from mai_core.runtime.metering import Metering
from mai_core.runtime.monitor import Monitor
from mai_core.runtime.observing import Observing
from mai_core.runtime.outcomes import Outcomes
from mai_core.runtime.pool import Pool
from mai_core.runtime.presence import ProcessState
from mai_core.runtime.prompting import Prompter
from mai_core.runtime.recording import Recorder
from mai_core.runtime.spending import Spending
from mai_core.runtime.store import Store
from mai_core.runtime.turns import Turns
from mai_core.runtime.watching import Watching
from mai_core.settings.model import Settings

__all__ = ["Composition", "compose"]

log = logging.getLogger("mai")


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """The parts of a Mai that are used from outside, or have to be closed."""

    backends: Mapping[str, Backend]
    strategies: StrategyRunner
    monitor: Monitor
    catalog: Catalog
    pool: Pool
    manager: ModelManager
    turns: Turns
    outcomes: Outcomes
    calibrating: Calibrating
    lookahead: Lookahead
    watching: Watching
    announcing: Announcing

    async def close(self) -> None:
        """Close all of it: who uses another before the other. Safe to call twice."""
        await self.watching.close()
        await self.manager.close()
        await self.catalog.close()
        await self.pool.close()
        closed = await asyncio.gather(*(b.close() for b in self.backends.values()), return_exceptions=True)
        for name, outcome in zip(self.backends, closed, strict=True):
            if isinstance(outcome, Exception):
                log.error("backend did not close", extra={"backend": name}, exc_info=outcome)
        self.monitor.close()
        self.strategies.close()
        self.announcing.close()


def compose(
    settings: Settings,
    registry: PluginRegistry,
    paths: Paths,
    store: Store,
    *,
    background: BackgroundTasks,
    in_use: Callable[[], str | None],
    history: Callable[[], Awaitable[Conversation]],
) -> Composition:
    """Everything a Mai is made of; nothing of it is started.

    ``in_use`` names the conversation in use, ``history`` returns it. Raises what ``assemble`` does.
    """
    from mai_core.settings import load_catalogue

    known = load_catalogue(paths)
    parts = assemble(settings, registry, paths, known)
    limits = limits_of(settings)
    rules = rules_of(settings)
    monitor = Monitor(parts.probes, settings.monitor, limits)
    catalog = Catalog(parts.backends, known)
    recorder = Recorder(store, catalog, registry)
    observing = Observing(store, parts.backends, monitor.latest)
    pool = Pool(
        parts.backends,
        snapshot=lambda: asyncio.to_thread(monitor.refresh),
        limits=limits,
        predict=observing.predict,
        own=catalog.own,
        known_as=catalog.known_as,
        on_load=recorder.loaded,
        idle_seconds=settings.memory.idle_seconds,
    )
    prompter = Prompter(parts.transfer, settings.context, store, sees=catalog.sees)
    metering = Metering(store)
    spending = Spending(store, per_day=settings.cost.budget_day, per_month=settings.cost.budget_month)
    learning = Learning(store, arbiter=settings.selection.arbiter, seconds_value=rules.seconds_value)
    outcomes = Outcomes(
        store,
        learning,
        enabled=settings.learning.outcomes,
        half_life=settings.learning.half_life_days * 86_400.0,
        now=time.time,
    )
    decider = Decider(
        catalog=catalog,
        pool=pool,
        monitor=monitor,
        strategies=parts.strategies,
        store=store,
        observing=observing,
        learning=learning,
        spending=spending,
        metering=metering,
        outcomes=outcomes,
        limits=limits,
        rules=rules,
        arbiter=settings.selection.arbiter,
        now=time.time,
    )

    def activity() -> tuple[ProcessState, str | None]:
        return "answering" if turns.running else "loading" if manager.preparing else "idle", manager.current

    announcing = Announcing(paths.state / "processes", activity=activity, conversation=in_use, loaded=pool.loaded)
    manager = ModelManager(
        backends=parts.backends,
        catalog=catalog,
        pool=pool,
        monitor=monitor,
        decider=decider,
        answering=Answering(
            backends=parts.backends,
            pool=pool,
            prompter=prompter,
            decider=decider,
            spending=spending,
            minimum_context=settings.context.minimum,
        ),
        anticipating=Anticipating(
            backends=parts.backends,
            pool=pool,
            prompter=prompter,
            store=store,
            rules=rules,
            options=GenerationOptions(**settings.generation.model_dump()),
            on_battery=settings.preload.on_battery,
            on_change=lambda: background.start(announcing.note()),
        ),
        store=store,
        spending=spending,
        limits=limits,
        fetch_starter=settings.starter.fetch == "auto",
        unavailable=parts.unavailable,
    )
    turns = Turns(
        manager=manager,
        catalog=catalog,
        pool=pool,
        store=store,
        recorder=recorder,
        observing=observing,
        learning=learning,
        metering=metering,
        monitor=monitor,
        outcomes=outcomes,
        judging=Judging(),
        instructions=settings.context.system_prompt,
        note=announcing.note,
    )
    lookahead = Lookahead(
        enabled=settings.preload.enabled, history=history, manager=manager, turns=turns, background=background
    )
    return Composition(
        backends=parts.backends,
        strategies=parts.strategies,
        monitor=monitor,
        catalog=catalog,
        pool=pool,
        manager=manager,
        turns=turns,
        outcomes=outcomes,
        calibrating=Calibrating(
            backends=parts.backends, catalog=catalog, pool=pool, decider=decider, observing=observing, store=store
        ),
        lookahead=lookahead,
        watching=Watching(
            latest=monitor.latest,
            interval=settings.monitor.interval_seconds,
            rules=WatchRules(limits=limits, pressure_full=settings.monitor.pressure_full),
            relieve=lambda host: pool.relieve(host, spare=manager.current),
            give_way=manager.give_way,
            prepare=lookahead.prepare,
        ),
        announcing=announcing,
    )
