"""Keeps the shape of a frame and drops what people and models wrote.

Text is dropped unless its key is known to hold none: a field nobody has seen yet is private until shown otherwise.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["redacted", "without_secrets"]

_KEPT = frozenset(
    (
        # of the protocol
        *("type", "endpoint", "kind", "code", "layerName", "key", "role", "error"),
        # of models
        *("modelKey", "format", "displayName", "publisher", "path", "indexedModelIdentifier", "deviceIdentifier"),
        *("paramsString", "architecture", "variants", "selectedVariant", "identifier", "instanceReference", "domain"),
        *("availablePathsSample", "loadedModelsSample", "actualDomain", "expectedDomain", "feature", "engineName"),
        *("engineType", "installedVersion", "supportedVersion", "ambiguous", "draftModelKey", "usedDraftModelKey"),
        # of what happens
        *("reasoningType", "stopReason", "status", "confidence", "title", "rootTitle", "cause", "suggestion"),
        *("version", "id", "toolCallId", "fuzzyPresetIdentifier", "name"),
    )
)
_EMPTIED = frozenset(
    ("arguments", "tokens", "embedding", "jsonSchema", "tools", "toolDefinitions", "errorData", "properties")
)
"""Objects and lists whose very keys or numbers tell what was written."""

_PRIVATE_SETTINGS = re.compile(
    r".*\.(systemPrompt|structured|tools|stopStrings|toolCallStopStrings|contextPrefill)|ext\..*"
)


def without_secrets(message: Any) -> Any:
    """The message without what a client proves itself with."""
    if isinstance(message, dict) and "clientPasskey" in message:
        return message | {"clientPasskey": "redacted", "clientIdentifier": "redacted"}
    return message


def redacted(value: Any, key: str = "", *, private: bool = False) -> Any:
    """``value`` in its shape, with how long each dropped text was; ``private`` drops all text but types.

    Secrets must be gone already.
    """
    if key in _EMPTIED and isinstance(value, (dict, list)):
        return type(value)()
    if isinstance(value, dict):
        if "clientPasskey" in value:
            return value
        if set(value) == {"key", "value"}:
            return _setting(value)
        # the words of a failed tool call's error quote the model
        private = private or value.get("type") == "toolCallGenerationFailed"
        return {name: redacted(inner, _name(name, value), private=private) for name, inner in value.items()}
    if isinstance(value, list):
        return [redacted(inner, key, private=private) for inner in value]
    if isinstance(value, str) and (key not in _KEPT or (private and key != "type")):
        return f"<{len(value)} characters>"
    return value


def _name(name: str, inside: dict[str, Any]) -> str:
    """A tool's or a file's name is somebody's own; a quantisation's is not."""
    return "private name" if name == "name" and "bits" not in inside else name


def _setting(field: dict[str, Any]) -> dict[str, Any]:
    if not _PRIVATE_SETTINGS.fullmatch(field["key"]):
        return field
    value = field["value"]
    return {"key": field["key"], "value": [] if isinstance(value, list) else redacted(value, private=True)}
