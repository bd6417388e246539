"""What a person may set of a probe."""

from __future__ import annotations

from mai_core.errors import SettingsError
from mai_core.plugin.interfaces import ProbeContext

__all__ = ["refuse_options"]


def refuse_options(context: ProbeContext, kind: str) -> None:
    """A probe that needs no options has none. Raises ``SettingsError`` for any."""
    for option in context.options:
        raise SettingsError(f'probes.{context.name}: the {kind} probe has no option "{option}"')
