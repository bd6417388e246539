"""What is wrong with a tree of settings, one clear line each: where, what, and what was probably meant."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from mai_core.errors import SettingsError
from mai_core.settings.document import Where
from mai_core.settings.schema import Slot, leaves, nearest, slot_at
from mai_core.settings.secrecy import masked

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["dotted", "problems", "raise_first", "shown", "unknown", "validated"]

T = TypeVar("T")


def validated(root: type[T], tree: Mapping[str, Any], origins: Mapping[Where, str]) -> T:
    """The tree as a value of ``root``. Raises ``SettingsError`` with the first problem; ``detail`` has all."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(root).validate_python(tree)
    except ValidationError as error:
        found = problems(root, error, origins)
    # Outside of the handler: the error that ends here quotes what it was given, secrets too.
    raise _first(found)


def raise_first(found: Sequence[str]) -> None:
    """Raise the first of some problems as one line that says how many more there are."""
    if found:
        raise _first(found)


def _first(found: Sequence[str]) -> SettingsError:
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return SettingsError(found[0] + more, detail="\n".join(found))


def problems(root: Any, error: ValidationError, origins: Mapping[Where, str]) -> tuple[str, ...]:
    """Every problem of a failed validation, with the file and line, variable or flag it came from."""
    lines: dict[str, None] = {}
    for one in error.errors(include_url=False, include_context=False):
        where: Where = one["loc"]
        at = _origin(where, origins)
        text = _describe(root, one["type"], where, one["input"])
        lines[f"{at}: {text}" if at else text] = None
    return tuple(lines)


def unknown(root: Any, where: Where) -> str:
    """``unknown setting "arbitre" under selection; did you mean "arbiter"?``."""
    *above, name = where
    place = f" under {dotted(above)}" if above else ""
    guess = _guess(root, above, str(name))
    return f'unknown setting "{name}"{place}' + (f"; did you mean {guess}?" if guess else "")


def dotted(where: Sequence[str | int]) -> str:
    """``selection.strategies[1]``."""
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def shown(value: Any) -> str:
    """A value as a person would recognise it, short."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else text[:37] + "..."


def _describe(root: Any, kind: str, where: Where, value: Any) -> str:
    if kind == "extra_forbidden":
        return unknown(root, where)
    if where[-1] == "[key]":
        return unknown(root, where[:-1])
    if kind == "missing":
        text, near = f'{dotted(where[:-1])} needs "{where[-1]}"', nearest(str(where[-1]), tuple(value))
        return f'{text}; did you mean it by "{near}"?' if near else text
    slot = slot_at(root, where) or Slot(Any)
    # A section written as text may hold anything, a key too.
    got = "text" if slot.is_mapping and isinstance(value, str) else shown(masked(value, where))
    text = f"{dotted(where)} must be {slot.allowed()}, not {got}"
    guess = nearest(value, slot.choices) if isinstance(value, str) and slot.choices else ""
    return f'{text}; did you mean "{guess}"?' if guess else text


def _guess(root: Any, above: Sequence[str | int], name: str) -> str:
    # A right name in the wrong place: the person wrote it one level too high or in another section.
    homes = [dotted(where) for where, _ in leaves(root) if where[-1] == name]
    if len(homes) == 1:
        return homes[0]
    slot = slot_at(root, above)
    found = nearest(name, slot.names()) if slot is not None else ""
    return f'"{found}"' if found else ""


def _origin(where: Where, origins: Mapping[Where, str]) -> str:
    for length in range(len(where), 0, -1):
        if (found := origins.get(where[:length])) is not None:
            return found
    return ""
