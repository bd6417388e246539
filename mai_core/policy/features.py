"""What a turn asks for, told from its text alone: no model needs to be loaded to judge a prompt.

The evidence (mean gain per known kind of task carries nearly all of what routing can win; per-prompt difficulty
little) sets the ambition: name the kind of task well, and grade difficulty coarsely.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from mai_core.policy.images import image_tokens
from mai_core.policy.messages import Message, Role
from mai_core.policy.models import Capability

__all__ = ["TaskFeatures", "TaskKind", "classify", "estimate_tokens", "turn_features"]


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
    new_tokens       the part of it that the model in use has not read yet
    reply_tokens     expected length of the answer
    """

    kind: TaskKind = TaskKind.CHAT
    difficulty: float = 0.3
    capabilities: frozenset[Capability] = frozenset()
    prompt_tokens: int = 0
    new_tokens: int = 0
    reply_tokens: int = 256


def _words(*stems: str) -> re.Pattern[str]:
    """Any of the stems at the beginning of a word: ``summar`` finds summary, summarise and summarize."""
    return re.compile(rf"(?<!\w)(?:{'|'.join(stems)})", re.IGNORECASE)


# Each cue adds its weight to its kind; the kind with most weight wins.
_CUES: tuple[tuple[TaskKind, float, re.Pattern[str]], ...] = (
    (
        TaskKind.TRANSLATION,
        3.0,
        _words("translat", "übersetz", "tradui", "traduc", r"in(?:to)? (?:french|german|spanish|english|italian)\b"),
    ),
    (TaskKind.SUMMARY, 3.0, _words("summar", "tl;?dr", "key points", "zusammenfass", "fasse", "résum", "resum")),
    (
        TaskKind.EXTRACTION,
        2.5,
        _words("extract", "list (?:all|every)", "find all", "pull out", "parse th", "classif", "as json"),
    ),
    (TaskKind.CODE, 3.0, re.compile(r"```|^\s*(?:def|class|import|from|#include|fn|func|SELECT)\s", re.MULTILINE)),
    (
        TaskKind.CODE,
        2.0,
        _words(
            *(
                "python",
                "javascript",
                "typescript",
                r"rust\b",
                r"java\b",
                "golang",
                r"c\+\+",
                r"sql\b",
                r"bash\b",
                "regex",
            ),
            *("docker", r"git\b", r"html\b", r"css\b", r"api\b", r"code\b", "coding", r"function\b", r"script\b"),
            *("refactor", "debug", "compile", "stack ?trace", "traceback", "unit test", "implement", "programm"),
        ),
    ),
    (TaskKind.MATH, 3.0, re.compile(r"\d\s*[-+*/^=×÷]\s*\d|\\(?:frac|int|sum)|\$[^$]+\$|[∑∫√≤≥]")),
    (
        TaskKind.MATH,
        2.0,
        _words(
            *("solve", "equation", "integral", "derivative", "probabilit", "calculat", "compute", "how (?:many|much)"),
            *(
                "percent",
                "sum of",
                "theorem",
                "matrix",
                "polynomial",
                "modulo",
                "berechne",
                "wie viel",
                "combien",
                "cuánt",
            ),
        ),
    ),
    (
        TaskKind.REASONING,
        2.0,
        _words("step by step", r"reason(?:ing)?\b", "puzzle", "riddle", "logic", "deduce", r"prove\b", "trade-?off"),
    ),
    (
        TaskKind.REASONING,
        1.5,
        _words(
            "why does",
            "compare",
            "analy[sz]e",
            "evaluate",
            r"plan\b",
            "strategy",
            "pros and cons",
            "what if",
            "which of",
        ),
    ),
    (
        TaskKind.WRITING,
        2.5,
        _words(
            *(
                r"write (?:a|an|me|the)\b",
                "compose",
                "draft",
                "poem",
                "story",
                "essay",
                "e-?mail",
                r"letter\b",
                r"blog",
            ),
            *("rewrite", "rephrase", "schreib"),
        ),
    ),
    (
        TaskKind.TOOL_USE,
        2.5,
        _words("(?:call|use) the (?:tool|function)", "search the web", "open the file", "run the command"),
    ),
    (
        TaskKind.KNOWLEDGE,
        1.5,
        _words(
            *("what (?:is|are|was|were)", "who (?:is|was|were)", "when (?:did|was|is)", "where (?:is|was)", "explain"),
            *("define", "capital of", "tell me about", "history of", "meaning of", "difference between"),
            *("was ist", "wer (?:ist|war)", "qu'est-ce", "qué es"),
        ),
    ),
)
_HARD = _words(
    *(r"prove\b", r"proof\b", "optimi[sz]", "concurren", "distributed", "rigorous", "theorem", "asymptotic"),
    *("edge case", "in depth", "comprehensive", "architect"),
)
_GREETING = _words(
    *(r"hi\b", "hello", r"hey\b", "thank", "good (?:morning|night|evening)", "bye", r"ok(?:ay)?\b", r"yes\b", r"no\b"),
    *("hallo", "danke", "merci", "hola", "gracias"),
)
_LONG = _words("essay", "story", "article", "detailed", "comprehensive", "in depth", "report", "chapter", "tutorial")
_SHORT = _words(
    "one word", "one sentence", "briefly", r"short(?:ly)?\b", "yes or no", "in a (?:word|sentence)", "only the"
)

_BASE_DIFFICULTY = {
    TaskKind.CHAT: 0.15,
    TaskKind.TRANSLATION: 0.35,
    TaskKind.SUMMARY: 0.35,
    TaskKind.EXTRACTION: 0.35,
    TaskKind.KNOWLEDGE: 0.30,
    TaskKind.WRITING: 0.40,
    TaskKind.TOOL_USE: 0.50,
    TaskKind.CODE: 0.50,
    TaskKind.MATH: 0.45,
    TaskKind.REASONING: 0.50,
}
_REPLY_TOKENS = {
    TaskKind.CHAT: 96,
    TaskKind.EXTRACTION: 128,
    TaskKind.KNOWLEDGE: 160,
    TaskKind.TOOL_USE: 128,
    TaskKind.MATH: 256,
    TaskKind.TRANSLATION: 192,
    TaskKind.SUMMARY: 192,
    TaskKind.REASONING: 384,
    TaskKind.WRITING: 448,
    TaskKind.CODE: 384,
}
_JUDGED_CHARACTERS = 4000


def estimate_tokens(text: str) -> int:
    """Tokens of a text before any tokenizer is at hand: about four bytes of ASCII, two and a half of other scripts."""
    size = len(text.encode("utf-8", "surrogatepass"))
    other = size - len(text)
    return int((size - other) / 4 + other / 2.5) + 1 if text else 0


def classify(
    text: str, *, history_tokens: int = 0, cached_tokens: int = 0, images: int = 0, json_schema: bool = False
) -> TaskFeatures:
    """What ``text``, the person's newest message, asks for.

    ``history_tokens`` is the size of everything before it, ``cached_tokens`` the part the model in use has read, and
    ``images`` the tokens of what the message shows: only who sees can answer that. Only the first and last few thousand
    characters are judged, so a huge paste costs no time.
    """
    judged = (
        text if len(text) <= _JUDGED_CHARACTERS else text[: _JUDGED_CHARACTERS // 2] + text[-_JUDGED_CHARACTERS // 2 :]
    )
    kind = _kind_of(judged)
    tokens = estimate_tokens(text) + images
    capabilities = set()
    if images:
        capabilities.add(Capability.VISION)
    if json_schema:
        capabilities.add(Capability.JSON)
    prompt = history_tokens + tokens
    return TaskFeatures(
        kind=kind,
        difficulty=_difficulty(judged, kind, tokens - images),
        capabilities=frozenset(capabilities),
        prompt_tokens=prompt,
        new_tokens=max(tokens, prompt - cached_tokens),
        reply_tokens=_reply_tokens(judged, kind),
    )


def turn_features(
    asked: Message,
    before: Sequence[Message],
    *,
    instructions: str,
    current: str | None,
    sees: bool,
    tools: bool = False,
    json_schema: bool = False,
) -> TaskFeatures:
    """What ``asked`` asks for as the next message after ``before``; ``sees`` tells whether ``current`` sees images.

    An image needs a model that sees for as long as its own turn lasts, calls of tools included; later turns read of it.
    """
    history = sum(estimate_tokens(m.content) for m in before) + estimate_tokens(instructions)
    shown = [image for m in _present(asked, before) for image in m.images]
    if shown or sees:  # who does not see images does not read them
        history += sum(image_tokens(image) for m in before for image in m.images)
    read = any(m.model and m.model == current for m in before)
    features = classify(
        asked.content,
        history_tokens=history,
        cached_tokens=history if read else 0,
        images=sum(map(image_tokens, asked.images)),
        json_schema=json_schema,
    )
    needed = frozenset([Capability.VISION] * bool(shown) + [Capability.TOOLS] * tools)
    return replace(features, capabilities=features.capabilities | needed)


def _present(asked: Message, before: Sequence[Message]) -> Sequence[Message]:
    """The messages of the turn: one that a tool answers began with what the person said last."""
    if asked.role is Role.USER:
        return (asked,)
    began = max((i for i, m in enumerate(before) if m.role is Role.USER), default=0)
    return (*before[began:], asked)


def _kind_of(text: str) -> TaskKind:
    weights: dict[TaskKind, float] = {}
    for kind, weight, pattern in _CUES:
        found = min(3, sum(1 for _ in pattern.finditer(text)))
        if found:
            weights[kind] = weights.get(kind, 0.0) + weight * (1.0 + 0.3 * (found - 1))
    if not weights:
        return TaskKind.CHAT
    return max(weights, key=lambda kind: weights[kind])


def _difficulty(text: str, kind: TaskKind, tokens: int) -> float:
    if kind is TaskKind.CHAT and tokens <= 12:
        return 0.05 if _GREETING.search(text) else 0.15
    difficulty = _BASE_DIFFICULTY[kind]
    difficulty += 0.10 * min(3, sum(1 for _ in _HARD.finditer(text)))
    difficulty += min(0.20, tokens / 2000)
    difficulty += 0.03 * min(4, max(0, text.count("?") - 1))
    return round(min(1.0, difficulty), 3)


def _reply_tokens(text: str, kind: TaskKind) -> int:
    expected = _REPLY_TOKENS[kind]
    if _SHORT.search(text):
        return 48
    return expected * 2 if _LONG.search(text) else expected
