"""Settings: YAML to validated, frozen values; built-in < user file < environment < command line.

Importing this package costs nothing: YAML and validation are imported when settings are first loaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mai_core.settings.catalogue import load_catalogue
    from mai_core.settings.edit import Change, propose, set_value, unset_value, validate
    from mai_core.settings.layers import Leaf, LoadedSettings, load_settings
    from mai_core.settings.model import Settings
    from mai_core.settings.tasks import load_task_model

__all__ = [
    "Change",
    "Leaf",
    "LoadedSettings",
    "Settings",
    "load_catalogue",
    "load_settings",
    "load_task_model",
    "propose",
    "set_value",
    "unset_value",
    "validate",
]

_HOME = {
    "Change": "edit",
    "Leaf": "layers",
    "LoadedSettings": "layers",
    "Settings": "model",
    "load_catalogue": "catalogue",
    "load_settings": "layers",
    "load_task_model": "tasks",
    "propose": "edit",
    "set_value": "edit",
    "unset_value": "edit",
    "validate": "edit",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
