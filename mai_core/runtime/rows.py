"""Whether what a backend lists is what it should be: a third party's row may be anything."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import fields
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from mai_core.policy.models import ModelProfile

__all__ = ["fault_of"]


def fault_of(row: object, backend: str) -> str:
    """What is wrong with this row of ``backend``, in a few words that name it; empty when nothing is."""
    if not isinstance(row, ModelProfile):
        return f"a {type(row).__name__}, not a ModelProfile"
    for name, kinds in _kinds().items():
        value = getattr(row, name)
        if not isinstance(value, kinds):
            return f"{row.key!r}: {name} is a {type(value).__name__}"
        if isinstance(value, int | float) and not 0 <= value < math.inf:
            return f"{row.key!r}: {name} is {value}"
    if not all(isinstance(quality, int | float) for quality in row.quality.values()):
        return f"{row.key!r}: quality is {dict(row.quality)}"
    if not row.key:
        return "a model without a key"
    if row.backend != backend:
        return f"{row.key!r}: backend is {row.backend!r}"
    return ""


@cache
def _kinds() -> Mapping[str, tuple[type, ...]]:
    """The types each field of a profile may have; whole numbers pass for fractions."""
    hints = get_type_hints(ModelProfile)
    return {field.name: _types(hints[field.name]) for field in fields(ModelProfile)}


def _types(hint: Any) -> tuple[type, ...]:
    if isinstance(hint, UnionType):
        return tuple(kind for part in get_args(hint) for kind in _types(part))
    kind: type = get_origin(hint) or hint
    if kind is float:
        return (int, float)
    if kind is frozenset:
        return (Set,)
    return (str,) if issubclass(kind, StrEnum) else (kind,)
