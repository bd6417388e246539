"""Whether what a model wrote of a conversation may stand for it.

Small models invent. A sentence of a summary is kept only if every number and every name in it was said before; what
is left must be text, shorter than what it stands for, and no loop. What this lets through may still be wrong: so it
never takes the place of instructions, of requests, or of sentences quoted word for word.
"""

from __future__ import annotations

import re

from mai_core.policy.repetition import loop_start

__all__ = ["accepted"]

LEAST_CHARACTERS = 40
STEM = 5
SHORTER = 0.5
"""Share of the text a summary may be as long as."""

_SENTENCE = re.compile(r"(?<=[.!?…。！？])\s+|\n+|(?<=[。！？])")
_LIST_MARK = re.compile(r"^(?:[-*•#>]+|\d+[.)])\s+")
_PREAMBLE = re.compile(r"(?:sure|certainly|okay|here (?:is|are)|summary)\b[^.]*:$", re.IGNORECASE)
_NUMBER = re.compile(r"\d(?:[\d.,:/-]*\d)?")
# A capital letter that does not open the sentence.
_NAME = re.compile(r"(?<=[\w,;:] )[^\W\d_]\w+")


def accepted(summary: str, source: str, *, is_whole: bool = True) -> str:
    """What of a ``summary`` may stand for ``source``, a sentence a line; empty when nothing may.

    Of one that is not ``is_whole``, having met its limit, the last sentence is left out.
    """
    if loop_start(summary) is not None:
        return ""
    said = source.casefold()
    numbers = set(_NUMBER.findall(source))
    lines = [_LIST_MARK.sub("", line.strip()).replace("**", "") for line in _SENTENCE.split(summary)]
    lines = [line for line in lines if line and not _PREAMBLE.match(line)]
    if not is_whole:
        lines = lines[:-1]
    kept = list(dict.fromkeys(line for line in lines if _is_said(line, said, numbers)))
    text = "\n".join(kept)
    return text if LEAST_CHARACTERS <= len(text) <= SHORTER * len(source) else ""


def _is_said(line: str, said: str, numbers: set[str]) -> bool:
    """Whether its numbers and names were said before; names may be inflected."""
    names = (name.casefold()[:STEM] for name in _NAME.findall(line) if name[0].isupper())
    return all(n in numbers for n in _NUMBER.findall(line)) and all(name in said for name in names)
