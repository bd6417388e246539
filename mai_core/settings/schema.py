"""The tree of settings as a question: what may stand under this name?

Everything is read off the Pydantic model, so there is one description of the settings and no second list of names.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel

from mai_core.settings.model import Form

__all__ = ["Slot", "leaves", "nearest", "slot_at"]


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a value: the type it must have and the bounds it must keep."""

    kind: Any
    bounds: tuple[Any, ...] = ()

    @classmethod
    def of(cls, annotation: Any, bounds: Sequence[Any] = ()) -> Slot:
        """The slot of a type as it is annotated."""
        if get_origin(annotation) is Annotated:
            kind, *more = get_args(annotation)
            constraints = (c for m in more for c in getattr(m, "metadata", (m,)))
            return cls.of(kind, (*bounds, *constraints))
        return cls(annotation, tuple(bounds))

    @property
    def section(self) -> type[BaseModel] | None:
        """The model of a section with names of its own."""
        return self.kind if isinstance(self.kind, type) and issubclass(self.kind, BaseModel) else None

    @property
    def is_mapping(self) -> bool:
        """Whether names stand below this one."""
        return self.section is not None or get_origin(self.kind) in (dict, Mapping)

    @property
    def is_free(self) -> bool:
        """Whether anything goes here, because only a plugin understands it."""
        return self.kind is Any

    @property
    def is_text(self) -> bool:
        """Whether the value is text, so that what a person types needs no quotes."""
        return self.kind is str or (get_origin(self.kind) is Literal and all(isinstance(c, str) for c in self.choices))

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values of a choice, empty when it is none."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    def names(self) -> tuple[str, ...]:
        """The names a section knows."""
        if self.section is not None:
            return tuple(self.section.model_fields)
        return Slot.of(get_args(self.kind)[0]).choices if self.is_mapping else ()

    def below(self, name: str) -> Slot | None:
        """What may stand under ``name`` here; None when nothing may."""
        if self.is_free:
            return self
        if self.section is not None:
            if (found := self.section.model_fields.get(name)) is not None:
                return Slot.of(found.annotation, found.metadata)
            return Slot(Any) if self.section.model_config.get("extra") == "allow" else None
        if not self.is_mapping or (self.names() and name not in self.names()):
            return None
        return Slot.of(get_args(self.kind)[1])

    def allowed(self) -> str:
        """What may stand here, in words: ``a number from 0 to 1``, ``"first" or "vote"``."""
        if self.choices:
            return " or ".join(f'"{choice}"' for choice in self.choices)
        if get_origin(self.kind) in (Union, types.UnionType):
            return " or ".join(Slot.of(kind, self.bounds).allowed() for kind in get_args(self.kind))
        if form := next((b.words for b in self.bounds if isinstance(b, Form)), ""):
            return form
        return _NAMES[self.kind] + self._range() if self.kind in _NAMES else self._collection()

    def _collection(self) -> str:
        if self.is_mapping:
            return "a section of `name: value` lines"
        return "a list such as [a, b]" if get_origin(self.kind) in (tuple, list, frozenset) else "another value"

    def _range(self) -> str:
        low = next((b.ge for b in self.bounds if isinstance(b, annotated_types.Ge)), None)
        above = next((b.gt for b in self.bounds if isinstance(b, annotated_types.Gt)), None)
        high = next((b.le for b in self.bounds if isinstance(b, annotated_types.Le)), None)
        if low is not None and high is not None:
            return f" from {low:g} to {high:g}"
        if above is not None:
            return f" above {above:g}"
        return "" if low is None else f", {low:g} or more"


_NAMES = {
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    str: "text",
    types.NoneType: "null",
}


def slot_at(root: Any, where: Sequence[str | int]) -> Slot | None:
    """The slot these names lead to from ``root``, a model or a mapping to models; None when they lead nowhere.

    An index into a list leads to its item.
    """
    slot: Slot | None = Slot.of(root)
    for part in where:
        if slot is None:
            return None
        slot = Slot.of(next(iter(get_args(slot.kind)), Any)) if isinstance(part, int) else slot.below(part)
    return slot


def leaves(root: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Slot]]:
    """Every setting with a fixed name, in the model's order. Sections that people name themselves count as one."""
    slot = root if isinstance(root, Slot) else Slot.of(root)
    for name in slot.names():
        inner = slot.below(name)
        if inner is not None and inner.section is not None:
            yield from leaves(inner, (*above, name))
        elif inner is not None:
            yield (*above, name), inner


def nearest(word: str, words: Sequence[str]) -> str:
    """The known word a person most likely meant; empty when none is near."""
    exact = {w.lower().replace("-", "_"): w for w in words}
    found = get_close_matches(word.lower().replace("-", "_"), list(exact), n=1, cutoff=0.6)
    return exact[found[0]] if found else ""
