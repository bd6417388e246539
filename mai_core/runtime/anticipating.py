"""Uses the time in which the person reads or types: gets the next model ready, else condenses what is old."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from mai_core.errors import MaiError
from mai_core.plugin.interfaces import Backend
from mai_core.policy.anticipation import to_prepare
from mai_core.policy.feasibility import Situation
from mai_core.policy.messages import GenerationOptions, Message, Role
from mai_core.policy.models import LoadPlan, ModelProfile
from mai_core.policy.selection import Decision
from mai_core.policy.stability import StabilityRules
from mai_core.runtime.pool import Pool
from mai_core.runtime.prompting import Prompter
from mai_core.runtime.store import Store
from mai_core.runtime.summaries import improve

__all__ = ["Anticipating"]

log = logging.getLogger("mai.anticipating")

NOT_SAID_YET = Message(role=Role.USER, content="…")


@dataclass(slots=True)
class _Preparation:
    """A model on its way to being ready. ``needed`` falls to False when the turn it was for has begun."""

    model: ModelProfile
    plan: LoadPlan
    evict: bool
    conversation: str
    messages: tuple[Message, ...] = ()
    needed: bool = True
    loading: bool = True


class Anticipating:
    """Prepares one model at a time. ``on_change`` hears when a preparation begins and when it has ended."""

    def __init__(
        self,
        *,
        backends: Mapping[str, Backend],
        pool: Pool,
        prompter: Prompter,
        store: Store,
        rules: StabilityRules,
        options: GenerationOptions,
        on_battery: bool = False,
        on_change: Callable[[], object] = lambda: None,
    ) -> None:
        self._backends = backends
        self._pool = pool
        self._prompter = prompter
        self._store = store
        self._rules = rules
        self._options = replace(options, max_tokens=1)
        self._on_battery = on_battery
        self._on_change = on_change
        self._task: asyncio.Task[None] | None = None
        self._current: _Preparation | None = None
        self._done: tuple[str, str, int] | None = None

    @property
    def model(self) -> str | None:
        """What is being prepared now."""
        return self._current.model.key if self._current else None

    def begin(
        self, situation: Situation, decision: Decision, conversation: str, messages: Sequence[Message]
    ) -> asyncio.Task[None] | None:
        """Prepare what a turn of ``decision`` would want, in place of what was being prepared for another.

        ``messages`` are those of the conversation so far. None when nothing is to be done.
        """
        if not self._on_battery and any(h.battery and not h.battery.plugged for h in situation.snapshot.hosts):
            return None
        wanted = to_prepare(decision, situation.snapshot.calm_seconds, self._rules)
        if wanted is not None and self._done == (wanted.candidate.key, conversation, len(messages)):
            wanted = None
        candidate = wanted.candidate if wanted else decision.candidate(decision.choice)
        model = next((m for m in situation.models if candidate and m.key == candidate.key), None)
        if candidate is None or model is None or candidate.is_remote or model.is_priced:
            return None
        if self._current is not None and self._current.model.key == model.key:
            return self._task
        last = next((m.model for m in reversed(messages) if m.model), None)
        if wanted is None and last == model.key:
            return self._begin_summary(model, candidate.plan, conversation)
        if self._done == (model.key, conversation, len(messages)):
            return None
        evict = wanted is not None and wanted.evict
        preparation = _Preparation(model, candidate.plan, evict, conversation, tuple(messages))
        return self._start(preparation, lambda: self._prepare(preparation))

    async def settle(self, choice: str | None) -> None:
        """A turn begins: call off what is prepared for another model, and leave a load of this one to the turn."""
        current, task = self._current, self._task
        if current is None or task is None:
            return
        current.needed = False
        if not (current.loading and current.model.key == choice):
            task.cancel()
            await asyncio.wait([task])

    async def close(self) -> None:
        """Call off what is being prepared."""
        await self.settle(None)

    def _begin_summary(self, model: ModelProfile, plan: LoadPlan, conversation: str) -> asyncio.Task[None] | None:
        """Let the model that answered last summarise what its next prompts will leave out, if that was asked for."""
        if self._current is not None or (wanted := self._prompter.wanted(conversation, model.key)) is None:
            return None

        async def summarise() -> None:
            async with self._pool.acquire(model, plan, conversation=conversation) as instance:
                await improve(conversation, wanted, instance, self._backends[model.backend], self._store)

        return self._start(_Preparation(model, plan, evict=False, conversation=conversation, loading=False), summarise)

    def _start(self, preparation: _Preparation, work: Callable[[], Coroutine[None, None, None]]) -> asyncio.Task[None]:
        """Begin this in place of what is going on."""
        if self._task is not None:
            self._task.cancel()
        self._current = preparation
        self._task = asyncio.create_task(self._guarded(preparation.model, work))
        self._task.add_done_callback(lambda _: self._ended(preparation))
        self._on_change()
        return self._task

    def _ended(self, preparation: _Preparation) -> None:
        if self._current is preparation:
            self._current = self._task = None
        self._on_change()

    async def _guarded(self, model: ModelProfile, work: Callable[[], Coroutine[None, None, None]]) -> None:
        try:
            await work()
        except MaiError as error:
            log.info("nothing was prepared", extra={"model": model.key, "reason": str(error)})
        except Exception as error:  # noqa: BLE001 - a third party's backend; it is named, and only a head start is lost
            told = {"model": model.key, "backend": model.backend, "error": f"{type(error).__name__}: {error}"}
            log.warning("nothing was prepared", extra=told)

    async def _prepare(self, preparation: _Preparation) -> None:
        there = await self._pool.preload(preparation.model, preparation.plan, evict=preparation.evict)
        preparation.loading = False
        if there and preparation.needed and preparation.messages:
            await self._read_ahead(preparation)
        self._done = (preparation.model.key, preparation.conversation, len(preparation.messages))

    async def _read_ahead(self, preparation: _Preparation) -> None:
        """Let the model read the conversation, which its engine then need not read when the person asks."""
        model, conversation = preparation.model, preparation.conversation
        backend = self._backends[model.backend]
        async with self._pool.acquire(model, preparation.plan, conversation=conversation) as instance:
            coming = (*preparation.messages, NOT_SAID_YET)
            prompt = await self._prompter.prompt(conversation, coming, instance, backend, keep=False)
            async with aclosing(backend.generate(instance.instance, prompt.messages, self._options)) as stream:
                async for _ in stream:
                    pass
            self._pool.has_read(model.key, conversation, prompt.tokens)
        log.info("conversation read ahead", extra={"model": model.key, "tokens": prompt.tokens})
