"""Changing the person's settings file: checked first, then written whole, with every comment kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mai_core.errors import SettingsError
from mai_core.settings.document import Document, display, parse_document, read_document, read_text
from mai_core.settings.files import write_atomically
from mai_core.settings.layers import Layers, contradictions
from mai_core.settings.model import Settings
from mai_core.settings.overrides import named
from mai_core.settings.problems import problems
from mai_core.settings.spans import remove, replace

__all__ = ["set_value", "unset_value", "validate"]

_HEADER = "# My settings for Mai: only what differs from the defaults. `mai config show` lists every setting.\n\n"


def set_value(file: Path, name: str, value: Any) -> Any:
    """Set one setting in a settings file, creating the file if needed; returns the value as stored.

    ``name`` is written with dots. ``value`` is text as a person types it, or a Python value. Raises ``SettingsError``,
    and leaves the file as it was, when the name or value is wrong, when the file would not be valid, or when it cannot
    be written.
    """
    override = named(Settings, name, value)
    document = read_document(file)
    layers = _over_defaults(document)
    layers.add(override.tree, {override.where: ""})  # not yet on any line
    _refuse(_problems(layers))
    text = read_text(file)
    _write(file, replace(_HEADER if text is None else text, override.where, override.value, document.label))
    return override.value


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
    """Everything wrong with a settings file, a line each; empty when nothing is."""
    try:
        return _problems(_over_defaults(read_document(file)))
    except SettingsError as error:
        return (str(error),)


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
