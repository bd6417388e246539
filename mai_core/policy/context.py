"""What the chosen model gets to see of the conversation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mai_core.policy.messages import Message

__all__ = [
    "ContextBudget",
    "ContextState",
    "Receipt",
    "Search",
    "SummaryWanted",
    "TransferPlan",
    "TransferRequest",
    "calls_text",
]

Search = Callable[[str, int], Sequence[tuple[int, float]]]
"""Ids of at most so many messages of this conversation that have to do with a text, the best first, with scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextBudget:
    """Tokens of the window actually loaded.

    window      tokens the model was loaded with
    reserve     tokens kept free for the reply
    overhead    tokens the chat template adds to a prompt, and ``per_message`` to every message in it
    trigger     share of the usable window at which a conversation is compressed
    target      share it is compressed to, in one step, well below the trigger
    """

    window: int
    reserve: int = 512
    overhead: int = 16
    per_message: int = 8
    trigger: float = 0.70
    target: float = 0.45

    @property
    def usable(self) -> int:
        """Tokens the messages of a prompt may take."""
        return max(0, self.window - self.reserve - self.overhead)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextState:
    """What the last compression left, so that prompts stay append-only until the next one.

    ``covered`` is the id of the newest message the compression looked at: later ones are sent whole. ``kept`` are
    the ids of earlier messages sent whole; ``summary`` stands for the rest. ``cut`` names those of ``kept`` that were
    too long to be sent whole, by id, and the number of their characters that are.

    ``recalled`` holds what later prompts brought back of what was left out: the id of the message it was sent with, and
    the text before it. ``digest`` is what a model wrote of everything up to the message ``digested``; no prompt shows
    it before the next compression.
    """

    covered: int = 0
    kept: tuple[int, ...] = ()
    summary: str = ""
    cut: tuple[tuple[int, int], ...] = ()
    recalled: tuple[tuple[int, str], ...] = ()
    digest: str = ""
    digested: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRequest:
    """A conversation and the room there is for it.

    ``tokens[i]`` is the size of ``messages[i]``'s content and ``calls_text`` by the loaded model's own tokenizer,
    without what the template adds. ``count`` gives an upper bound for text a transfer writes itself, such
    as a summary. ``state`` is what the last plan for this conversation returned. The last message is the one to be
    answered.

    ``search`` looks through an index of the whole conversation; without one, or where it finds nothing, a transfer
    reads the messages. ``switched`` is the kind of task another model than that of the last reply takes over for, such
    as ``code``; empty when the model is the same.
    """

    messages: tuple[Message, ...]
    tokens: tuple[int, ...]
    budget: ContextBudget
    count: Callable[[str], int]
    state: ContextState | None = None
    search: Search | None = None
    switched: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryWanted:
    """A summary the loaded model may write when it has nothing else to do, for the next compression.

    ``messages`` is the prompt just sent: with its reply and then ``instruction`` at the end of it, the engine finds all
    but the end in its cache, and the next turn finds it there again. ``tokens`` is the most the summary may take,
    ``covers`` the id of the newest message in the prompt.
    """

    messages: tuple[Message, ...]
    instruction: str
    tokens: int
    covers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What was left out of a prompt, in messages and tokens: visible through ``mai why``."""

    kept: int = 0
    summarised: int = 0
    dropped: int = 0
    tokens: int = 0
    tokens_saved: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferPlan:
    """The messages to send, in order, their size in tokens, and what became of the others.

    ``tokens`` counts content and ``per_message`` of every message, and never exceeds ``budget.usable``. ``state``
    is handed back with the next request. ``wanted`` is a summary that would make the next compression better.
    """

    messages: tuple[Message, ...]
    tokens: int
    receipt: Receipt
    state: ContextState | None = None
    wanted: SummaryWanted | None = None


def calls_text(message: Message) -> str:
    """What the calls of a message take in a prompt beside its content, empty for almost all."""
    return "".join(f"\n{call.name} {call.arguments}" for call in message.tool_calls)
