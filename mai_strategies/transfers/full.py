"""Everything, if it fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mai_core.policy.context import TransferPlan, TransferRequest
from mai_strategies.transfers.prompt import Conversation
from mai_strategies.transfers.receipt import receipt
from mai_strategies.transfers.recent import newest

__all__ = ["Full"]


@dataclass(frozen=True)
class Full:
    """Send the whole conversation; when it is larger than the window, leave out the oldest messages and say so."""

    name: ClassVar[str] = "full"

    def plan(self, request: TransferRequest) -> TransferPlan:
        """Raises ``ValueError`` when pinned messages leave no room for the last one."""
        conversation = Conversation(request)
        prompt = conversation.everything()
        if prompt.tokens <= request.budget.usable:
            return TransferPlan(messages=prompt.messages, tokens=prompt.tokens, receipt=receipt(conversation, prompt))
        prompt = newest(conversation)
        remark = f"the conversation takes {conversation.total:,} of {request.budget.usable:,} tokens"
        return TransferPlan(
            messages=prompt.messages, tokens=prompt.tokens, receipt=receipt(conversation, prompt, remark=remark)
        )
