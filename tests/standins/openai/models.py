"""What a stand-in serves and how each kind of server lists it."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["IMAGE_TOKENS", "REPLY", "Flavour", "StandInModel", "images_of", "row", "text_of", "tokens_of"]

IMAGE_TOKENS = 256

REPLY = "Once upon a time a dragon lived near a lake and counted its coins every evening. " * 16
_TOKEN = re.compile(r"\s*\S+|\s+")


class Flavour(StrEnum):
    """The server that is stood in for."""

    LLAMA_SERVER = "llama-server"
    LLAMA_SWAP = "llama-swap"
    VLLM = "vllm"
    LITELLM = "litellm"
    LM_STUDIO = "lm-studio"
    OPENAI = "openai"


@dataclass(slots=True, kw_only=True)
class StandInModel:
    """A model and its script.

    context         tokens of its window
    reply           what it answers: a text, or a function of the messages
    thoughts        what it thinks before it answers
    calls           tool calls it asks for when it is given tools: pairs of a name and its arguments as JSON
    token_seconds   between tokens
    load_seconds    until a router has loaded it
    embeds          whether it is no chat model, as far as its kind of server tells
    vision          whether it sees images
    """

    key: str = "tiny"
    context: int = 4096
    reply: str | Callable[[Sequence[dict[str, Any]]], str] = REPLY
    thoughts: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    token_seconds: float = 0.001
    load_seconds: float = 0.05
    embeds: bool = False
    vision: bool = False

    def answer(self, messages: Sequence[dict[str, Any]]) -> str:
        """The reply to these messages."""
        return self.reply(messages) if callable(self.reply) else self.reply


def tokens_of(text: str) -> list[str]:
    """A word with the white space before it is a token here."""
    return _TOKEN.findall(text)


def text_of(message: dict[str, Any]) -> str:
    """What a message says, as one text or in parts."""
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(str(part.get("text", "")) for part in content)


def images_of(message: dict[str, Any]) -> list[bytes]:
    """What a message shows. Raises ``ValueError`` for an image that is not whole in its URL."""
    found = []
    for part in message["content"] if isinstance(message.get("content"), list) else ():
        if part["type"] == "image_url":
            kind, comma, data = part["image_url"]["url"].partition(";base64,")
            if not comma or not kind.startswith("data:image/"):
                raise ValueError("no data URL")
            found.append(base64.b64decode(data, validate=True))
    return found


def row(flavour: Flavour, model: StandInModel, *, loaded: bool) -> dict[str, Any]:
    """The row of ``/v1/models``."""
    common: dict[str, Any] = {"id": model.key, "object": "model", "created": 1795386109}
    reads = ["text", "image"] if model.vision else ["text"]
    if flavour is Flavour.LLAMA_SERVER:
        meta = {"n_ctx_train": 8 * model.context, "n_params": 134515008, "size": 96576768, "ftype": "Q4_1"}
        return {**common, "owned_by": "llamacpp", "meta": meta, "architecture": {"input_modalities": reads}}
    if flavour is Flavour.LLAMA_SWAP:
        return {**common, "owned_by": "llama-swap", "name": model.key.title()}
    if flavour is Flavour.VLLM:
        return {**common, "owned_by": "vllm", "root": model.key, "parent": None, "max_model_len": model.context}
    if flavour is Flavour.LITELLM:
        return {**common, "created": 1677610602, "owned_by": "openai", "mode": "chat"}
    if flavour is Flavour.LM_STUDIO:
        return {**common, "owned_by": "organization_owner"}
    return {**common, "owned_by": "system"}


def lm_studio_row(model: StandInModel, *, loaded: bool) -> dict[str, Any]:
    """The row of LM Studio's own REST interface."""
    told: dict[str, Any] = {
        "id": model.key,
        "object": "model",
        "type": "embeddings" if model.embeds else "vlm" if model.vision else "llm",
        "publisher": "someone",
        "arch": "llama",
        "compatibility_type": "gguf",
        "quantization": "Q4_K_M",
        "state": "loaded" if loaded else "not-loaded",
        "max_context_length": 8 * model.context,
        "capabilities": ["tool_use"],
    }
    return {**told, "loaded_context_length": model.context} if loaded else told


def litellm_row(model: StandInModel) -> dict[str, Any]:
    """The row of LiteLLM's ``/model/info``."""
    info = {
        "id": "353e2b79",
        "mode": "embedding" if model.embeds else "chat",
        "max_input_tokens": model.context,
        "input_cost_per_token": 1e-06,
        "output_cost_per_token": 2e-06,
        "supports_vision": model.vision or None,
        "supports_function_calling": True,
    }
    return {"model_name": model.key, "litellm_params": {"model": f"openai/{model.key}"}, "model_info": info}
