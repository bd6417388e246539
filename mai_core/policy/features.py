"""What a turn asks for, told from its text alone: no model needs to be loaded to judge a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mai_core.policy.models import Capability

__all__ = ["TaskFeatures", "TaskKind"]


class TaskKind(StrEnum):
    """Kinds of task whose quality differs between models."""

    CHAT = "chat"
    CODE = "code"
    MATH = "math"
    REASONING = "reasoning"
    KNOWLEDGE = "knowledge"
    EXTRACTION = "extraction"
    SUMMARY = "summary"
    TRANSLATION = "translation"
    WRITING = "writing"
    TOOL_USE = "tool-use"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFeatures:
    """What this turn asks for.

    difficulty       0 for a greeting, 1 for what only the best models manage
    prompt_tokens    estimated size of everything the model has to read
    new_tokens       the part of it that no loaded model has read yet
    reply_tokens     expected length of the answer
    """

    kind: TaskKind = TaskKind.CHAT
    difficulty: float = 0.3
    capabilities: frozenset[Capability] = frozenset()
    prompt_tokens: int = 0
    new_tokens: int = 0
    reply_tokens: int = 256
