"""Remote calls: what each answers."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

from tests.standins.faults import Fault
from tests.standins.lmstudio import problems
from tests.standins.lmstudio.conversing import messages_of, prompt_of
from tests.standins.lmstudio.loading import config_of
from tests.standins.lmstudio.machine import DEFAULT_CONTEXT, Machine
from tests.standins.lmstudio.text import token_ids

__all__ = ["VOID", "calls_of"]

Call = Callable[[Machine, str, Any], Awaitable[Any]]

IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF")
"""How files begin that LM Studio takes for images."""

VOID = object()
"""The answer of a call that returns nothing: ``rpcResult`` without ``result``."""

MALFORMED: tuple[Any, ...] = (
    None,
    "a row that is text",
    {},
    {"type": "llm", "modelKey": "no-path-no-size"},
    {"type": "llm", "modelKey": 7, "format": "gguf", "displayName": None, "path": [], "sizeBytes": "many"},
    {"type": "drafter", "modelKey": "drafter-of-the-future", "format": "gguf", "path": "a/b", "sizeBytes": 1},
    {"type": "llm", "modelKey": "phone-model", "format": "pte", "path": "c/d", "sizeBytes": 1, "maxContextLength": 1},
)


async def list_downloaded(machine: Machine, domain: str, parameter: Any) -> Any:
    await machine.held(Fault.HANGS_AT_LISTING)
    rows: list[Any] = [model.row() for model in machine.models.values()]
    return rows


async def list_loaded(machine: Machine, domain: str, parameter: Any) -> Any:
    await machine.held(Fault.HANGS_AT_LISTING)
    machine.sweep()
    return [each.row() for each in machine.instances.values() if each.model.type == domain]


async def unload(machine: Machine, domain: str, parameter: Any) -> Any:
    machine.sweep()
    if machine.instances.pop(parameter["identifier"], None) is None:
        raise problems.identifier_not_found(parameter["identifier"], machine.instances)
    return VOID


async def model_info(machine: Machine, domain: str, parameter: Any) -> Any:
    try:
        return machine.instance(parameter["specifier"], domain).row()
    except problems.Problem:
        if parameter["throwIfNotFound"]:
            raise
        return VOID


async def load_config(machine: Machine, domain: str, parameter: Any) -> Any:
    return machine.instance(parameter["specifier"], domain).load_config()


async def estimate(machine: Machine, domain: str, parameter: Any) -> Any:
    model = machine.model(parameter["modelKey"], domain)
    config = config_of(parameter["loadConfigStack"])
    context = int(config.get(f"{domain}.load.contextLength", DEFAULT_CONTEXT))
    total = model.memory(context)
    window = context * model.context_bytes_per_token
    return {
        "memory": {
            "confidence": "high",
            "modelVramBytes": 0,
            "contextVramBytes": 0,
            "totalVramBytes": 0,
            "modelBytes": total - window,
            "contextBytes": window,
            "totalBytes": total,
        },
        "passesGuardrails": machine.used() + total <= machine.memory,
    }


async def processing_state(machine: Machine, domain: str, parameter: Any) -> Any:
    busy = machine.instance(parameter["specifier"], domain).predictions
    return {"status": "generating" if busy else "idle", "queued": max(0, busy - 1)}


async def tokenize(machine: Machine, domain: str, parameter: Any) -> Any:
    machine.instance(parameter["specifier"], domain).touch()
    return {"tokens": token_ids(parameter["inputString"])}


async def count_tokens(machine: Machine, domain: str, parameter: Any) -> Any:
    machine.instance(parameter["specifier"], domain).touch()
    return {"tokenCount": len(token_ids(parameter["inputString"]))}


async def apply_template(machine: Machine, domain: str, parameter: Any) -> Any:
    machine.instance(parameter["specifier"], domain).touch()
    return {"formatted": prompt_of(messages_of(parameter["history"]), open_end=True)}


async def embed(machine: Machine, domain: str, parameter: Any) -> Any:
    machine.instance(parameter["modelSpecifier"], domain).touch()
    values = [0.0] * 8
    for token in token_ids(parameter["inputString"]):
        values[token % 8] += 1.0
    length = sum(value * value for value in values) ** 0.5 or 1.0
    return {"embedding": [value / length for value in values]}


async def upload_base64(machine: Machine, domain: str, parameter: Any) -> Any:
    data = base64.b64decode(parameter["contentBase64"], validate=True)
    identifier = f"{len(machine.files)} - {parameter['name']}"
    machine.files[identifier] = data
    kind = "image" if data.startswith(IMAGES) else "unknown"
    return {"identifier": identifier, "fileType": kind, "sizeBytes": len(data)}


async def version(machine: Machine, domain: str, parameter: Any) -> Any:
    return {"version": "0.4.0", "build": 1}


async def info(machine: Machine, domain: str, parameter: Any) -> Any:
    return {"pid": 1, "isDaemon": False, "version": "0.4.0"}


_OF_MODELS: dict[str, Call] = {
    "listLoaded": list_loaded,
    "unloadModel": unload,
    "getModelInfo": model_info,
    "getLoadConfig": load_config,
    "getInstanceProcessingState": processing_state,
    "estimateModelUsage": estimate,
    "tokenize": tokenize,
    "countTokens": count_tokens,
}

_CALLS: dict[str, dict[str, Call]] = {
    "llm": _OF_MODELS | {"applyPromptTemplate": apply_template},
    "embedding": _OF_MODELS | {"embedString": embed},
    "system": {"listDownloadedModels": list_downloaded, "version": version, "info": info},
    "files": {"uploadFileBase64": upload_base64},
    "repository": {},
}


def calls_of(namespace: str) -> dict[str, Call]:
    """The calls a namespace knows."""
    return _CALLS.get(namespace, {})
