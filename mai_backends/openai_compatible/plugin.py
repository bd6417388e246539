"""Registers the backend for OpenAI-compatible servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mai_core import hookimpl

if TYPE_CHECKING:
    from mai_core.plugin.interfaces import Backend

__all__ = ["mai_register_backends"]


@hookimpl
def mai_register_backends() -> list[type[Backend]]:
    """llama-server, vLLM, SGLang, llama-swap, LiteLLM and whatever else speaks that protocol."""
    from mai_backends.openai_compatible.backend import OpenAICompatibleBackend

    return [OpenAICompatibleBackend]
