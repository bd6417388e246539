"""Settings given outside of a file: ``MAI_SELECTION__ARBITER=first`` and ``--set selection.arbiter=first``.

A setting that holds text takes the text as it is; anything else is read as YAML, so ``[a, b]``, ``true``, ``null`` and
``256 MiB`` mean the same as in a file. Text that begins with a quote is read as YAML too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mai_core.errors import SettingsError
from mai_core.settings.document import Where, parse_value
from mai_core.settings.problems import dotted, unknown
from mai_core.settings.schema import Slot, leaves, nearest, slot_at
from mai_core.settings.spans import render

__all__ = ["Override", "from_environment", "from_flags", "named", "typed_value", "variable", "written"]

FLAG = "command line"
PREFIX = "MAI_"
IGNORED = frozenset({"MAI_HOME"})
"""Variables that are no settings: MAI_HOME says where the settings are."""
IGNORED_PREFIXES = ("MAI_TEST_",)
_NAME_END = re.compile(r"[:\s]")


@dataclass(frozen=True, slots=True)
class Override:
    """One value, the place it is meant for, and who gave it."""

    where: tuple[str, ...]
    value: Any
    origin: str = ""

    @property
    def tree(self) -> dict[str, Any]:
        """The value as a tree of settings in which it stands alone."""
        tree: Any = self.value
        for part in reversed(self.where):
            tree = {part: tree}
        return dict(tree)


def variable(where: Sequence[str]) -> str:
    """The environment variable of a setting."""
    return PREFIX + "__".join(part.upper().replace("-", "_") for part in where)


def from_environment(root: Any, environment: Mapping[str, str], below: Mapping[str, Any]) -> Iterator[Override]:
    """The settings in the environment, in order of their names; an empty variable counts as not set.

    ``below`` is what the files say: it tells ``MY_SERVER`` in a variable to mean the backend ``my-server``. Raises
    ``SettingsError`` for a ``MAI_`` variable that means nothing, naming the nearest that does.
    """
    for name in sorted(environment):
        text = environment[name]
        if not name.startswith(PREFIX) or name in IGNORED or name.startswith(IGNORED_PREFIXES):
            continue
        where = _place(root, name.removeprefix(PREFIX).split("__"), below)
        if where is None:
            known = [variable(leaf) for leaf, _ in leaves(root)]
            guess = nearest(name, known)
            raise SettingsError(f"{name}: no such setting" + (f"; did you mean {guess}?" if guess else ""))
        if text.strip():
            yield Override(where, typed_value(root, where, text, name), name)


def from_flags(root: Any, flags: Sequence[str] | Mapping[str, Any]) -> Iterator[Override]:
    """The settings on a command line: ``name=value`` texts, or a mapping of names to values."""
    given = flags.items() if isinstance(flags, Mapping) else [_split(flag) for flag in flags]
    for name, value in given:
        yield named(root, name, value, FLAG)


def named(root: Any, name: str, value: Any, origin: str = "") -> Override:
    """The setting a person names with dots, and its value; text is read as the setting wants it.

    Raises ``SettingsError`` when there is no such setting; ``origin`` goes in front of what is wrong.
    """
    before = f"{origin}: " if origin else ""
    where = tuple(name.split("."))
    for length in range(1, len(where) + 1):
        if where[length - 1] and slot_at(root, where[:length]) is not None:
            continue
        above = slot_at(root, where[: length - 1])
        if above is not None and not above.is_mapping:
            raise SettingsError(f"{before}{dotted(where[: length - 1])} is not a section but {above.allowed()}")
        raise SettingsError(before + unknown(root, where[:length]))
    typed = typed_value(root, where, value, f"{before}{name}") if isinstance(value, str) else value
    return Override(where, typed, origin)


def typed_value(root: Any, where: Where, text: str, label: str) -> Any:
    """What ``text``, as a person types it, means for the setting at ``where``. Raises ``SettingsError``."""
    slot = slot_at(root, where)
    if slot is not None and slot.is_text and not text.lstrip().startswith(("'", '"')):
        return text
    return parse_value(text, label)


def written(root: Any, where: Where, value: Any) -> str:
    """How a person types this value for the setting at ``where``: what ``typed_value`` reads it back from."""
    slot = slot_at(root, where)
    if slot is not None and slot.is_text and isinstance(value, str) and _is_plain(value):
        return value
    return render(value)


def _is_plain(text: str) -> bool:
    """Whether text can be shown as it is and nothing of it goes unseen."""
    return text == text.strip() != "" and text[0] not in "'\"" and text.replace("\n", "").isprintable()


def _split(flag: str) -> tuple[str, str]:
    name, equals, text = flag.partition("=")
    if not equals:
        # Written with a colon or a blank instead, it has the value in it, which may be a key.
        name, *more = _NAME_END.split(name, maxsplit=1)
        what = f"what follows {name}" if more else name
        raise SettingsError(f"{FLAG}: {what} is not name=value; write --set {name or 'name'}=value")
    return name.strip(), text


def _place(root: Any, parts: Sequence[str], below: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The path a variable's name spells; None when it spells none."""
    where: tuple[str, ...] = ()
    slot: Slot | None = Slot.of(root)
    here: Any = below
    for part in parts:
        if slot is None or not part:
            return None
        name = _name(slot, part.lower(), here)
        slot = slot.below(name)
        here = here.get(name) if isinstance(here, Mapping) else None
        where = (*where, name)
    return None if slot is None else where


def _name(slot: Slot, part: str, here: Any) -> str:
    """Variables know neither case nor hyphens: take the name that exists, else the usual spelling of its kind."""
    existing = {str(name).lower().replace("-", "_"): str(name) for name in (here if isinstance(here, Mapping) else ())}
    if part in existing:
        return existing[part]
    # Names of backends, probes and strategies are written with hyphens, their options with underscores.
    names_people_give = slot.is_mapping and slot.section is None and not slot.below("").is_free  # type: ignore[union-attr]
    return part.replace("_", "-") if names_people_give else part
