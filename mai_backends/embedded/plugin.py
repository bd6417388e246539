"""Registers the embedded engine that comes with Mai."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mai_core import hookimpl

if TYPE_CHECKING:
    from mai_core.plugin.interfaces import Backend

__all__ = ["mai_register_backends"]


@hookimpl
def mai_register_backends() -> list[type[Backend]]:
    """llama.cpp inside Mai."""
    from mai_backends.embedded.backend import EmbeddedBackend

    return [EmbeddedBackend]
