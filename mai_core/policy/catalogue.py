"""Which entry of the catalogue speaks of a model, judged by the model's name alone.

The same weights go by many names: ``Qwen2.5-0.5B-Instruct-Q4_K_M.gguf`` is a file, ``qwen2.5:0.5b-instruct-q4_K_M``
Ollama's, ``qwen/qwen2.5-0.5b-instruct@q4_k_m`` LM Studio's. All are compared in one spelling: ``normalise``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache

from mai_core.policy.models import KnownModel

__all__ = ["before_size", "match", "normalise", "parameters_in"]

_SEPARATOR = re.compile(r"[\s:@]+|\.(?=(?:i?q\d|[bf]f?(?:16|32)|mxfp4))")
_PUBLISHER = re.compile(r"^[a-z][a-z0-9-]*_(?=[a-z])")
_PARAMETERS = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z0-9])")
_WILD = "*?["
_BEFORE_WILD = re.compile(r"[^*?[]*")


@lru_cache(maxsize=4096)
def normalise(key: str) -> str:
    """The spelling patterns are written in: lower case, ``-`` between the parts, no folder and no ``.gguf``."""
    name = key.strip().lower().replace("\\", "/").rstrip("/").rpartition("/")[2].removesuffix(".gguf")
    return _SEPARATOR.sub("-", name)


def parameters_in(key: str) -> float:
    """The parameters a name tells, such as 7e9 in ``qwen2.5-7b-instruct``; 0 when it tells none."""
    found = _PARAMETERS.search(normalise(key))
    if found is None:
        return 0.0
    return int(found[1] or 1) * float(found[2]) * (1e9 if found[3] == "b" else 1e6)


def before_size(key: str) -> str:
    """What a name says before its size, the name of its family; empty where it tells no size."""
    name = normalise(key)
    found = _PARAMETERS.search(name)
    return _PUBLISHER.sub("", name[: found.start()].rstrip("-_"), count=1) if found else ""


def match(known: Sequence[KnownModel], key: str) -> KnownModel | None:
    """The most specific entry that speaks of the model ``key``; None when there is none.

    An entry speaks of its own key, which outweighs every pattern, and of every name one of its patterns matches. The
    longest pattern, counted in literal characters, is the most specific; of equally long ones the entry named first.
    A publisher put in front with an underscore (``google_gemma-3-4b-it``) is looked past when the whole name is
    unknown.
    """
    spelled = normalise(key)
    found = _best(known, spelled)
    if found is None and (bare := _PUBLISHER.sub("", spelled, count=1)) != spelled:
        found = _best(known, bare)
    return found


def _best(known: Sequence[KnownModel], name: str) -> KnownModel | None:
    best, longest = None, -1
    # Hundreds of patterns are tried for every model: most fall at their first letter.
    starts = frozenset((name[:1], *_WILD))
    for entry in known:
        if entry.key == name:
            return entry
        for pattern in entry.patterns:
            if pattern[:1] not in starts:
                continue
            prefix, literal = _weight(pattern)
            if literal > longest and name.startswith(prefix) and (pattern == name or fnmatchcase(name, pattern)):
                best, longest = entry, literal
    return best


@lru_cache(maxsize=4096)
def _weight(pattern: str) -> tuple[str, int]:
    """What a pattern begins with, and its literal characters; without wildcards it is more specific than any with."""
    prefix = _BEFORE_WILD.match(pattern)[0]  # type: ignore[index]
    literal = sum(c not in _WILD for c in pattern)
    return prefix, literal if prefix != pattern else literal + 1
