"""Pays for replies: reserves what one can cost before a model is asked, and settles what it did cost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo

from mai_core.errors import BudgetExceeded
from mai_core.policy.budget import LEAST_REPLY, Budget, cost_of, granted, most_tokens
from mai_core.policy.messages import GenerationOptions, Message, Usage
from mai_core.policy.models import ModelProfile
from mai_core.runtime.store import Store

__all__ = ["Spending", "Tab"]

log = logging.getLogger("mai.spending")


@dataclass(slots=True)
class Tab:
    """One reply to pay for: the options it may be asked for with, and, once it is known, what it took."""

    options: GenerationOptions
    usage: Usage | None = None


class Spending:
    """The account of a person. Days begin at midnight in ``zone``, None for this machine's."""

    def __init__(
        self,
        store: Store,
        *,
        per_day: float | None,
        per_month: float | None,
        now: Callable[[], float] = time.time,
        zone: tzinfo | None = None,
    ) -> None:
        self._store = store
        self._limits = Budget.of(per_day, per_month)
        self._now = now
        self._zone = zone

    def budget(self) -> Budget:
        """What may be spent and what was. Blocks."""
        return self._store.spent(self._day(), self._limits)

    @asynccontextmanager
    async def paying(
        self, model: ModelProfile, messages: Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[Tab, None]:
        """A reply of ``model`` within the budget. Nothing is counted where its tokens have no price.

        Raises ``BudgetExceeded`` where what is left does not pay for a reply. One that ends without its usage known
        stays counted as dear as it can have been.
        """
        tab = Tab(options)
        if not model.is_priced:
            yield tab
            return
        prompt = most_tokens(messages, options)
        reserved = await asyncio.to_thread(
            self._store.reserve,
            self._day(),
            self._limits,
            lambda budget: granted(budget, model, prompt, options.max_tokens),
            key=model.key,
            backend=model.backend,
        )
        if isinstance(reserved, Budget):
            why, remedy = reserved.refusal(cost_of(model, prompt, min(options.max_tokens or LEAST_REPLY, LEAST_REPLY)))
            raise BudgetExceeded(f"{model.key}: {why}", remedy=remedy)
        number, grant = reserved
        tab.options = replace(options, max_tokens=grant.max_tokens)
        try:
            yield tab
        finally:
            if tab.usage is not None and tab.usage.prompt_tokens and tab.usage.completion_tokens:
                spent = cost_of(model, tab.usage.prompt_tokens, tab.usage.completion_tokens)
                if spent > grant.amount:
                    log.warning("a reply cost more than it could", extra={"model": model.key, "backend": model.backend})
                await asyncio.shield(asyncio.to_thread(self._store.settle, number, spent))

    def _day(self) -> str:
        return datetime.fromtimestamp(self._now(), self._zone).date().isoformat()
