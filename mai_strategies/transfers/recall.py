"""What was left out and is asked for now, quoted before the question.

A compression cannot know what will be asked later. So every later question is looked up in what the prompt does not
show, and the sentences that answer it are sent with it. They stand at the end of the prompt, where models attend best,
and stay there in later prompts: what the engine has read remains a prefix of what it reads next.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from math import sqrt

from mai_core.policy.messages import Role
from mai_strategies.transfers.hits import Hits, find
from mai_strategies.transfers.notes import SPEAKERS
from mai_strategies.transfers.prompt import SEPARATOR, Conversation
from mai_strategies.transfers.text import clip, flat, sentences, tokens

__all__ = ["HEADING", "recall"]

HEADING = "From earlier in this conversation:"
LONGEST = 280
"""Characters of a sentence that are quoted."""
LONGEST_WORK = 1600
"""Characters of the work another model takes over that are quoted."""
READ = 60_000
"""Characters of one message that are read."""
BESIDE_THE_BEST = 0.5
"""Share of the best sentence's score below which nothing is quoted."""
WIDELY = 0.15
SENTENCES = 3
"""Of one message, those that are quoted at most."""


@dataclass(frozen=True, slots=True)
class _Passage:
    """A sentence: of which message, at which place in it, and how much it has to do with the question."""

    index: int
    place: int
    text: str
    score: float


def recall(conversation: Conversation, visible: Set[int], known: str, room: int, *, widely: bool = False) -> str:
    """Text to stand before the last message, of at most ``room`` tokens; empty when there is nothing to say.

    ``visible`` are the turns the prompt shows, ``known`` is other text it shows. Of what is shown already, only what
    was said after something that is brought back is said again: else a thing that was corrected would come last.
    Only what is nearly as good as the best is quoted, space being for later questions too; ``widely`` goes further.
    """
    count = conversation.request.count
    left = room - count(HEADING + SEPARATOR)
    if left <= 0:
        return ""
    present = set(conversation.present)
    hits = find(conversation, [i for i in conversation.turns if i not in present])
    chosen: list[_Passage] = []
    lines = set[int]()
    for passage in _passages(conversation, hits, WIDELY if widely else BESIDE_THE_BEST):
        label = "" if passage.index in lines else f"\n- {_speaker(conversation, passage.index)}: "
        size = count(label + " " + passage.text)
        if size <= left:
            left -= size
            lines.add(passage.index)
            chosen.append(passage)
    news = [p.index for p in chosen if p.index not in visible and p.text not in known]
    if not news:
        return ""
    said: dict[int, list[str]] = {}
    for passage in sorted(chosen, key=lambda p: (p.index, p.place)):
        if passage.index >= min(news):
            said.setdefault(passage.index, []).append(passage.text)
    quoted = (f"- {_speaker(conversation, i)}: {' '.join(dict.fromkeys(texts))}" for i, texts in said.items())
    return "\n".join((HEADING, *quoted)) + SEPARATOR


def _speaker(conversation: Conversation, index: int) -> str:
    return SPEAKERS[conversation.request.messages[index].role]


def _passages(conversation: Conversation, hits: Hits, share: float) -> Iterator[_Passage]:
    """The sentences that answer, the best first, each question among them with the beginning of its reply."""
    messages, best = conversation.request.messages, hits.found[0].score if hits.found else 1.0
    found = []
    for hit in hits.found:
        if hit.by_kind:
            # Code and calculations lose their meaning with their line breaks.
            found.append(_Passage(hit.index, 0, clip(messages[hit.index].content.strip(), LONGEST_WORK), 0.0))
            continue
        said = [flat(sentence) for sentence in sentences(messages[hit.index].content[:READ])]
        own = sorted(((hits.matcher.score(tokens(text)), -k) for k, text in enumerate(said)), reverse=True)
        found += [
            # A sentence is worth what it says and what its message says: the rest may have been said around it.
            _Passage(hit.index, -k, clip(_with_what_follows(said, -k), LONGEST), score * sqrt(hit.score / best))
            for score, k in own[:SENTENCES]
            if score and score >= 0.5 * own[0][0]
        ]
    least = share * max((passage.score for passage in found), default=0.0)
    for passage in sorted(found, key=lambda p: (-p.score, -p.index, p.place)):
        if 0.0 < passage.score < least:
            continue
        yield passage
        if passage.text.endswith(("?", "？")) and (reply := _reply(conversation, passage.index)):
            yield reply


def _with_what_follows(said: list[str], place: int) -> str:
    """A sentence with what its colon announces, which may be code."""
    if not said[place].endswith((":", "：")):
        return said[place]
    following = (text for text in said[place + 1 : place + 4] if not text.startswith("```"))
    return f"{said[place]} {next(following, '')}".rstrip()


def _reply(conversation: Conversation, index: int) -> _Passage | None:
    """The beginning of what was answered to a message."""
    messages = conversation.request.messages
    following = next((i for i in range(index + 1, len(messages)) if messages[i].content), None)
    if following is None or messages[following].role is Role.USER or messages[following].role is Role.SYSTEM:
        return None
    said = next(iter(sentences(messages[following].content[:READ])), "")
    return _Passage(following, 0, clip(flat(said), LONGEST), 0.0) if said else None
