"""What became of every message, in plain words."""

from __future__ import annotations

from mai_core.policy.context import Receipt
from mai_strategies.transfers.prompt import Conversation, Prompt

__all__ = ["receipt"]

CUT = "the last message is larger than the window and was cut in the middle"


def receipt(conversation: Conversation, prompt: Prompt, *, summary_tokens: int = 0, remark: str = "") -> Receipt:
    """The receipt of a prompt; ``summary_tokens`` of it stand for the messages that were not sent."""
    total = len(conversation.request.messages)
    absent = total - prompt.whole - len(prompt.cut)
    if not absent and not prompt.cut:
        note = "everything was sent"
    else:
        parts = [f"{prompt.whole} of {total} messages were sent whole"]
        if absent and summary_tokens:
            parts.append(f"{absent} earlier ones as a summary of {summary_tokens:,} tokens")
        elif absent:
            parts.append(f"the {absent} oldest were left out" if absent > 1 else "the oldest was left out")
        if prompt.cut:
            parts.append(CUT)
        note = ", ".join(parts)
    return Receipt(
        kept=prompt.whole,
        summarised=len(prompt.cut) + (absent if summary_tokens else 0),
        dropped=0 if summary_tokens else absent,
        tokens=prompt.tokens,
        tokens_saved=max(0, conversation.total - prompt.tokens),
        note=f"{note}; {remark}" if remark else note,
    )
