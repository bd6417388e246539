"""Looks at the machines while a session lasts, and has done what their changes call for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mai_core.errors import MaiError
from mai_core.policy.features import TaskFeatures
from mai_core.policy.resources import ResourceSnapshot
from mai_core.policy.triggers import Event, Trigger, Watched, WatchRules, look
from mai_core.runtime.decider import Decider
from mai_core.runtime.pool import Pool

__all__ = ["Watching", "give_way"]

log = logging.getLogger("mai.watching")


class Watching:
    """One look every ``interval`` seconds; whatever takes longer than that is waited for before the next.

    latest     the newest snapshot, without waiting
    relieve    frees what is idle on a host, except for the model in use: trouble began
    give_way   frees that too, on a host whose trouble lasts, when it would not be chosen as it is; says whether it did
    prepare    gets ready what the next turn would want by now, as far as the settings allow: memory came back and
               stayed, the machine is plugged in, the processor is free again, or a model has just given way
    """

    def __init__(
        self,
        *,
        latest: Callable[[], ResourceSnapshot],
        interval: float,
        rules: WatchRules,
        relieve: Callable[[str], Awaitable[object]],
        give_way: Callable[[str], Awaitable[bool]],
        prepare: Callable[[], Awaitable[object]],
    ) -> None:
        self._latest = latest
        self._interval = interval
        self._rules = rules
        self._relieve = relieve
        self._give_way = give_way
        self._prepare = prepare
        self._watched: Watched = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look. Only the first call does anything."""
        if self._task is None:
            self._task = asyncio.create_task(self._look_for_ever())

    async def close(self) -> None:
        """Look no more; what was begun is called off."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def look(self) -> None:
        """Look once, and do what that calls for."""
        self._watched, events = look(self._watched, self._latest(), self._rules)
        for event in events:
            log.info("the machine changed", extra={"event": event.trigger.value, "host": event.host})
            try:
                await self._answer(event)
            except MaiError as error:
                log.warning("nothing came of it", extra={"event": event.trigger.value, "reason": str(error)})

    async def _answer(self, event: Event) -> None:
        match event.trigger:
            case Trigger.TROUBLE_BEGAN:
                await self._relieve(event.host)
            case Trigger.TROUBLE_LASTS:
                if await self._give_way(event.host):
                    await self._prepare()
            case Trigger.CALM | Trigger.ROOMIER | Trigger.PLUGGED | Trigger.FREE:
                await self._prepare()

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self.look()


async def give_way(host: str, *, decider: Decider, pool: Pool, current: str | None, pinned: str | None) -> bool:
    """Free every idle model on a host in trouble, when the one in use would not answer the next turn as it is loaded.

    It would not when another would be chosen now, or itself with less context. What is leased stays. Returns whether
    anything was freed.
    """
    situation = await decider.situation(TaskFeatures(), current=current, pinned=pinned)
    decision = await decider.decide(situation)
    chosen = decision.candidate(decision.choice)
    if chosen is not None and (chosen.is_loaded or chosen.is_remote) and chosen.key == current:
        return False
    return await pool.relieve(host, spare=chosen.key if chosen is not None and chosen.is_loaded else None) > 0
