"""What became of every message, in plain words."""

from __future__ import annotations

from mai_core.policy.context import Receipt
from mai_strategies.transfers.cut import left_out
from mai_strategies.transfers.notes import Notes
from mai_strategies.transfers.prompt import Conversation, Prompt

__all__ = ["receipt"]


def receipt(
    conversation: Conversation,
    prompt: Prompt,
    *,
    notes: Notes | None = None,
    recalled: str = "",
    remark: str = "",
) -> Receipt:
    """The receipt of a prompt; its ``notes`` may stand for the messages that were not sent.

    ``recalled`` is what was brought back of those for the present question.
    """
    total = len(conversation.request.messages)
    absent = total - prompt.whole - len(prompt.cut)
    is_summarised = notes is not None and notes.is_summary
    if not absent and not prompt.cut:
        note = "everything was sent"
    else:
        parts = [f"{prompt.whole} of {total} messages were sent whole"]
        if absent and notes is not None and is_summarised:
            by_model = " that a model wrote in part" if notes.digest else ""
            size = conversation.request.count(notes.text)
            parts.append(f"{absent} earlier ones as a summary of {size:,} tokens{by_model}")
        elif absent:
            parts.append(f"the {absent} oldest were left out" if absent > 1 else "the oldest was left out")
        if recalled:
            quoted = recalled.count("\n- ")
            parts.append(f"{quoted} of them quoted for this question" if quoted > 1 else "one quoted for this question")
        if prompt.cut:
            parts.append(_cut(conversation, prompt))
        note = ", ".join(parts)
    return Receipt(
        kept=prompt.whole,
        summarised=len(prompt.cut) + (absent if is_summarised else 0),
        dropped=0 if is_summarised else absent,
        tokens=prompt.tokens,
        tokens_saved=max(0, conversation.total - prompt.tokens),
        note=f"{note}; {remark}" if remark else note,
    )


def _cut(conversation: Conversation, prompt: Prompt) -> str:
    """How much of which messages was left out in their middle."""
    messages, sizes = conversation.request.messages, conversation.request.tokens
    total = sum(sizes[i] for i in prompt.cut)
    missing = sum(left_out(messages[i].content, sizes[i], shown) for i, shown in prompt.cut.items())
    is_last = set(prompt.cut) == {len(messages) - 1}
    what = "the last message is larger than the window and was" if is_last else "what is too long was"
    return f"{what} cut in the middle: {missing:,} of {total:,} tokens were left out"
