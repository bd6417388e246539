"""Remembering what pure functions said, where their first argument is costly to compare by all it says."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache, wraps
from typing import Any, TypeVar

__all__ = ["remembered"]

Function = TypeVar("Function", bound=Callable[..., Any])


class _Same:
    """A value as itself: equal to nothing but the very same object, which it keeps from being freed."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value


def remembered(most: int) -> Callable[[Function], Function]:
    """``lru_cache`` of ``most`` answers by the identity of the first argument, a frozen value, and by equality of the
    rest. What is answered is shared by all who ask, so it has to be frozen, too."""

    def decorate(function: Function) -> Function:
        @lru_cache(maxsize=most)
        def answer(same: _Same, *rest: Hashable) -> Any:
            return function(same.value, *rest)

        @wraps(function)
        def asked(first: object, *rest: Hashable) -> Any:
            return answer(_Same(first), *rest)

        return asked  # type: ignore[return-value]

    return decorate
