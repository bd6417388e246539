"""What newer servers send and take beyond the classes of the SDK, as the sources of the JavaScript SDK give it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from lmstudio import _sdk_models as sdk

__all__ = ["ENDPOINTS", "FIELDS", "Field", "wrong_newer"]


class _Usage(msgspec.Struct, forbid_unknown_fields=True):
    confidence: Literal["high", "low"]
    modelVramBytes: float
    contextVramBytes: float
    totalVramBytes: float
    modelBytes: float
    contextBytes: float
    totalBytes: float


class _Estimate(msgspec.Struct, forbid_unknown_fields=True):
    memory: _Usage
    passesGuardrails: bool


class _EstimateParameter(msgspec.Struct, forbid_unknown_fields=True):
    modelKey: str
    loadConfigStack: sdk.KvConfigStack
    deviceIdentifier: str | None = None


class _State(msgspec.Struct, forbid_unknown_fields=True):
    status: Literal["idle", "processingPrompt", "generating", "computingEmbedding"]
    queued: int


class _Info(msgspec.Struct, forbid_unknown_fields=True):
    pid: int
    isDaemon: bool
    version: str


class _Quantization(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    bits: int


class _Details(msgspec.Struct, forbid_unknown_fields=True):
    cachedTokenCount: float
    totalPromptTokenCount: float
    processedPromptTokenCount: float
    unprocessedPromptTokenCount: float


ENDPOINTS: dict[tuple[str, str], dict[str, Any]] = {
    **{
        (domain, "estimateModelUsage"): {"parameter": _EstimateParameter, "returns": _Estimate}
        for domain in ("llm", "embedding")
    },
    **{
        (domain, "getInstanceProcessingState"): {"parameter": sdk.LlmRpcGetModelInfoParameter, "returns": _State}
        for domain in ("llm", "embedding")
    },
    ("system", "info"): {"returns": _Info},
}
"""Endpoints the SDK has no classes for, with the types of their sides; a side left out says nothing."""


@dataclass(frozen=True)
class Field:
    """A key newer than the SDK's classes. ``inside`` is a pattern of the places of the objects it is in."""

    inside: str
    key: str
    type: Any
    required: bool


_ROW = r".*\.(listDownloadedModels\.returns\[\]|info|modelInfo|getModelInfo\.returns|listLoaded\.returns\[\])"
_LOADED = (
    r"(.*\.(modelInfo|getModelInfo\.returns|listLoaded\.returns\[\])"
    r"|.*\[(success|alreadyLoaded|loadSuccess|unloadingOtherJITModel)\]\.info)"
)

FIELDS = (
    Field(_ROW, "publisher", str, True),
    Field(_ROW, "indexedModelIdentifier", str, True),
    Field(_ROW, "deviceIdentifier", str | None, True),
    Field(_ROW, "quantization", _Quantization, False),
    Field(_ROW, "variants", list[str], False),
    Field(_ROW, "selectedVariant", str, False),
    Field(_LOADED, "ttlMs", float | None, True),
    Field(_LOADED, "lastUsedTime", float | None, True),
    Field(r"llm\.predict\.toClientPacket\[fragment\]\.fragment", "isStructural", bool, True),
    Field(r"llm\.predict\.toClientPacket\[promptProcessingProgress\]", "details", _Details, True),
    Field(r"llm\.predict\.toClientPacket\[success\]\.stats", "totalTimeSec", float, False),
    Field(r"llm\.predict\.toClientPacket\[success\]\.stats", "stopString", str, False),
    Field(r"llm\.predict\.toClientPacket\[toolCallGenerationStart\]", "toolCallId", str, False),
    Field(r".*\.toClientPacket\[toolCallGeneration(End|Failed)\]", "rawContent", str, False),
    Field(r".*\.(loadModel|getOrLoad)\.creationParameter", "deviceIdentifier", str | None, False),
    Field(r".*\.unloadModel\.parameter", "deviceIdentifier", str | None, False),
)


def wrong_newer(where: str, data: Any, kept: Any) -> Iterator[str]:
    """What of ``data`` the SDK's class did not keep and no newer field explains, and newer fields left out."""
    if isinstance(data, list) and isinstance(kept, list):
        for inner, inner_kept in zip(data, kept, strict=True):
            yield from wrong_newer(f"{where}[]", inner, inner_kept)
        return
    if not isinstance(data, dict) or not isinstance(kept, dict):
        return
    place = where
    if where.endswith("toClientPacket") and "type" in data:
        place = f"{where}[{data['type']}]"
    fields = {field.key: field for field in FIELDS if re.fullmatch(field.inside, place)}
    for key, value in data.items():
        if key in kept:
            yield from wrong_newer(f"{place}.{key}", value, kept[key])
        elif key in fields:
            yield from _wrong_value(f"{place}.{key}", value, fields[key].type)
        elif value is not None:
            yield f"{place}: unknown key {key!r}"
    for field in fields.values():
        if field.required and field.key not in data:
            yield f"{place}: newer servers always send {field.key!r}"


def _wrong_value(where: str, value: Any, expected: Any) -> Iterator[str]:
    try:
        msgspec.convert(value, expected)
    except msgspec.ValidationError as error:
        yield f"{where}: {error}"
