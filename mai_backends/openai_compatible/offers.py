"""What one row of ``/v1/models`` says about a model, whichever server wrote it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mai_backends.openai_compatible.kinds import Kind
from mai_backends.windows import believable
from mai_core.policy.models import Capability

__all__ = ["Offer", "read_offer"]

_TRAINED = ("n_ctx_train", "context_length", "context_window", "max_context_length", "max_input_tokens")
_SERVED = ("served_context", "n_ctx", "loaded_context_length", "max_model_len")
_NO_CHAT = ("embed", "rerank", "image", "audio", "transcription", "speech", "moderation", "tts", "stt")
_LOADED = frozenset({"loaded", "ready", "running"})
_LARGEST = 10**15


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A model a server offers; 0 and empty where it does not tell.

    context   tokens of the window that is served, where it is told; else what the model was trained for
    served    whether ``context`` is what is really served
    loaded    whether it is in memory; None when the row does not tell
    chat      False when the row says that it is for something else
    """

    id: str
    name: str = ""
    context: int = 0
    served: bool = False
    size_bytes: int = 0
    parameters: float = 0.0
    quantisation: str = ""
    capabilities: frozenset[Capability] = frozenset()
    price_in: float = 0.0
    price_out: float = 0.0
    loaded: bool | None = None
    chat: bool = True


def read_offer(row: object, kind: Kind) -> Offer | None:
    """The offer in a row; None for a row without an id. Whatever else is odd in it counts as not told."""
    if not isinstance(row, dict):
        return None
    identifier = row.get("id")
    if not isinstance(identifier, str) or not identifier.strip() or not identifier.isprintable():
        return None
    # Newer llama-swap, the routers and OpenRouter each nest some of it; the outer field comes first.
    top, meta = _mapping(row.get("top_provider")), _mapping(row.get("meta"))
    places = (row, meta, _mapping(meta.get("llamaswap")), top)
    trained, served = _window(places, _TRAINED), _window(places, _SERVED)
    return Offer(
        id=identifier,
        name=_text(row.get("name")),
        context=served or trained,
        served=served > 0,
        size_bytes=_count((meta, row), ("size", "size_bytes")),
        parameters=float(_count((meta, row), ("n_params", "parameters"))),
        quantisation=_text(meta.get("ftype")) or _text(row.get("quantization")),
        capabilities=_capabilities(row, kind),
        price_in=_price(row, "input_cost_per_token", "prompt"),
        price_out=_price(row, "output_cost_per_token", "completion"),
        loaded=_loaded(row),
        chat=_converses(row),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) and value.isprintable() else ""


def _words(value: object) -> frozenset[str]:
    """The names in a list, or those a mapping holds true."""
    if isinstance(value, dict):
        return frozenset(name for name, held in value.items() if held is True)
    return frozenset(word for word in value if isinstance(word, str)) if isinstance(value, list) else frozenset()


def _numbers(places: tuple[Mapping[str, Any], ...], names: tuple[str, ...]) -> Iterator[int]:
    """The positive whole numbers under these names."""
    for name in names:
        for place in places:
            value = place.get(name)
            if isinstance(value, str) and value.isdecimal() and len(value) < 16:
                value = int(value)
            if isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LARGEST:
                yield value


def _count(places: tuple[Mapping[str, Any], ...], names: tuple[str, ...]) -> int:
    return next(_numbers(places, names), 0)


def _window(places: tuple[Mapping[str, Any], ...], names: tuple[str, ...]) -> int:
    """The first that a window can have."""
    return next(filter(None, map(believable, _numbers(places, names))), 0)


def _price(row: Mapping[str, Any], a_token: str, quoted: str) -> float:
    """Money per million tokens: LiteLLM's price a token, or OpenRouter's, which is a text."""
    for value in (row.get(a_token), _mapping(row.get("pricing")).get(quoted)):
        try:
            price = float(value) * 1e6  # type: ignore[arg-type]  # what is no number raises
        except (TypeError, ValueError, OverflowError):
            continue
        if math.isfinite(price) and price > 0 and not isinstance(value, bool):
            return round(price, 9)
    return 0.0


def _loaded(row: Mapping[str, Any]) -> bool | None:
    """LM Studio writes ``state``, llama.cpp's router and llama-swap ``status``, as a text or an object."""
    status = row.get("status")
    for value in (row.get("state"), _mapping(status).get("value") if isinstance(status, dict) else status):
        if isinstance(value, str) and value:
            return value in _LOADED
    return row["loaded"] if isinstance(row.get("loaded"), bool) else None


def _converses(row: Mapping[str, Any]) -> bool:
    """Whether nothing in the row says otherwise."""
    for value in (row.get("type"), row.get("mode"), row.get("task")):
        if isinstance(value, str) and any(word in value.lower() for word in _NO_CHAT):
            return False
    writes = _words(_mapping(row.get("architecture")).get("output_modalities"))
    if writes and "text" not in writes:
        return False
    can = _words(row.get("capabilities"))
    return not (can and all(any(word in name for word in _NO_CHAT) for name in can))


def _capabilities(row: Mapping[str, Any], kind: Kind) -> frozenset[Capability]:
    reads = _words(_mapping(row.get("architecture")).get("input_modalities"))
    can = _words(row.get("capabilities")) | _words(row.get("supported_parameters"))
    found = set()
    if "image" in reads or row.get("type") == "vlm" or row.get("supports_vision") is True or "vision" in can:
        found.add(Capability.VISION)
    if can & {"tools", "tool_use", "function_calling"} or row.get("supports_function_calling") is True:
        found.add(Capability.TOOLS)
    if kind.constrains or can & {"structured_outputs"} or row.get("supports_response_schema") is True:
        found.add(Capability.JSON)
    return frozenset(found)
