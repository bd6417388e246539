"""Fits a conversation to the window actually loaded, counted by that model's own tokenizer. Runs every turn."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

from mai_core.errors import ContextExceeded, PluginError, StoreError
from mai_core.plugin.interfaces import Backend, ContextTransfer
from mai_core.policy.context import ContextBudget, SummaryWanted, TransferPlan, TransferRequest, calls_text
from mai_core.policy.features import classify
from mai_core.policy.images import in_words
from mai_core.policy.messages import Message, Role
from mai_core.policy.models import LoadedModel
from mai_core.runtime.store import Store
from mai_core.settings.model import ContextSettings

__all__ = ["Prompter"]

log = logging.getLogger("mai.context")

REMEMBERED_COUNTS = 20_000
REMEMBERED_WISHES = 64


class Prompter:
    """Turns a conversation into the messages a loaded model gets to see. ``sees`` tells which models see images."""

    def __init__(
        self,
        transfer: ContextTransfer,
        settings: ContextSettings,
        store: Store,
        *,
        sees: Callable[[str], bool] = lambda key: False,
    ) -> None:
        self._transfer = transfer
        self._settings = settings
        self._store = store
        self._sees = sees
        self._counts: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._wanted: OrderedDict[str, tuple[str, SummaryWanted]] = OrderedDict()

    def wanted(self, conversation: str, key: str) -> SummaryWanted | None:
        """The summary the last prompt of this conversation asked for, if the model ``key`` read that prompt; once."""
        reader, wanted = self._wanted.pop(conversation, ("", None))
        return wanted if reader == key else None

    async def prompt(
        self,
        conversation: str,
        messages: Sequence[Message],
        instance: LoadedModel,
        backend: Backend,
        *,
        shown: str = "",
        shrink: float = 1.0,
        keep: bool = True,
    ) -> TransferPlan:
        """What to send. ``shown`` is the beginning of an answer the model has to go on with.

        ``shrink`` below 1 makes the window smaller than it is, after the engine found a prompt too long. A look ahead
        does not ``keep`` what a compression left. Raises ``ContextExceeded`` when the window cannot hold even the last
        message.
        """
        system = Message(role=Role.SYSTEM, content=self._settings.system_prompt, pinned=True)
        worded = in_words((system, *messages) if system.content else messages)
        whole = worded.messages + self._prefill(shown)
        tokens = await self._count(backend, instance, [m.content + calls_text(m) for m in whole])
        ahead = len(whole) - 1 if shown else len(whole)
        window = int(instance.plan.context * shrink)
        reserve = min(self._settings.reserve, window // 4)
        budget = ContextBudget(
            window=window - sum(tokens[ahead:]),
            reserve=reserve,
            trigger=self._settings.trigger,
            target=self._settings.target,
        )
        images = worded.shown_to(instance.key, tokens[:ahead], budget, sees=self._sees(instance.key))
        state = await asyncio.to_thread(self._store.context_state, conversation)
        request = TransferRequest(
            messages=whole[:ahead],
            tokens=tuple(tokens[:ahead]),
            budget=replace(budget, window=budget.window - images.tokens),
            count=_bound(whole, tokens),
            state=state,
            search=lambda text, limit: self._search(conversation, text, limit),
            switched=_switched(messages, instance.key),
        )
        # In a thread: it may search the store, and to compress takes a moment.
        plan = images.put_back(await asyncio.to_thread(self._planned, request, instance))
        if keep:
            self._remember(conversation, instance.key, plan.wanted)
            if plan.state != state:
                await asyncio.to_thread(self._store.save_context_state, conversation, plan.state)
        return replace(plan, messages=plan.messages + whole[ahead:])

    def _search(self, conversation: str, text: str, limit: int) -> Sequence[tuple[int, float]]:
        """Finds nothing when the index cannot be read: the turn goes on without it."""
        try:
            return self._store.relevant(conversation, text, limit)
        except StoreError as error:
            log.warning("the index cannot be searched", extra={"conversation": conversation, "reason": str(error)})
            return ()

    def _remember(self, conversation: str, key: str, wanted: SummaryWanted | None) -> None:
        self._wanted.pop(conversation, None)
        if wanted is not None:
            self._wanted[conversation] = (key, wanted)
        while len(self._wanted) > REMEMBERED_WISHES:
            self._wanted.popitem(last=False)

    def _planned(self, request: TransferRequest, instance: LoadedModel) -> TransferPlan:
        try:
            return self._transfer.plan(request)
        except ValueError as error:
            raise ContextExceeded(
                f"the message does not fit the {instance.plan.context} tokens {instance.key} is loaded with ({error})",
                remedy="shorten it, or set context.window higher",
            ) from error
        except Exception as error:
            raise PluginError(
                f"the context transfer {self._transfer.name} failed: {type(error).__name__}: {error}",
                remedy="mai config set context.transfer recent",
            ) from error

    async def _count(self, backend: Backend, instance: LoadedModel, texts: Sequence[str]) -> list[int]:
        """Token counts; a text is sent to the tokenizer once for each model."""
        # Kept apart from the memory, which another turn may shorten while this one waits for the tokenizer.
        counts = {t: n for t in texts if (n := self._counts.get((instance.key, t))) is not None}
        missing = list(dict.fromkeys(t for t in texts if t not in counts))
        if missing:
            counts.update(zip(missing, await backend.count_tokens(instance.instance, missing), strict=True))
            self._counts.update(((instance.key, t), counts[t]) for t in missing)
        while len(self._counts) > REMEMBERED_COUNTS:
            self._counts.popitem(last=False)
        return [counts[t] for t in texts]

    @staticmethod
    def _prefill(shown: str) -> tuple[Message, ...]:
        return (Message(role=Role.ASSISTANT, content=shown),) if shown else ()


def _switched(messages: Sequence[Message], key: str) -> str:
    """The kind of task another model than that of the last reply is to do; empty when it is the same model."""
    previous = next((m.model for m in reversed(messages) if m.role is Role.ASSISTANT and m.model), key)
    if previous == key:
        return ""
    asked = next((m.content for m in reversed(messages) if m.role is Role.USER), "")
    return classify(asked).kind.value


def _bound(messages: Sequence[Message], tokens: Sequence[int]) -> Callable[[str], int]:
    """A cautious count for text nobody has tokenized: the conversation's own tokens a byte, and a quarter more."""
    size = sum(len(m.content.encode("utf-8", "surrogatepass")) for m in messages)
    rate = max(0.25, 1.25 * sum(tokens) / size) if size else 0.5
    return lambda text: math.ceil(len(text.encode("utf-8", "surrogatepass")) * rate) + 2
