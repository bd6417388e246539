"""Gets the next model ready while the person reads or types: loaded, and the conversation read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
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
    messages: tuple[Message, ...]
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
        rules: StabilityRules,
        options: GenerationOptions,
        on_battery: bool = False,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._backends = backends
        self._pool = pool
        self._prompter = prompter
        self._rules = rules
        self._options = replace(options, max_tokens=1)
        self._on_battery = on_battery
        self._on_change = on_change
        self._task: asyncio.Task[None] | None = None
        self._current: _Preparation | None = None
        self._read: tuple[str, str, int] | None = None

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
        candidate = wanted.candidate if wanted else decision.candidate(decision.choice)
        model = next((m for m in situation.models if candidate and m.key == candidate.key), None)
        if candidate is None or model is None or candidate.is_remote:
            return None
        if self._current is not None and self._current.model.key == model.key:
            return self._task
        last = next((m.model for m in reversed(messages) if m.model), None)
        if wanted is None and (last == model.key or self._read == (model.key, conversation, len(messages))):
            return None
        self._call_off()
        evict = wanted is not None and wanted.evict
        preparation = _Preparation(model, candidate.plan, evict, conversation, tuple(messages))
        self._current = preparation
        self._task = asyncio.create_task(self._prepare(preparation))
        self._task.add_done_callback(lambda _: self._ended(preparation))
        self._on_change()
        return self._task

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

    def _call_off(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _ended(self, preparation: _Preparation) -> None:
        if self._current is preparation:
            self._current = self._task = None
        self._on_change()

    async def _prepare(self, preparation: _Preparation) -> None:
        model, plan = preparation.model, preparation.plan
        try:
            if not await self._pool.preload(model, plan, evict=preparation.evict):
                return
            preparation.loading = False
            if preparation.needed and preparation.messages:
                await self._read_ahead(preparation)
        except MaiError as error:
            log.info("nothing was prepared", extra={"model": model.key, "reason": str(error)})
        except Exception as error:  # noqa: BLE001 - a third party's backend; it is named, and only a head start is lost
            told = {"model": model.key, "backend": model.backend, "error": f"{type(error).__name__}: {error}"}
            log.warning("nothing was prepared", extra=told)

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
        self._read = (model.key, conversation, len(preparation.messages))
        log.info("conversation read ahead", extra={"model": model.key, "tokens": prompt.tokens})
