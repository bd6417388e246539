"""Which entry of the catalogue speaks of a model, judged by the model's name alone.

The same weights go by many names: ``Qwen2.5-0.5B-Instruct-Q4_K_M.gguf`` is a file, ``qwen2.5:0.5b-instruct-q4_K_M``
Ollama's, ``qwen/qwen2.5-0.5b-instruct@q4_k_m`` LM Studio's. All are compared in one spelling: ``normalise``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from fnmatch import fnmatchcase
from functools import lru_cache

from mai_core.policy.models import KnownModel

__all__ = ["complete", "match", "normalise"]

_SEPARATOR = re.compile(r"[\s:@]+|\.(?=(?:i?q\d|[bf]f?(?:16|32)|mxfp4))")
_PUBLISHER = re.compile(r"^[a-z][a-z0-9-]*_(?=[a-z])")
_WILD = frozenset("*?[")
# What names one entry alone, so that a more specific entry does not take it from the family it belongs to.
_OWN = frozenset({"key", "patterns", "sources", "sha256", "size_bytes", "starter"})


@lru_cache(maxsize=4096)
def normalise(key: str) -> str:
    """The spelling patterns are written in: lower case, ``-`` between the parts, no folder and no ``.gguf``."""
    name = key.strip().lower().replace("\\", "/").rstrip("/").rpartition("/")[2].removesuffix(".gguf")
    return _SEPARATOR.sub("-", name)


def match(known: Sequence[KnownModel], key: str) -> KnownModel | None:
    """The most specific entry that speaks of the model ``key``; None when there is none.

    An entry speaks of its own key and of every name one of its patterns matches. The longest pattern, counted in
    literal characters, is the most specific; of equally long ones the entry named first. A publisher put in front
    with an underscore (``google_gemma-3-4b-it``) is looked past when the whole name is unknown.
    """
    spelled = normalise(key)
    found = _best(known, spelled)
    if found is None and (bare := _PUBLISHER.sub("", spelled, count=1)) != spelled:
        found = _best(known, bare)
    return found


def complete(known: Iterable[KnownModel]) -> tuple[KnownModel, ...]:
    """Every entry with what it leaves out taken from the next less specific entry that speaks of it.

    So a file of a family needs to name its source only; quality, tier and capabilities are its family's.
    """
    entries = tuple(known)
    return tuple(_completed(entry, entries) for entry in entries)


def _completed(entry: KnownModel, entries: tuple[KnownModel, ...]) -> KnownModel:
    rest = tuple(other for other in entries if other is not entry)
    while (family := match(rest, entry.key)) is not None:
        gaps = {f.name: getattr(family, f.name) for f in fields(entry) if f.name not in _OWN and not _says(entry, f.name)}
        entry = replace(entry, **gaps)
        rest = tuple(other for other in rest if other is not family)
    return entry


def _says(entry: KnownModel, field: str) -> bool:
    value = getattr(entry, field)
    return value is False if field == "chat" else bool(value)


def _best(known: Sequence[KnownModel], name: str) -> KnownModel | None:
    best, longest = None, -1
    for entry in known:
        for pattern in (entry.key, *entry.patterns):
            literal = _literal(pattern)
            if literal > longest and (pattern == name or fnmatchcase(name, pattern)):
                best, longest = entry, literal
    return best


@lru_cache(maxsize=4096)
def _literal(pattern: str) -> int:
    """Literal characters of a pattern; one without wildcards counts as more specific than any with."""
    literal = sum(c not in _WILD for c in pattern)
    return literal if _WILD.intersection(pattern) else literal + 1
