"""Which rows of several backends are one model: the same weights, offered more than once.

A person thinks of the model; where it runs is a question of memory, speed and health. So a model has one name, and
each way to run it, a placement, has a key of its own.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import chain, count
from typing import Protocol, TypeVar

from mai_core.policy.catalogue import match, normalise
from mai_core.policy.models import KnownModel, ModelProfile

__all__ = ["describes", "is_meant", "is_named", "meant", "placed", "same_weights"]

_QUANTISATION = re.compile(r"-(i?q\d\w*|[bf]f?(?:16|32)|mxfp4\w*)$")
# Metadata stored beside the weights, and megabytes that are rounded, differ by less.
_SIZE_TOLERANCE = 0.01


class _Offer(Protocol):
    """What names a placement: a model's profile, a candidate or a rejection."""

    @property
    def key(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def backend(self) -> str: ...


Offer = TypeVar("Offer", bound=_Offer)


def placed(rows: Iterable[ModelProfile], known: Sequence[KnownModel]) -> tuple[tuple[ModelProfile, ModelProfile], ...]:
    """Every row beside itself with a unique key and with the ``model`` it is a placement of, in order.

    The first placement lends the model its key. A later row whose key is taken gets its backend's name in front, once,
    and a number where that is taken, too; one that its backend lists twice is left out.
    """
    listed: set[tuple[str, str]] = set()
    taken: set[str] = set()
    families: dict[str, list[ModelProfile]] = {}
    result: list[tuple[ModelProfile, ModelProfile]] = []
    for row in rows:
        if (row.backend, row.key) in listed:
            continue
        listed.add((row.backend, row.key))
        key = _free(row, taken)
        taken.add(key)
        family = families.setdefault(_family(row.key, known), [])
        first = next((other for other in family if same_weights(row, other)), None)
        named = replace(row, model=first.model if first is not None else key)
        family.append(named)
        result.append((row, replace(named, key=key)))
    return tuple(result)


def same_weights(one: ModelProfile, other: ModelProfile) -> bool:
    """Whether two models of one family are the same file, judged by what is known of both.

    A digest decides alone, then the size of the weights. Where a server does not tell it, quantisation must agree; and
    the whole name, where it tells neither.
    """
    if one.sha256 and other.sha256:
        return one.sha256 == other.sha256
    mine, theirs = _quantisation(one), _quantisation(other)
    if mine and theirs and mine != theirs:
        return False
    if one.size_bytes and other.size_bytes:
        return abs(one.size_bytes - other.size_bytes) <= _SIZE_TOLERANCE * max(one.size_bytes, other.size_bytes)
    return mine == theirs and (bool(mine) or normalise(one.key) == normalise(other.key))


def is_meant(pinned: str, *, key: str, model: str, backend: str) -> bool:
    """Whether a person who says ``pinned`` means this placement.

    The name of a model means all its placements, a key means its own, and ``backend/key`` that one alone.
    """
    return pinned in (model, f"{backend}/{key}") or (pinned == key and pinned != model)


def meant(pinned: str, offers: Iterable[Offer]) -> tuple[Offer, ...]:
    """The placements a person who says ``pinned`` means: one called just so is, and no other one of ``backend/key``."""
    found = [o for o in offers if is_meant(pinned, key=o.key, model=o.model or o.key, backend=o.backend)]
    return tuple(o for o in found if pinned in (o.key, o.model)) or tuple(found)


def describes(entry: KnownModel, key: str) -> bool:
    """Whether an entry of the catalogue is of this very model, not of a family that others were made from, too."""
    names = (entry.key, *(pattern.removesuffix("*") for pattern in entry.patterns))
    return normalise(key) in names or _bare(key) in names


def is_named(name: str, model: ModelProfile) -> bool:
    """Whether ``models.yaml`` means ``model`` by ``name``: its key, its family's (any quantisation), or a pattern."""
    if is_meant(name, key=model.key, model=model.model or model.key, backend=model.backend):
        return True
    wanted, spelled = normalise(name), normalise(model.key)
    return fnmatchcase(spelled, wanted) or _QUANTISATION.sub("", spelled) == wanted


def _free(row: ModelProfile, taken: Container[str]) -> str:
    if row.key not in taken:
        return row.key
    told = row.key if row.key.startswith(f"{row.backend}/") else f"{row.backend}/{row.key}"
    numbered = (f"{told}#{number}" for number in count(2))
    return next(key for key in chain((told,), numbered) if key not in taken)


def _family(key: str, known: Sequence[KnownModel]) -> str:
    """The name without quantisation; one spelling for names the catalogue gives as equal, what wild cards add aside."""
    bare = _bare(key)
    entry = match(known, bare)
    return bare if entry is None or not describes(entry, bare) else entry.key


def _bare(key: str) -> str:
    return _QUANTISATION.sub("", normalise(key)).removesuffix("-latest")


def _quantisation(model: ModelProfile) -> str:
    found = _QUANTISATION.search(normalise(model.key))
    return model.quantisation.lower() or (found[1] if found else "")
