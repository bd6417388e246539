"""What a law is: a name, a meaning in one line, the worlds it is tried on, and the check that finds it broken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hypothesis.strategies import SearchStrategy

from mai_core.plugin.interfaces import SelectionStrategy

__all__ = ["Broken", "Group", "Law", "Make", "expect", "law"]

Make = Callable[[], SelectionStrategy]
"""A fresh strategy, as settings would construct it."""


class Group(StrEnum):
    """What a law is about, in the order in which they are tried."""

    ANSWERS = "answers"
    SAMENESS = "metamorphic"
    PREFERENCES = "preferences"
    CORE = "under the core"
    CLAIMS = "claimed"


class Broken(AssertionError):
    """A law does not hold in one world: what was ``expected`` there, and what ``happened``."""

    def __init__(self, expected: str, happened: str) -> None:
        super().__init__(f"expected: {expected}; what happened: {happened}")
        self.expected = expected
        self.happened = happened


def expect(holds: bool, expected: str, happened: str) -> None:
    """Raises ``Broken`` unless the law ``holds``."""
    if not holds:
        raise Broken(expected, happened)


@dataclass(frozen=True, slots=True)
class Law:
    """Something every selection strategy keeps, whatever it prefers.

    check    called as ``check(make, **example)``; raises ``Broken``
    worlds   how its examples are generated, by parameter of the check
    share    of the examples asked for, how many are tried: less than 1 where one takes long
    """

    name: str
    group: Group
    meaning: str
    check: Callable[..., None] = field(repr=False, compare=False)
    worlds: Mapping[str, SearchStrategy[Any]] = field(repr=False, compare=False)
    share: float = 1.0

    @property
    def claimed(self) -> bool:
        """Whether it is tried only on strategies whose ``claims`` name it."""
        return self.group is Group.CLAIMS

    def binds(self, strategy: SelectionStrategy) -> bool:
        """Whether this strategy has to keep it."""
        return not self.claimed or self.name in getattr(strategy, "claims", ())


def law(group: Group, *, share: float = 1.0, **worlds: SearchStrategy[Any]) -> Callable[[Callable[..., None]], Law]:
    """Make a law of a function: its name with dashes, its docstring's first line for a meaning."""

    def made(check: Callable[..., None]) -> Law:
        meaning = (check.__doc__ or "").strip().splitlines()[0]
        return Law(check.__name__.replace("_", "-"), group, meaning, check, worlds, share)

    return made
