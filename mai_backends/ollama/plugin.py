"""Registers Ollama."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mai_core import hookimpl

if TYPE_CHECKING:
    from mai_core.plugin.interfaces import Backend

__all__ = ["mai_register_backends"]


@hookimpl
def mai_register_backends() -> list[type[Backend]]:
    """The models of an Ollama server."""
    from mai_backends.ollama.backend import OllamaBackend

    return [OllamaBackend]
