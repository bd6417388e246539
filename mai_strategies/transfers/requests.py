"""What a person asked for once and expects ever after.

"Always answer in French", "from now on ...", "remember that my name is ...", "never use ...": losing one of these is
what makes a conversation feel forgotten, so they survive every compression. A false find costs a few tokens, a
missed one costs trust; in doubt the sentence is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mai_strategies.transfers.cues import (
    ADDRESSED,
    ANYWHERE,
    ASCII_HINTS,
    COURTESIES,
    COURTESY,
    HINTS,
    ONCE,
    OPENINGS,
    POLITE,
    STANDING,
    TAKES_BACK,
    VERBS,
)
from mai_strategies.transfers.text import clip, flat, sentences

__all__ = ["explicit_requests", "takes_back"]

WHOLE = 200
"""Characters up to which a message with a request is kept whole: its other sentences explain the request."""
PASTED = 1500
"""Characters from which a message is taken to carry a pasted text: only its first and last paragraph speak to us."""
LONGEST = 600
"""Characters a single request may take."""

_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_CITED_LINE = re.compile(r"^[^\S\n]*>.*$", re.MULTILINE)
_CITATION = re.compile(r"\"[^\"\n]*\"|“[^”\n]*”|„[^“\n]*“|«[^»\n]*»|(?<!\w)'[^'\n]+'(?!\w)|`[^`\n]*`")
_QUOTE = re.compile(r"[\"“„«'`]")
# French joins some words to the next: "n'utilise".
_FIRST = re.compile(r"\W*([ndND]'|\w[\w'’-]*)[ ]?")
_BEGINNINGS = COURTESIES | OPENINGS.keys() | POLITE.keys()
_BACKWARD = re.compile(r"\b(?:this|that|it|so|das|dies|so|cela|ça|eso|esto|questo|isso|dat)\W*$", re.IGNORECASE)


def explicit_requests(text: str) -> tuple[str, ...]:
    """The standing requests in a message of the person, each on one line; none in most messages.

    A short message is returned whole, of a long one the decisive sentences. Quoted text, code and the middle of
    pasted texts are not read.
    """
    if takes_back(text):
        return ()
    spoken = _CITED_LINE.sub("", _FENCE.sub("", text)) if "```" in text or ">" in text else text
    if len(spoken) > PASTED:
        paragraphs = [p for p in spoken.split("\n\n") if p.strip()]
        spoken = "\n".join([*paragraphs[:1], *paragraphs[1:][-1:]])
        spoken = spoken if len(spoken) <= 2 * PASTED else f"{spoken[:PASTED]}\n{spoken[-PASTED:]}"
    plain = _plain(spoken)
    is_hinted = any(map(plain.__contains__, ASCII_HINTS if plain.isascii() else HINTS))
    said = sentences(spoken)
    found = [k for k, sentence in enumerate(said) if (is_hinted or _may_open(sentence)) and is_request(sentence)]
    if not found:
        return ()
    if len(spoken.strip()) <= WHOLE:
        return (flat(spoken),)
    return tuple(dict.fromkeys(clip(_with_context(said, k), LONGEST) for k in found))


def is_request(sentence: str) -> bool:
    """Whether a sentence of the person asks for something that holds beyond the present answer."""
    said = flat(_plain(sentence))
    if _QUOTE.search(said):
        said = _CITATION.sub("“”", said)
    said = _opening(said)
    if said.endswith(("?", "？")):
        asked = _after_first(said, POLITE)
        if asked is None or not VERBS.search(asked):
            return False
        said = _opening(asked)
    return _is_standing(said) and not ONCE.search(said)


def takes_back(text: str) -> bool:
    """Whether a message says nothing but that what was asked for just before shall not hold."""
    return len(text) <= WHOLE and TAKES_BACK.fullmatch(_opening(flat(_plain(text)))) is not None


def _may_open(sentence: str) -> bool:
    """Whether a request may begin with the first word of ``sentence``: a quick look before a careful one."""
    first = _FIRST.match(sentence)
    return first is not None and first[1].lower() in _BEGINNINGS


def _opening(said: str) -> str:
    """``said`` from its first word that is no courtesy."""
    first = _FIRST.match(said)
    if first is None:
        return said
    if first[1] in COURTESIES and (courtesy := COURTESY.match(said, first.start(1))):
        return said[courtesy.end() :]
    return said[first.start(1) :]


def _is_standing(said: str) -> bool:
    if _after_first(said, OPENINGS) is not None or ANYWHERE.search(said):
        return True
    return any(phrase in said for phrase in STANDING) and bool(ADDRESSED.search(said))


def _after_first(said: str, table: Mapping[str, re.Pattern[str]]) -> str | None:
    """What follows if ``said`` opens with a word of ``table`` and what that demands."""
    first = _FIRST.match(said)
    rest = table.get(first[1]) if first else None
    found = rest.match(said, first.end()) if first and rest else None
    return said[found.end() :] if found else None


def _plain(text: str) -> str:
    return text.lower().replace("’", "'")


def _with_context(said: list[str], k: int) -> str:
    """A sentence with what it needs to be understood: what a colon announces, what "that" points to."""
    if said[k].rstrip().endswith((":", "：")):
        return flat(" ".join(said[k:]))
    if k and len(said[k]) < 40 and _BACKWARD.search(said[k]):
        return flat(f"{said[k - 1]} {said[k]}")
    return flat(said[k])
