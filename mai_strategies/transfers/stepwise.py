"""From trigger to target in one step, then append only: what ``hybrid`` and ``relevance`` have in common.

Between two compressions every prompt is the last one plus what was said since, byte for byte, so the engine's prompt
cache holds. That includes a change of models: the prompt is kept if it fits the new window, so that a model that
comes back finds what it has read before. What the new task needs of the past is brought back before the question.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace

from mai_core.policy.context import ContextState, TransferPlan, TransferRequest
from mai_core.policy.messages import Role
from mai_strategies.transfers.compression import Shares, compress
from mai_strategies.transfers.digest import summary_wanted
from mai_strategies.transfers.notes import Notes
from mai_strategies.transfers.prompt import Conversation, Prompt
from mai_strategies.transfers.recall import recall
from mai_strategies.transfers.receipt import receipt
from mai_strategies.transfers.room import Room

__all__ = ["stepwise"]

CLEARLY_MORE = 1.5
"""How much more of the conversation a new compression must show before a valid prefix is given up for it."""
AT_ONCE = 64
"""One part in so many of the usable window may be brought back before one question."""
AT_LEAST = 160
"""Tokens that may always be brought back; in small windows, a quarter of what there is for all questions."""
AFTER_SWITCH = 8
"""One part in so many of the usable window may be brought back for a model that takes over: it has to read anyway."""
SPENT = 0.9
"""Share of the space above the trigger that was brought back into, from which the next compression comes early."""
WORTH_RECALLING = 24
"""Tokens below which nothing is brought back."""


def stepwise(request: TransferRequest, shares: Shares) -> TransferPlan:
    """Leave the conversation alone until it reaches the trigger, then compress it well below.

    Raises ``ValueError`` when pinned messages leave no room for the last one.
    """
    conversation, room = Conversation(request), Room.of(request.budget)
    prompt = conversation.everything()
    old = request.state if _has_growing_ids(conversation) else None
    if prompt.tokens <= room.trigger:
        # With a state this means a larger window: a conversation never shrinks back in the same one. A model loaded
        # anew has nothing cached that keeping the summary would reuse, so the whole is worth reading.
        state = ContextState(digest=old.digest, digested=old.digested) if old and old.digest else None
        return _plan(conversation, prompt, state, wanting=shares)
    carried_on = _carried_on(conversation, room, old, shares) if old and old.kept else None
    if carried_on is not None and carried_on.tokens >= room.target / 2:
        return carried_on
    afresh = _compressed(conversation, room, shares)
    if carried_on is not None and afresh.tokens <= CLEARLY_MORE * carried_on.tokens:
        return carried_on
    return afresh


def _compressed(conversation: Conversation, room: Room, shares: Shares) -> TransferPlan:
    request = conversation.request
    done = compress(conversation, room, shares, request.state)
    lost = f"{done.lost} of the oldest requests did not fit" if done.lost else ""
    prompt, state = done.prompt, None
    if _has_growing_ids(conversation):
        state = ContextState(
            covered=request.messages[-1].id,
            kept=tuple(request.messages[i].id for i in done.sent),
            summary=done.notes.text,
            cut=tuple((request.messages[i].id, n) for i, n in prompt.cut.items()),
            digest=request.state.digest if request.state else "",
            digested=request.state.digested if request.state else 0,
        )
        if request.switched:
            # Otherwise the notes, made with the question in view, are enough; a new reader is shown more.
            prompt, state = _recalling(conversation, room, done.sent, prompt, state)
        if done.lost:
            # What the person asked for may fit beside the next message, so this prompt is not carried on.
            state = replace(state, kept=(), cut=())
    return _plan(conversation, prompt, state, done.notes, lost, shares)


def _carried_on(conversation: Conversation, room: Room, state: ContextState, shares: Shares) -> TransferPlan | None:
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
    if state.recalled:
        # What was brought back fills the space above the trigger, so it does not hasten the next compression.
        prompt = conversation.compose(sent, state.summary, cut, _before(conversation, sent, state))
        spent = prompt.tokens - base - conversation.weight(i for i in sent if messages[i].id > state.covered)
        is_spent = (
            spent > (room.usable - room.trigger) * SPENT and prompt.tokens - spent > (room.target + room.trigger) / 2
        )
        if prompt.tokens > room.usable or is_spent:
            return None
    if messages[-1].id > state.covered:
        # Else this is another attempt at the turn that was compressed for, and it gets the same prompt.
        prompt, state = _recalling(conversation, room, sent, prompt, state)
    return _plan(conversation, prompt, state, Notes.parse(state.summary), "", shares)


def _recalling(
    conversation: Conversation, room: Room, sent: list[int], prompt: Prompt, state: ContextState
) -> tuple[Prompt, ContextState]:
    """The prompt with what the question wants of the past, when there is something and room for it."""
    last = conversation.request.messages[-1]
    if last.role is not Role.USER or any(id == last.id for id, _ in state.recalled):
        return prompt, state
    count = conversation.request.count
    spent = sum(count(text) for _, text in state.recalled)
    is_new_reader = bool(conversation.request.switched)
    reserve = room.usable - room.trigger
    at_once = max(min(AT_LEAST, reserve // 4), room.usable // (AFTER_SWITCH if is_new_reader else AT_ONCE))
    free = min(at_once, reserve - spent, room.usable - prompt.tokens)
    if free < WORTH_RECALLING:
        return prompt, state
    known = "\n".join((state.summary, *(text for _, text in state.recalled)))
    visible = {*sent, *conversation.pinned}
    text = recall(conversation, visible, known, free, widely=is_new_reader)
    if not text:
        return prompt, state
    following = replace(state, recalled=(*state.recalled, (last.id, text)))
    more = conversation.compose(sent, state.summary, prompt.cut, _before(conversation, sent, following))
    return (more, following) if more.tokens <= room.usable else (prompt, state)


def _before(conversation: Conversation, sent: Iterable[int], state: ContextState) -> dict[int, str]:
    texts, messages = dict(state.recalled), conversation.request.messages
    return {i: texts[messages[i].id] for i in sent if messages[i].role is Role.USER and messages[i].id in texts}


def _has_growing_ids(conversation: Conversation) -> bool:
    """Whether messages can be told apart by id, as a state does."""
    messages = conversation.request.messages
    ids = [messages[i].id for i in conversation.turns]
    return all(a < b for a, b in itertools.pairwise(ids))


def _plan(
    conversation: Conversation,
    prompt: Prompt,
    state: ContextState | None,
    notes: Notes | None = None,
    remark: str = "",
    wanting: Shares | None = None,
) -> TransferPlan:
    recalled = state.recalled[-1][1] if state and state.recalled and _is_new(conversation, state) else ""
    wanted = summary_wanted(conversation, prompt, state) if wanting is not None and wanting.digests else None
    return TransferPlan(
        messages=prompt.messages,
        tokens=prompt.tokens,
        receipt=receipt(conversation, prompt, notes=notes, recalled=recalled, remark=remark),
        state=state,
        wanted=wanted,
    )


def _is_new(conversation: Conversation, state: ContextState) -> bool:
    return state.recalled[-1][0] == conversation.request.messages[-1].id
