"""What may be told of an error that options led to: nothing that quotes a secret written among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mai_core.plugin.faults import one_line

__all__ = ["Discretion"]

# Who quotes a long text cuts it: a piece of this many characters gives a secret away.
_PIECE = 6


class Discretion:
    """Knows the secrets written at ``where`` in the settings, so as not to tell them."""

    def __init__(self, options: Mapping[str, Any], where: tuple[str, ...]) -> None:
        from mai_core.settings.secrecy import exposed

        self._secrets = tuple(
            text
            for place in exposed(options, where)
            for text in _leaves(_at(options, place[len(where) :]))
            if text not in ("", "True", "False", "None")
        )

    def quotes(self, text: str) -> bool:
        """Whether a secret, or a piece of one, is in the text."""
        return any(piece in text for secret in self._secrets for piece in _pieces(secret))

    def told(self, error: BaseException) -> str:
        """The class of an error and what it says, in a line; the class alone when that would give a secret away."""
        from pydantic import ValidationError

        line = one_line(error)
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(map(str, first["loc"]))
            line = f"{type(error).__name__}: {place and f'{place}: '}{first['msg']}".splitlines()[0]
        return type(error).__name__ if self.quotes(line) else line

    def may_be_shown(self, error: BaseException) -> bool:
        """Whether a traceback with all causes of this error quotes nothing that may be a secret.

        A validation error quotes its input, whatever the option is called.
        """
        return not self._secrets and not any(type(cause).__name__ == "ValidationError" for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that led to it."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        if (one := waiting.pop()) is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [
                one.__cause__,
                one.__context__,
                *(one.exceptions if isinstance(one, BaseExceptionGroup) else ()),
            ]


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for name in path:
        value = value[name]
    return value


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield str(value)


def _pieces(secret: str) -> Iterator[str]:
    return (secret[start : start + _PIECE] for start in range(max(1, len(secret) - _PIECE + 1)))
