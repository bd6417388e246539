"""Which server speaks, and what follows from that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

__all__ = ["Kind", "kind_of"]


class Kind(StrEnum):
    """A kind of server; the value is its name for a person."""

    LLAMA_SERVER = "llama-server"
    LLAMA_ROUTER = "llama-server with several models"
    LLAMA_SWAP = "llama-swap"
    VLLM = "vLLM"
    SGLANG = "SGLang"
    LITELLM = "LiteLLM"
    LM_STUDIO = "LM Studio"
    UNKNOWN = "OpenAI-compatible server"

    @property
    def resident(self) -> bool:
        """Whether all that is listed is in memory, for as long as the server runs."""
        return self in (Kind.LLAMA_SERVER, Kind.VLLM, Kind.SGLANG)

    @property
    def loads(self) -> bool:
        """Whether a model is loaded by the first request that names it."""
        return self in (Kind.LLAMA_ROUTER, Kind.LLAMA_SWAP, Kind.LM_STUDIO)

    @property
    def llama(self) -> bool:
        """Whether llama.cpp's server itself answers, which tells of its progress with the prompt when asked to."""
        return self in (Kind.LLAMA_SERVER, Kind.LLAMA_ROUTER)

    @property
    def constrains(self) -> bool:
        """Whether replies follow a JSON schema token by token, whatever the model."""
        return self.llama or self in (Kind.VLLM, Kind.SGLANG, Kind.LM_STUDIO)

    @property
    def forwards(self) -> bool:
        """Whether it passes prompts on to other servers, wherever those are."""
        return self is Kind.LITELLM

    @property
    def continues(self) -> bool:
        """Whether a last message of the assistant can be gone on with."""
        return self.llama or self in (Kind.VLLM, Kind.SGLANG)


_OWNERS = {
    "llamacpp": Kind.LLAMA_SERVER,
    "llama-swap": Kind.LLAMA_SWAP,
    "vllm": Kind.VLLM,
    "sglang": Kind.SGLANG,
    "organization_owner": Kind.LM_STUDIO,
    "organization-owner": Kind.LM_STUDIO,
}
_LITELLM_CREATED = 1677610602
"""LiteLLM gives every model this date."""


def kind_of(rows: Sequence[Mapping[str, Any]], headers: Mapping[str, str]) -> Kind:
    """The kind of server that lists such rows with such headers, by the owner it names for all of them."""
    owners = {owner for row in rows if isinstance(owner := row.get("owned_by"), str)}
    kinds = {_OWNERS.get(owner, Kind.UNKNOWN) for owner in owners} or {Kind.UNKNOWN}
    kind = kinds.pop() if len(kinds) == 1 else Kind.UNKNOWN
    if kind is Kind.UNKNOWN and headers.get("server", "").startswith("llama.cpp"):
        kind = Kind.LLAMA_SERVER
    if kind is Kind.LLAMA_SERVER and any(isinstance(row.get("status"), dict) for row in rows):
        return Kind.LLAMA_ROUTER
    if kind is Kind.UNKNOWN and rows and all(row.get("created") == _LITELLM_CREATED for row in rows):
        return Kind.LITELLM
    return kind
