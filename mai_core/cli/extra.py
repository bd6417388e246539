"""Commands that plugins add. None of them can keep Mai's own from working."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import typer

from mai_core.cli.invocation import Invocation
from mai_core.errors import SettingsError

__all__ = ["plugin_commands"]


def plugin_commands(invocation: Invocation) -> Mapping[str, Any]:
    """What plugins added, by name; a command that cannot be built is reported as its plugin's fault.

    With settings that cannot be read there are none: ``mai --help`` and ``mai config`` still have to work then.
    """
    with suppress(SettingsError):
        return _collect(invocation)
    return {}


def _collect(invocation: Invocation) -> Mapping[str, Any]:
    app, registry = typer.Typer(), invocation.registry(hasty=True)
    registry.add_commands(app)
    found: dict[str, Any] = {}
    for registered in (*app.registered_commands, *app.registered_groups):
        single = typer.Typer()
        single.callback()(lambda: None)  # keeps a lone command from becoming the whole program
        added = single.registered_groups if registered in app.registered_groups else single.registered_commands
        added.append(registered)  # type: ignore[arg-type]
        try:
            found |= typer.main.get_command(single).commands  # type: ignore[attr-defined]
        except Exception as error:  # noqa: BLE001 - typer judges a plugin's signatures with whatever it likes to raise
            module = getattr(getattr(registered, "callback", None), "__module__", "a plugin")
            registry.report(str(module), "mai_register_commands", f"{type(error).__name__}: {error}", cause=error)
    return found
