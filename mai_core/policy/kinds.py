"""The kinds of task that models differ in."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["FIELDS", "TaskKind"]


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


# The fields of knowledge and reasoning (the subjects of MMLU-Pro), and the kind of task a question of each is: the
# exact sciences are calculated and reasoned, the others known.
FIELDS = {
    "math": TaskKind.MATH,
    "chemistry": TaskKind.REASONING,
    "engineering": TaskKind.REASONING,
    "physics": TaskKind.REASONING,
    "biology": TaskKind.KNOWLEDGE,
    "business": TaskKind.KNOWLEDGE,
    "computer science": TaskKind.KNOWLEDGE,
    "economics": TaskKind.KNOWLEDGE,
    "health": TaskKind.KNOWLEDGE,
    "history": TaskKind.KNOWLEDGE,
    "law": TaskKind.KNOWLEDGE,
    "other": TaskKind.KNOWLEDGE,
    "philosophy": TaskKind.KNOWLEDGE,
    "psychology": TaskKind.KNOWLEDGE,
}
