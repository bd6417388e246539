"""Changing the person's settings file: checked first, then written whole, with every comment kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mai_core.errors import SettingsError
from mai_core.settings.document import Document, Where, display, parse_document, read_document, read_text
from mai_core.settings.files import write_atomically
from mai_core.settings.layers import Layers, contradictions
from mai_core.settings.model import Settings
from mai_core.settings.overrides import named
from mai_core.settings.problems import dotted, problems
from mai_core.settings.secrecy import NO_SECRET, WAYS, exposed
from mai_core.settings.spans import remove, replace

__all__ = ["Change", "propose", "set_value", "unset_value", "validate"]

_HEADER = "# My settings for Mai: only what differs from the defaults. `mai config show` lists every setting.\n\n"


@dataclass(frozen=True, slots=True)
class Change:
    """One setting as it is to be in a settings file: found valid, and not written yet.

    ``document`` is what the file will say, ``text`` how.
    """

    file: Path
    where: tuple[str, ...]
    value: Any
    document: Document
    text: str

    def write(self) -> None:
        """Write the file, whole. Raises ``SettingsError`` and leaves it as it was when that fails."""
        _write(self.file, self.text)


def set_value(file: Path, name: str, value: Any) -> Any:
    """Set one setting in a settings file, creating the file if needed; returns the value as stored.

    Raises ``SettingsError``, and leaves the file as it was, for whatever ``propose`` refuses, and when the file cannot
    be written.
    """
    change = propose(file, name, value)
    change.write()
    return change.value


def propose(file: Path, name: str, value: Any) -> Change:
    """What setting one setting would make of a settings file, which need not exist.

    ``name`` is written with dots. ``value`` is text as a person types it, or a Python value. Raises ``SettingsError``
    when the name or value is wrong, when the value holds a secret, and when the file would not be valid.
    """
    override = named(Settings, name, value)
    for where in exposed(override.value, override.where):
        raise SettingsError(f"{dotted(where)}: {NO_SECRET}", remedy=WAYS)
    document = read_document(file)
    layers = _over_defaults(document)
    layers.add(override.tree, {override.where: ""})  # not yet on any line
    _refuse(_problems(layers))
    text = read_text(file)
    text = replace(_HEADER if text is None else text, override.where, override.value, document.label)
    return Change(file, override.where, override.value, parse_document(text, document.label), text)


def unset_value(file: Path, name: str) -> bool:
    """Take one setting, or a section, out of a settings file; False when it is not there. Raises ``SettingsError``."""
    text = read_text(file)
    if text is None:
        return False
    changed = remove(text, name.split("."), display(file))
    if changed == text:
        return False
    _refuse(_problems(_over_defaults(parse_document(changed, display(file)))))
    _write(file, changed)
    return True


def validate(file: Path) -> tuple[str, ...]:
    """Everything wrong with a settings file, a line each; empty when nothing is. A secret in it is named, not shown."""
    try:
        document = read_document(file)
    except SettingsError as error:
        return (str(error),)
    secrets = (f"{_at(document, where)}: {dotted(where)}: {NO_SECRET}; {WAYS}" for where in exposed(document.data))
    return (*_problems(_over_defaults(document)), *dict.fromkeys(secrets))


def _at(document: Document, where: Where) -> str:
    return f"{document.label}:{document.lines[where]}"


def _write(file: Path, text: str) -> None:
    try:
        write_atomically(file, text)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SettingsError(f"{display(file)} cannot be written: {reason}", remedy="nothing was changed") from error


def _refuse(found: tuple[str, ...]) -> None:
    if found:
        raise SettingsError(found[0], remedy="nothing was changed", detail="\n".join(found))


def _over_defaults(document: Document) -> Layers:
    layers = Layers()
    layers.add(Settings().model_dump(mode="json"))
    layers.add_document(document)
    return layers


def _problems(layers: Layers) -> tuple[str, ...]:
    from pydantic import ValidationError

    try:
        settings = Settings.model_validate(layers.tree)
    except ValidationError as error:
        return problems(Settings, error, layers.origins)
    return tuple(contradictions(settings, layers.origins))
