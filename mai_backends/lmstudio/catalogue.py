"""LM Studio's rows as models. Rows are checked one by one: what cannot be understood costs that row and no other."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mai_backends.windows import believable
from mai_core.policy.models import Architecture, Capability, ModelProfile, Tier

__all__ = ["DEFAULT_CONTEXT", "LoadedRow", "ModelRow", "loaded_rows", "model_rows", "parameters_of", "profile"]

log = logging.getLogger("mai.lmstudio")

DEFAULT_CONTEXT = 2048
"""Tokens LM Studio takes for the window where nothing says otherwise."""

_MOST = 1 << 50
"""Bytes, or milliseconds: a petabyte, or some 35,000 years. Who tells more tells nothing."""

_PARAMETERS = re.compile(r"\s*(?:(\d+)\s*[xX]\s*)?(\d+(?:\.\d+)?)\s*([KMBT])\b", re.IGNORECASE)
_UNITS = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_LLM = "llm"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A language model LM Studio has on its disk. ``path`` is relative to its folder of models."""

    key: str
    path: str = ""
    name: str = ""
    format: str = ""
    architecture: str = ""
    quantisation: str = ""
    size_bytes: int = 0
    parameters: float = 0.0
    max_context: int = DEFAULT_CONTEXT
    vision: bool = False
    tools: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedRow:
    """An instance in LM Studio's memory, whoever loaded it. ``ttl`` in seconds of idleness, None for ever."""

    identifier: str
    model: ModelRow
    context: int = DEFAULT_CONTEXT
    ttl: float | None = None


class _Unusable(ValueError):
    """Why a row is left out."""


def model_rows(rows: Iterable[Any]) -> list[ModelRow]:
    """The language models among the rows of ``listDownloadedModels``, each key once."""
    found: dict[str, ModelRow] = {}
    for row in _objects(rows):
        try:
            model = _model(row)
        except _Unusable as error:
            _left_out(row, error)
        else:
            found.setdefault(model.key, model)
    return list(found.values())


def loaded_rows(rows: Iterable[Any]) -> list[LoadedRow]:
    """The instances among the rows of ``listLoaded``."""
    found: dict[str, LoadedRow] = {}
    for row in _objects(rows):
        try:
            loaded = LoadedRow(
                identifier=_required(row, "identifier"),
                model=_model(row),
                context=believable(row.get("contextLength")) or DEFAULT_CONTEXT,
                ttl=_number(row, "ttlMs") / 1000 or None,
            )
        except _Unusable as error:
            _left_out(row, error)
        else:
            found.setdefault(loaded.identifier, loaded)
    return list(found.values())


def profile(row: ModelRow, *, backend: str, host: str, remote: bool, architecture: Architecture | None) -> ModelProfile:
    """A row as the core wants it; ``architecture`` where the header of its file could be read."""
    capabilities = {Capability.JSON}
    if row.vision:
        capabilities.add(Capability.VISION)
    if row.tools:
        capabilities.add(Capability.TOOLS)
    return ModelProfile(
        key=row.key,
        backend=backend,
        location=row.key,
        host=host,
        remote=remote,
        name=row.name,
        size_bytes=row.size_bytes,
        parameters=row.parameters,
        quantisation=row.quantisation,
        max_context=row.max_context,
        architecture=architecture,
        capabilities=frozenset(capabilities),
        tier=Tier.of_parameters(row.parameters or row.size_bytes * 1.6),
    )


def parameters_of(text: str) -> float:
    """``7B``, ``0.5B``, ``135M`` or ``8x7B`` as a number; 0 for anything else."""
    match = _PARAMETERS.match(text)
    if match is None:
        return 0.0
    experts, number, unit = match.groups()
    parameters = float(experts or 1) * float(number) * _UNITS[unit.upper()]
    return parameters if math.isfinite(parameters) else 0.0


def _model(row: Mapping[str, Any]) -> ModelRow:
    if (kind := row.get("type", _LLM)) != _LLM:
        raise _Unusable(f"of the type {kind!r}")
    if row.get("deviceIdentifier"):
        raise _Unusable("on another device")
    if not (size := _number(row, "sizeBytes")):
        raise _Unusable("without sizeBytes")
    return ModelRow(
        key=_required(row, "modelKey"),
        path=_text(row, "path"),
        name=_text(row, "displayName"),
        format=_text(row, "format").lower(),
        architecture=_text(row, "architecture"),
        quantisation=_quantisation(row.get("quantization")),
        size_bytes=size,
        parameters=parameters_of(_text(row, "paramsString")),
        max_context=believable(row.get("maxContextLength")) or DEFAULT_CONTEXT,
        vision=row.get("vision") is True,
        tools=row.get("trainedForToolUse") is True,
    )


def _objects(rows: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    for row in rows:
        if isinstance(row, Mapping):
            yield row
        else:
            _left_out({}, _Unusable(f"a {type(row).__name__} where a model should be"))


def _required(row: Mapping[str, Any], field: str) -> str:
    if not (text := _text(row, field)):
        raise _Unusable(f"without {field}")
    return text


def _text(row: Mapping[str, Any], field: str) -> str:
    value = row.get(field)
    return value.strip() if isinstance(value, str) and value.isprintable() else ""


def _number(row: Mapping[str, Any], field: str) -> int:
    """A whole number that is not negative; 0 where there is none."""
    value = row.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST:
        return 0
    return int(value)


def _quantisation(value: Any) -> str:
    """Newer servers tell ``{"name": "Q4_K_M", "bits": 4}``."""
    return _text(value, "name") if isinstance(value, Mapping) else _text({"name": value}, "name")


def _left_out(row: Mapping[str, Any], why: _Unusable) -> None:
    log.debug("model left out", extra={"model": str(row.get("modelKey", ""))[:200], "why": str(why)[:200]})
