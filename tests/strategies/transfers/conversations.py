"""Conversations to plan with, told as texts."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from mai_core.policy.context import ContextBudget, ContextState, TransferRequest
from mai_core.policy.messages import Message, Role

SYSTEM = "You are Mai."
NOUNS = (
    "garden kettle window engine letter candle market ladder pencil blanket river saddle basket bridge hammer orchard "
    "violin teapot chimney meadow mirror anchor barrel cushion fountain harvest island jacket kitchen lantern"
)
VERBS = "holds turns keeps finds moves paints lifts follows carries washes mends covers warms hides opens leaves"
WAYS = "slowly again today silently usually rather early late once more outside upstairs twice gladly"


def count(text: str) -> int:
    """Four characters a token."""
    return -(-len(text) // 4)


def talk(*texts: str, system: str = SYSTEM) -> tuple[Message, ...]:
    """A system message, if any, then the person and the assistant in turn."""
    head = [Message(role=Role.SYSTEM, content=system, pinned=True)] if system else []
    roles = (Role.USER, Role.ASSISTANT)
    return (*head, *(Message(role=roles[k % 2], content=text, id=k + 1) for k, text in enumerate(texts)))


def request(
    messages: Sequence[Message],
    usable: int,
    state: ContextState | None = None,
    counting: Callable[[str], int] = count,
) -> TransferRequest:
    """A request with so many usable tokens."""
    return TransferRequest(
        messages=tuple(messages),
        tokens=tuple(count(m.content) for m in messages),
        budget=ContextBudget(window=usable + 512 + 16),
        count=counting,
        state=state,
    )


def chatter(turns: int, seed: int = 1) -> list[str]:
    """Texts of so many exchanges about nothing in particular."""
    draw = random.Random(seed)

    def sentence() -> str:
        words = (draw.choice(text.split()) for text in (NOUNS, VERBS, NOUNS, WAYS, NOUNS))
        return "The {} {} some {} {}, like any {}.".format(*words)

    return [" ".join(sentence() for _ in range(draw.randint(1, 4))) for _ in range(2 * turns)]
