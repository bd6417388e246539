"""What a person sees of one turn, as it happens."""

from __future__ import annotations

from dataclasses import dataclass

from mai_core.errors import MaiError
from mai_core.plugin.interfaces import FetchProgress
from mai_core.policy.context import Receipt
from mai_core.policy.messages import Message, ReasoningDelta, TextDelta, ToolCall, Usage
from mai_core.policy.selection import Decision

__all__ = [
    "Explanation",
    "FellBack",
    "Fetching",
    "Loading",
    "ModelChosen",
    "Reply",
    "Retracted",
    "TurnEnd",
    "TurnEvent",
]


@dataclass(frozen=True, slots=True)
class Fetching:
    """The first model is being fetched, because there is none yet."""

    key: str
    progress: FetchProgress


@dataclass(frozen=True, slots=True)
class ModelChosen:
    """The decision for this turn is made; its ``choice`` is tried first."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class Loading:
    """A model is being loaded; ``share`` runs from 0 to 1."""

    key: str
    share: float


@dataclass(frozen=True, slots=True)
class FellBack:
    """A model failed. The ``next`` one takes over; text already shown stays and is continued."""

    key: str
    error: MaiError
    next: str | None


@dataclass(frozen=True, slots=True)
class Retracted:
    """The last ``characters`` of the text shown are no part of the answer: they said the same again and again."""

    characters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A stored answer and how it came about. The seconds count from the person's message."""

    message: Message
    conversation: str
    usage: Usage
    decision: Decision
    receipt: Receipt
    first_token_seconds: float
    seconds: float

    @property
    def text(self) -> str:
        """What the model wrote."""
        return self.message.content


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """The last event of a turn."""

    reply: Reply


TurnEvent = Fetching | ModelChosen | Loading | TextDelta | ReasoningDelta | ToolCall | FellBack | Retracted | TurnEnd


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a model was chosen, or with ``dry_run`` would be.

    ``made`` is when, in seconds since the epoch; ``receipt`` says what the model was not shown. ``authors`` are the
    models that wrote the reply in the end, in order; none while there is no reply.
    """

    decision: Decision
    receipt: Receipt | None = None
    made: float | None = None
    dry_run: bool = False
    authors: tuple[str, ...] = ()
