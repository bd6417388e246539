"""What was said last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mai_core.policy.context import TransferPlan, TransferRequest
from mai_strategies.transfers.prompt import Conversation, Prompt
from mai_strategies.transfers.receipt import receipt

__all__ = ["Recent", "newest"]


def newest(conversation: Conversation, share: float = 1.0) -> Prompt:
    """Pinned messages and the longest run of whole exchanges up to the last message that fits.

    ``share`` of the usable window is filled. Raises ``ValueError`` when pinned messages leave no room at all.
    """
    usable, present = conversation.request.budget.usable, conversation.present
    sent = conversation.suffix(lambda size, _: size <= usable * share, conversation.head(present))
    prompt = conversation.compose(sent)
    if prompt.tokens > usable:
        _, prompt = conversation.squeeze(lambda head: usable - head)
    return prompt


@dataclass(frozen=True)
class Recent:
    """Send pinned messages and the longest run of recent ones; ``share`` of the usable window is filled."""

    name: ClassVar[str] = "recent"
    share: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise ValueError(f"share is {self.share}, not above 0 and at most 1")

    def plan(self, request: TransferRequest) -> TransferPlan:
        """Raises ``ValueError`` when pinned messages leave no room for the last one."""
        conversation = Conversation(request)
        prompt = conversation.everything()
        if prompt.tokens > request.budget.usable * self.share:
            prompt = newest(conversation, self.share)
        return TransferPlan(messages=prompt.messages, tokens=prompt.tokens, receipt=receipt(conversation, prompt))
