"""When a summary by the loaded model is worth having, and what it is asked for.

It is written before it is needed: while everything it speaks of is still in the prompt, and so in the engine's cache.
"""

from __future__ import annotations

from mai_core.policy.context import ContextState, SummaryWanted
from mai_core.policy.messages import Role
from mai_strategies.transfers.prompt import Conversation, Prompt
from mai_strategies.transfers.room import Room
from mai_strategies.transfers.text import clip, sentences

__all__ = ["digest_lines", "summary_wanted"]

UNREAD = 4
"""One part in so many of the usable window must have been said since the last summary."""
SHARE = 5
"""One part in so many of the target is what a summary may take."""
LEAST, MOST = 64, 400
"""Tokens of a summary."""
WORDS_A_TOKEN = 0.7
LONGEST_LINE = 1000

INSTRUCTION = (
    "Summarise our conversation up to here in at most {} words, as notes for yourself: what I told you about myself "
    "and asked you to do, what we found out and decided, and what is still open. Keep names, numbers and dates. "
    "Call me the user. Write plain sentences, nothing else, in the language we speak."
)


def summary_wanted(conversation: Conversation, prompt: Prompt, state: ContextState | None) -> SummaryWanted | None:
    """The summary that would help the next compression; None when it is far off or little is new."""
    request = conversation.request
    messages, room = request.messages, Room.of(request.budget)
    size = min(MOST, room.target // SHARE)
    if size < LEAST or prompt.cut or messages[-1].role is not Role.USER or messages[-1].id < 1:
        return None
    digested = state.digested if state else 0
    unread = conversation.weight(i for i in conversation.turns if messages[i].id > digested)
    if prompt.tokens < room.trigger // 2 or unread < room.usable // UNREAD:
        return None
    instruction = INSTRUCTION.format(int(size * WORDS_A_TOKEN) // 10 * 10)
    return SummaryWanted(messages=prompt.messages, instruction=instruction, tokens=size, covers=messages[-1].id)


def digest_lines(conversation: Conversation, state: ContextState | None, room: int) -> tuple[str, ...]:
    """What a model wrote of this conversation, as far as it fits into ``room`` tokens, a sentence a line."""
    if state is None or not state.digest or state.digested > conversation.request.messages[-1].id:
        return ()
    lines, left = list[str](), room
    for sentence in sentences(state.digest):
        line = clip(sentence, LONGEST_LINE)
        left -= conversation.request.count(f"\n- {line}")
        if left < 0:
            break
        lines.append(line)
    return tuple(lines)
