"""Recent messages whole, requests kept, the rest summarised: the transfer in use by default."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

from mai_core.policy.context import ContextState, TransferPlan, TransferRequest
from mai_strategies.transfers.compression import compress
from mai_strategies.transfers.notes import Notes
from mai_strategies.transfers.prompt import Conversation, Prompt
from mai_strategies.transfers.receipt import receipt
from mai_strategies.transfers.room import Room

__all__ = ["Hybrid"]

CLEARLY_MORE = 1.5
"""How much more of the conversation a new compression must show before a valid prefix is given up for it."""


@dataclass(frozen=True)
class Hybrid:
    """Leave a conversation alone until it reaches the trigger, then compress it well below, in one step.

    Between two compressions every prompt is the last one plus what was said since, byte for byte, so the engine's
    prompt cache holds. ``recent_share`` of what is free at the target goes to whole messages, the rest to notes.
    """

    name: ClassVar[str] = "hybrid"
    recent_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.recent_share <= 1.0:
            raise ValueError(f"recent_share is {self.recent_share}, not between 0 and 1")

    def plan(self, request: TransferRequest) -> TransferPlan:
        """Raises ``ValueError`` when pinned messages leave no room for the last one."""
        conversation, room = Conversation(request), Room.of(request.budget)
        prompt = conversation.everything()
        if prompt.tokens <= room.trigger:
            # With a state this means a larger window: a conversation never shrinks back in the same one. A model
            # loaded anew has nothing cached that keeping the summary would reuse, so the whole is worth reading.
            return _plan(conversation, prompt)
        state = request.state if _has_growing_ids(conversation) else None
        carried_on = _carried_on(conversation, room, state) if state else None
        if carried_on is not None and carried_on.tokens >= room.target / 2:
            return carried_on
        afresh = self._compressed(conversation, room)
        if carried_on is not None and afresh.tokens <= CLEARLY_MORE * carried_on.tokens:
            return carried_on
        return afresh

    def _compressed(self, conversation: Conversation, room: Room) -> TransferPlan:
        request = conversation.request
        old = Notes.parse(request.state.summary) if request.state else Notes()
        done = compress(conversation, room, self.recent_share, old)
        lost = f"{done.lost} of the oldest requests did not fit" if done.lost else ""
        state = ContextState(
            covered=request.messages[-1].id,
            kept=tuple(request.messages[i].id for i in done.sent),
            summary=done.notes,
            cut=tuple((request.messages[i].id, n) for i, n in done.prompt.cut.items()),
        )
        return _plan(conversation, done.prompt, state if _has_growing_ids(conversation) else None, done.notes, lost)


def _carried_on(conversation: Conversation, room: Room, state: ContextState) -> TransferPlan | None:
    """The prompt of the last compression with everything said since, or None when it is time for the next."""
    messages, kept_ids = conversation.request.messages, set(state.kept)
    sent = [i for i in conversation.turns if messages[i].id > state.covered or messages[i].id in kept_ids]
    if not set(conversation.present) <= set(sent):
        return None
    short = dict(state.cut)
    cut = {
        i: characters
        for i in sent
        if messages[i].id <= state.covered and not messages[i].pinned
        if 0 <= (characters := short.get(messages[i].id, -1)) < len(messages[i].content)
    }
    prompt = conversation.compose(sent, state.summary, cut)
    base = prompt.tokens - conversation.weight(i for i in sent if messages[i].id > state.covered)
    if prompt.tokens > room.trigger_above(base):
        return None
    return _plan(conversation, prompt, state, state.summary)


def _has_growing_ids(conversation: Conversation) -> bool:
    """Whether messages can be told apart by id, as a state does."""
    messages = conversation.request.messages
    ids = [messages[i].id for i in conversation.turns]
    return all(a < b for a, b in itertools.pairwise(ids))


def _plan(
    conversation: Conversation, prompt: Prompt, state: ContextState | None = None, notes: str = "", remark: str = ""
) -> TransferPlan:
    size = conversation.request.count(notes) if notes else 0
    return TransferPlan(
        messages=prompt.messages,
        tokens=prompt.tokens,
        receipt=receipt(conversation, prompt, summary_tokens=size, remark=remark),
        state=state,
    )
