"""What ``/api/show`` says about a model. Pure: Ollama passes on the model's own GGUF header, which is read as such."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mai_backends.gguf.facts import facts_of
from mai_backends.gguf.types import Header, Value
from mai_backends.ollama.client.fields import mapping, number, text, texts
from mai_backends.ollama.client.rows import Installed
from mai_backends.windows import believable
from mai_core.policy.models import Architecture, Capability

__all__ = ["Facts", "facts_from", "parameters_of"]

_WEIGHTS = re.compile(r'^FROM\s+"?.*[/\\]sha256[-:]([0-9a-f]{64})"?\s*$', re.MULTILINE | re.IGNORECASE)
_ADAPTER = re.compile(r"^ADAPTER\s", re.MULTILINE | re.IGNORECASE)
_STOP = re.compile(r'^stop\s+(".*")\s*$', re.MULTILINE)
_SIZE = re.compile(r"^\s*([\d.]+)\s*([KMBT]?)\s*$", re.IGNORECASE)
_UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_ENCODERS = ("bert",)
_MAX_ELEMENTS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a model beyond its row.

    ``converses`` is False for one that only embeds or draws; ``sha256`` that of its weights, empty where an adapter
    changes them or it is not told; ``stops`` the texts its own settings end a reply at.
    """

    converses: bool = True
    capabilities: frozenset[Capability] = frozenset({Capability.JSON})
    thinks: bool = False
    architecture: Architecture | None = None
    parameters: float = 0.0
    max_context: int = 0
    quantisation: str = ""
    sha256: str = ""
    stops: tuple[str, ...] = ()


def facts_from(row: Installed, details: Mapping[str, Any]) -> Facts:
    """The facts of the model of ``row``; ``details`` is empty where the server did not tell them."""
    header = _header(details)
    architecture, context = _architecture(header)
    can = _capabilities(row, details)
    listed = mapping(details, "details")
    return Facts(
        converses="completion" in can,
        capabilities=frozenset({Capability.JSON, *(Capability(one) for one in ("vision", "tools") if one in can)}),
        thinks="thinking" in can,
        architecture=architecture,
        parameters=float(number(mapping(details, "model_info"), "general.parameter_count"))
        or parameters_of(text(listed, "parameter_size") or row.parameters),
        max_context=believable(context) or row.context,
        quantisation=text(listed, "quantization_level") or row.quantisation,
        sha256=_weights(text(details, "modelfile")),
        stops=_stops(text(details, "parameters")),
    )


def parameters_of(written: str) -> float:
    """The number of weights in ``8.0B`` or ``134.52M``; 0 for anything else."""
    found = _SIZE.match(written)
    try:
        number = float(found[1]) * _UNITS[found[2].upper()] if found else 0.0
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def _capabilities(row: Installed, details: Mapping[str, Any]) -> frozenset[str]:
    """As the server says; of one too old to say so, what its answer lets guess."""
    told = texts(details, "capabilities")
    if told is not None:
        return frozenset(told)
    if row.capabilities is not None:
        return row.capabilities
    family = row.family.lower()
    can = set() if any(encoder in family for encoder in _ENCODERS) else {"completion"}
    if mapping(details, "projector_info") or family == "mllama":
        can.add("vision")
    if ".Tools" in text(details, "template"):
        can.add("tools")
    return frozenset(can)


def _header(details: Mapping[str, Any]) -> Header:
    """The GGUF header that ``model_info`` shows, but for the tokens, which it holds back."""
    metadata = {key: value for key, one in mapping(details, "model_info").items() if (value := _value(one)) is not None}
    return Header(
        version=3, metadata=metadata, lengths={"tokenizer.ggml.tokens": _vocabulary(metadata, details)}, tensors=()
    )


def _value(value: object) -> Value | None:
    if isinstance(value, list):
        numbers = tuple(one for one in value[:_MAX_ELEMENTS] if isinstance(one, int | float))
        return numbers if len(numbers) == len(value) else None
    return value if isinstance(value, bool | int | float | str) else None


def _vocabulary(metadata: Mapping[str, Value], details: Mapping[str, Any]) -> int:
    """The length of the token embedding, where the header does not say it."""
    if size := number(metadata, f"{text(metadata, 'general.architecture')}.vocab_size"):
        return size
    tensors = details.get("tensors")
    for tensor in tensors if isinstance(tensors, list) else ():
        if isinstance(tensor, dict) and tensor.get("name") == "token_embd.weight":
            shape = tensor.get("shape")
            if isinstance(shape, list) and len(shape) == 2 and isinstance(shape[1], int):
                return max(0, shape[1])
    return 0


def _architecture(header: Header) -> tuple[Architecture | None, int]:
    """What memory follows from, and the context it was trained for; None and 0 for numbers that make no sense."""
    if not header.lengths["tokenizer.ggml.tokens"]:
        name = text(header.metadata, "general.architecture")
        return None, number(header.metadata, f"{name}.context_length")
    try:
        facts = facts_of(header, ())
    except ValueError:
        return None, 0
    return facts.architecture, facts.max_context


def _weights(modelfile: str) -> str:
    """Weights lie in a file named after their digest; a projector's line comes after them."""
    first = _WEIGHTS.search(modelfile)
    return first[1].lower() if first and not _ADAPTER.search(modelfile) else ""


def _stops(parameters: str) -> tuple[str, ...]:
    stops = []
    for quoted in _STOP.findall(parameters):
        try:
            stops.append(json.loads(quoted))
        except ValueError:
            continue
    return tuple(stop for stop in stops if stop)
