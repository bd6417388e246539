"""Frozen dataclasses as JSON text and back, without loss.

Tuples, enumerations, frozensets, named tuples and infinities come back as what they were: the annotations of the
dataclass say how to read the plain JSON.
"""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["decode", "encode"]

T = TypeVar("T")


_adapters: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def encode(value: Any) -> str:
    """The JSON of a dataclass, in ASCII, so that even text that is no valid Unicode survives.

    Infinite numbers are written as Python's ``Infinity``. Read-only mappings become plain ones.
    """
    # Not in pydantic's mode for JSON, which replaces what is no valid Unicode in the keys of mappings.
    plain = _adapter(type(value)).dump_python(value, fallback=dict, warnings=False)
    return json.dumps(plain, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    """What ``json`` does not know: sets, enumerations of other things than text, read-only mappings."""
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Enum):
        return value.value
    return dict(value)


def decode(kind: type[T], text: str | bytes) -> T:
    """What ``encode`` made ``text`` from. Raises ``ValueError`` when it is not the JSON of a ``kind``."""
    value: T = _adapter(kind).validate_python(json.loads(text))
    return value
