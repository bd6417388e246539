"""The keys and values of configuration stacks, against what the SDK itself makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from lmstudio import _kv_config as kv

__all__ = ["NEWER_KEYS", "wrong_settings"]

NEWER_KEYS = frozenset(
    f"llm.{key}"
    for key in (
        *("prediction.seed", "prediction.systemPrompt", "prediction.toolChoice", "prediction.toolNaming"),
        *("prediction.logProbs", "prediction.reasoning.enableThinking", "prediction.reasoning.budgetTokens"),
        *("prediction.llama.frequencyPenalty", "prediction.llama.presencePenalty"),
        *("load.numParallelSessions", "load.useUnifiedKvCache", "load.autoFitMinContextLength"),
        *("load.llama.cpuThreadPoolSize", "load.llama.autoFit", "load.mlx.autoFit", "load.yuzu.autoFit"),
    )
)
"""Keys of ``globalConfigSchematics`` in the JavaScript SDK that this SDK does not read."""


def wrong_settings(where: str, packet: dict[str, Any]) -> Iterator[str]:
    """Misspelt keys and values the SDK could not read back. LM Studio passes over the keys without a word."""
    for name in ("loadConfigStack", "predictionConfigStack"):
        for layer in packet.get(name, {}).get("layers", ()):
            for field in layer["config"]["fields"]:
                yield from _wrong(f"{where}.{name}", field)


def _wrong(where: str, field: dict[str, Any]) -> Iterator[str]:
    key = field["key"]
    if key in NEWER_KEYS:
        return
    if key not in kv.FROM_SERVER_CONFIG:
        yield f"{where}: unknown setting {key!r}"
        return
    read = kv.parse_prediction_config if key in kv.FROM_SERVER_PREDICTION else kv.parse_llm_load_config
    try:
        read({"fields": [field]})
    except (msgspec.ValidationError, AttributeError, TypeError) as error:
        yield f"{where}: {key}: {error}"
