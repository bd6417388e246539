"""Stores what came of turns and loads, and tells observers."""

from __future__ import annotations

import asyncio
import logging

from mai_core.plugin.events import ModelSwitched, TurnFinished
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.messages import Message, Role, StopReason
from mai_core.runtime.answering import Answer
from mai_core.runtime.catalog import Catalog
from mai_core.runtime.pool import LoadRecord
from mai_core.runtime.store import Store
from mai_core.runtime.turn import Reply

__all__ = ["Recorder"]

log = logging.getLogger("mai")


class Recorder:
    """Speeds and loads are stored by backend and the key a model has there. All but ``tell`` and ``loaded`` block."""

    def __init__(self, store: Store, catalog: Catalog, registry: PluginRegistry) -> None:
        self._store = store
        self._catalog = catalog
        self._registry = registry

    def keep(self, conversation: str, asked: Message, answer: Answer, replaces: Message | None = None) -> None:
        """Store what there is of an answer that did not come to its end, and of the decision that led to it.

        Another answer is only replaced by a whole one.
        """
        if answer.text and replaces is None:
            if answer.parts:
                answer.model = answer.parts[-1][1]  # the one that was tried last may have written nothing
            self.keep_text(conversation, answer)
        self.keep_decision(conversation, asked, answer)

    def keep_text(self, conversation: str, answer: Answer, replaces: Message | None = None) -> Message:
        """Store an answer, in the place of another if it ``replaces`` one; returns it as stored."""
        message = Message(
            role=Role.ASSISTANT,
            content=answer.text,
            model=answer.model,
            stop=answer.stop,
            tool_calls=answer.tool_calls,
            earlier=answer.earlier,
        )
        if replaces is not None:
            return self._store.supersede(conversation, replaces.id, message)
        return self._store.append(conversation, message)

    def keep_decision(self, conversation: str, asked: Message, answer: Answer) -> None:
        """Store the decision behind an answer, and the receipt of what the model was shown."""
        if answer.decision is not None:
            self._store.save_receipt(self._store.save_decision(conversation, asked.id, answer.decision), answer.receipt)

    def measured(self, reply: Reply) -> None:
        """Store how fast a reply was."""
        backend, key = self._catalog.origin(reply.message.model)
        self._store.record_reply(
            key=key,
            backend=backend,
            usage=reply.usage,
            first_token_seconds=reply.first_token_seconds,
        )

    def loaded(self, record: LoadRecord) -> None:
        """Store what a load took, off the event loop."""
        asyncio.get_running_loop().run_in_executor(None, self._record_load, record)

    def tell(self, previous: str | None, reply: Reply) -> None:
        """Tell observers of a turn, and of a switch when there was one."""
        model, reason = reply.message.model, reply.decision.reason
        if model != previous:
            log.info(
                "model switched", extra={"previous": previous, "current": model, "move": reply.decision.move.value}
            )
            self._registry.model_switched(
                ModelSwitched(previous=previous, current=model, reason=reason, seconds=reply.first_token_seconds)
            )
        self._registry.turn_finished(
            TurnFinished(
                conversation=reply.conversation,
                model=model,
                stop=reply.message.stop or StopReason.STOP,
                usage=reply.usage,
                first_token_seconds=reply.first_token_seconds,
                seconds=reply.seconds,
            )
        )

    def _record_load(self, record: LoadRecord) -> None:
        self._store.record_load(
            key=self._catalog.origin(record.key)[1],
            backend=record.backend,
            context=record.context,
            predicted=record.predicted,
            observed=record.observed,
            seconds=record.seconds,
        )
