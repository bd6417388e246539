"""From a section of the settings to a backend's options; what is wrong is said in one line, with the nearest name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from mai_core.errors import SettingsError
from mai_core.settings.schema import slot_at
from mai_core.settings.secrecy import NO_SECRET, WAYS, exposed

__all__ = ["options_of"]

_OF_ALL = ("type", "enabled")
"""What every section has beside its backend's options."""

Options = TypeVar("Options", bound=BaseModel)


def options_of(model: type[Options], name: str, options: Mapping[str, Any]) -> Options:
    """The options of the backend ``name``.

    Raises ``SettingsError`` for one it does not know or understand. What was written is not repeated: it may be a key.
    """
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        # What is wrong comes before what is still missing: settings are written one by one.
        found = error.errors(include_input=False, include_context=False, include_url=False)
        first = min(found, key=lambda each: each["type"] == "missing")
        place = [str(part) for part in first["loc"]]
        where = ".".join(("backends", name, *place))
        if first["type"] == "extra_forbidden":
            names = _names(model, first["loc"][:-1])
            near = difflib.get_close_matches(place[-1], [*names, *(_OF_ALL if len(place) == 1 else ())], n=1)
            known = f'did you mean "{near[0]}"?' if near else f"there are: {', '.join(names) or 'none'}"
            raise SettingsError(f"{where}: there is no such option", remedy=known) from None
        if first["type"] == "missing":
            raise SettingsError(f"{where} is not set", remedy=f"mai config set {where} VALUE") from None
        said = first["msg"].removeprefix("Value error, ")
        if _quotes_a_secret(said, name, options):
            raise SettingsError(f"{where}: {NO_SECRET}", remedy=WAYS) from None
        raise SettingsError(f"{where}: {said[:1].lower()}{said[1:]}") from None


def _quotes_a_secret(said: str, name: str, options: Mapping[str, Any]) -> bool:
    """Whether a complaint repeats a key, or who an address lets in: who checks a value may quote a part of it."""
    for _, _, *where in exposed(options, ("backends", name)):
        value: Any = options
        for part in where:
            value = value[part]
        user_and_password = str(value).rpartition("@")[0].rpartition("/")[2]
        if str(value) in said or (user_and_password and user_and_password in said):
            return True
    return False


def _names(model: type[BaseModel], where: Sequence[str | int]) -> list[str]:
    """The options there are at a place within a model's options, as they are written."""
    slot = slot_at(model, where)
    kinds = () if slot is None else (slot.kind, *get_args(slot.kind))
    sections = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return [field.alias or name for section in sections for name, field in section.model_fields.items()]
