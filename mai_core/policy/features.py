"""What a turn asks for, told from its text alone: no model needs to be loaded to judge a prompt.

The evidence (mean gain per known kind of task carries nearly all of what routing can win; per-prompt difficulty
little) sets the ambition: name the kind of task well, and grade difficulty coarsely.

Cues tell what is to be done (translate, summarise, write); trained weights, where they are at hand, tell what a
question is about and how hard it is, which is what outcomes are known of. Without weights cues do for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mai_core.policy.cues import Cues, cues_in, ends
from mai_core.policy.images import image_tokens
from mai_core.policy.kinds import TaskKind
from mai_core.policy.messages import Message, Role
from mai_core.policy.models import Capability
from mai_core.policy.tasks import SLOPE, Judgement, TaskModel
from mai_core.policy.terms import judged, terms_of

__all__ = ["TaskFeatures", "TaskKind", "classify", "estimate_tokens", "turn_features"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFeatures:
    """What this turn asks for.

    field            what a question of knowledge or reasoning is about, one of ``kinds.FIELDS``; empty where untold
    difficulty       0 for a greeting, 1 for what only the best models manage
    discrimination   how much it helps that a model is able: 1 on average, less where able models are no better
    prompt_tokens    estimated size of everything the model has to read
    new_tokens       the part of it that the model in use has not read yet
    reply_tokens     expected length of the answer
    """

    kind: TaskKind = TaskKind.CHAT
    field: str = ""
    difficulty: float = 0.3
    discrimination: float = 1.0
    capabilities: frozenset[Capability] = frozenset()
    prompt_tokens: int = 0
    new_tokens: int = 0
    reply_tokens: int = 256


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
# What the weights tell beside cues. A question with options is what they were trained on, and theirs to tell whatever
# the cues say; else they need this much confidence, and to know that it is a question of a field at all.
_CONFIDENCE = 0.6
# Where there is neither a cue nor a question mark.
_SURE = 0.9
_OPTIONS = 3
_ASKING = frozenset({TaskKind.MATH, TaskKind.REASONING, TaskKind.KNOWLEDGE})


def estimate_tokens(text: str) -> int:
    """Tokens of a text before any tokenizer is at hand: about four bytes of ASCII, two and a half of other scripts."""
    size = len(text.encode("utf-8", "surrogatepass"))
    other = size - len(text)
    return int((size - other) / 4 + other / 2.5) + 1 if text else 0


def classify(
    text: str,
    *,
    history_tokens: int = 0,
    cached_tokens: int = 0,
    images: int = 0,
    json_schema: bool = False,
    model: TaskModel | None = None,
) -> TaskFeatures:
    """What ``text``, the person's newest message, asks for.

    ``history_tokens`` is the size of everything before it, ``cached_tokens`` the part the model in use has read, and
    ``images`` the tokens of what the message shows: only who sees can answer that. Only the beginning and the end
    are judged (``terms.judged``), so a huge paste costs no time. Without ``model``, the trained weights, cues alone
    tell.
    """
    looked = judged(text)
    asked = ends(looked)
    cues = cues_in(asked)
    kind, judgement = _told(looked, asked, cues.kind, model)
    tokens = estimate_tokens(text) + images
    capabilities = set()
    if images:
        capabilities.add(Capability.VISION)
    if json_schema:
        capabilities.add(Capability.JSON)
    prompt = history_tokens + tokens
    return TaskFeatures(
        kind=kind,
        field=judgement.likely.field if judgement else "",
        difficulty=_trained_difficulty(judgement) if judgement else _difficulty(asked, cues, tokens - images),
        discrimination=judgement.discrimination if judgement else 1.0,
        capabilities=frozenset(capabilities),
        prompt_tokens=prompt,
        new_tokens=max(tokens, prompt - cached_tokens),
        reply_tokens=_reply_tokens(cues, kind),
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
    model: TaskModel | None = None,
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
        model=model,
    )
    needed = frozenset([Capability.VISION] * bool(shown) + [Capability.TOOLS] * tools)
    return replace(features, capabilities=features.capabilities | needed)


def _present(asked: Message, before: Sequence[Message]) -> Sequence[Message]:
    """The messages of the turn: one that a tool answers began with what the person said last."""
    if asked.role is Role.USER:
        return (asked,)
    began = max((i for i, m in enumerate(before) if m.role is Role.USER), default=0)
    return (*before[began:], asked)


def _told(looked: str, asked: str, kind: TaskKind, model: TaskModel | None) -> tuple[TaskKind, Judgement | None]:
    """The kind of task, ``kind`` by cues, and what the weights say of it where they are to be believed."""
    if model is None:
        return kind, None
    terms, options = terms_of(looked)
    judgement = model.judge(terms)
    likely = judgement.likely
    if options >= _OPTIONS or (likely.kind is kind is TaskKind.CODE):
        return likely.kind, judgement
    if judgement.confidence < _CONFIDENCE or not likely.name:
        return kind, None
    sure = judgement.confidence >= _SURE or asked.rstrip()[-1:] in ("?", "？")
    if kind in _ASKING or (kind is TaskKind.CHAT and sure):
        return (likely.kind, judgement) if likely.kind in _ASKING else (kind, None)
    return kind, None


def _trained_difficulty(judgement: Judgement) -> float:
    return round(min(1.0, max(0.0, 0.5 + judgement.difficulty / SLOPE)), 3)


def _difficulty(asked: str, cues: Cues, tokens: int) -> float:
    kind = cues.kind
    if kind is TaskKind.CHAT and tokens <= 12:
        return 0.05 if cues.greeting else 0.15
    difficulty = _BASE_DIFFICULTY[kind]
    if kind is TaskKind.MATH and cues.sum:
        difficulty -= 0.20
    difficulty += 0.10 * min(3, cues.hard)
    difficulty += min(0.20, tokens / 2000)
    difficulty += 0.03 * min(4, max(0, asked.count("?") - 1))
    return round(min(1.0, difficulty), 3)


def _reply_tokens(cues: Cues, kind: TaskKind) -> int:
    expected = _REPLY_TOKENS[kind]
    if cues.short:
        return 48
    return expected * 2 if cues.long else expected
