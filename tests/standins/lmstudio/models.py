"""What the stand-in has downloaded and what it has loaded, and the rows that tell of it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Instance", "Message", "Reply", "StandInModel", "ToolUse"]

GIB = 1024**3

Message = dict[str, Any]
"""role, and content as text; tool calls and results where the history has them."""


@dataclass(frozen=True)
class ToolUse:
    """A reply that asks for a tool; ``arguments`` None plays a call that the server could not parse."""

    name: str
    arguments: Mapping[str, Any] | None = field(default_factory=dict)
    id: str | None = "call_1"
    before: str = ""


Reply = str | ToolUse | Callable[[list[Message]], "str | ToolUse"]


@dataclass(frozen=True)
class StandInModel:
    """One downloaded model. Bytes, seconds, tokens.

    memory_bytes              what an instance takes without its window; a tenth more than the file if None
    context_bytes_per_token   what each token of the window takes
    prefill_seconds           from the request to the first token
    token_seconds             between tokens
    load_seconds              how long a load takes
    """

    key: str
    path: str = ""
    size_bytes: int = 400 * 1024**2
    architecture: str = "qwen2"
    quantization: str = "Q4_K_M"
    max_context: int = 32768
    vision: bool = False
    tools: bool = True
    reply: Reply = "Hello from the stand-in. I am well, and I answer in several pieces."
    token_seconds: float = 0.0
    prefill_seconds: float = 0.0
    load_seconds: float = 0.0
    memory_bytes: int | None = None
    context_bytes_per_token: int = 12 * 1024
    type: str = "llm"
    format: str = "gguf"
    params: str = "0.5B"
    publisher: str = "stand-in"

    @property
    def file(self) -> str:
        """The path LM Studio would give it, relative to its folder of models."""
        return self.path or f"{self.publisher}/{self.key}-GGUF/{self.key}-{self.quantization}.gguf"

    def memory(self, context: int) -> int:
        """Bytes an instance with this window takes."""
        own = self.memory_bytes if self.memory_bytes is not None else self.size_bytes * 11 // 10
        return own + context * self.context_bytes_per_token

    def row(self) -> dict[str, Any]:
        """The row in ``listDownloadedModels``."""
        row: dict[str, Any] = {
            "type": self.type,
            "modelKey": self.key,
            "format": self.format,
            "displayName": self.key.replace("-", " ").title(),
            "publisher": self.publisher,
            "path": self.file,
            "sizeBytes": self.size_bytes,
            "indexedModelIdentifier": self.file,
            "deviceIdentifier": None,
            "paramsString": self.params,
            "architecture": self.architecture,
            "quantization": {"name": self.quantization, "bits": _bits(self.quantization)},
            "maxContextLength": self.max_context,
        }
        if self.type == "llm":
            row |= {"vision": self.vision, "trainedForToolUse": self.tools}
        return row


def _bits(quantization: str) -> int:
    digits = [character for character in quantization if character.isdigit()]
    return int(digits[0]) if digits else 16


_REFERENCES = itertools.count(1)


@dataclass
class Instance:
    """One loaded model. ``ttl`` in seconds of idleness, None for ever; ``config`` are the keys its load was given."""

    identifier: str
    model: StandInModel
    context: int
    ttl: float | None = None
    config: dict[str, Any] = field(default_factory=dict)
    jit: bool = False
    reference: str = field(default_factory=lambda: f"reference-{next(_REFERENCES)}")
    last_used: float = field(default_factory=time.time)
    predictions: int = 0

    @property
    def key(self) -> str:
        return self.model.key

    def touch(self) -> None:
        """Its time to live begins anew."""
        self.last_used = time.time()

    @property
    def memory(self) -> int:
        """Bytes it takes."""
        return self.model.memory(self.context)

    @property
    def expired(self) -> bool:
        return self.ttl is not None and not self.predictions and time.time() - self.last_used > self.ttl

    def row(self) -> dict[str, Any]:
        """The row in ``listLoaded``."""
        return self.model.row() | {
            "identifier": self.identifier,
            "instanceReference": self.reference,
            "ttlMs": None if self.ttl is None else round(self.ttl * 1000),
            "lastUsedTime": round(self.last_used * 1000),
            "contextLength": self.context,
        }

    def load_config(self) -> dict[str, Any]:
        """The answer to ``getLoadConfig``."""
        prefix = "embedding" if self.model.type == "embedding" else "llm"
        fields = {f"{prefix}.load.contextLength": self.context} | self.config
        return {"fields": [{"key": key, "value": value} for key, value in fields.items()]}
