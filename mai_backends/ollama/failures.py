"""What an Ollama server's errors mean: the one place where they get their class.

The words are those of its sources, ``server/`` and ``llm/`` of version 0.33, and of the engines of 0.5 to 0.20.
"""

from __future__ import annotations

import json
import re

from mai_core.errors import (
    AccessDenied,
    BackendError,
    BackendUnavailable,
    ContextExceeded,
    GenerationError,
    ModelCrashed,
    ModelFileError,
    ModelLoadError,
    OutOfMemory,
)

__all__ = ["denied", "refused_load", "refused_reply"]


def _words(*words: str) -> re.Pattern[str]:
    return re.compile("|".join(words), re.IGNORECASE)


_MEMORY = _words(
    r"requires more system memory",
    r"out.of.(device.)?memory",
    r"(cuda|hip)Malloc failed",
    r"(failed|unable) to allocate",
    r"failed to commit memory",
    r"allocation failed",
    r"cannot (be allocated|allocate memory)",
    r"(not enough|insufficient) memory",
    r"unable to load full model on GPU",
    r"bad_alloc",
    r"signal: killed",
)
_FILE = _words(
    r"invalid (file )?magic",
    r"not within the file bounds",
    r"failed to read (header|key-value|tensor|magic)",
    r"missing tensor|tensor .* not found|wrong (number of tensors|shape|type)",
    r"corrupt",
    r"input/output error",
    r"no such file",
)
_CONTEXT = _words(
    r"exceed_context_size",
    r"exceeds the (available context size|context length|model's maximum context length)",
    r"longer than the context length",
)
_GONE = _words(
    r"model runner has unexpectedly stopped",
    r"error was encountered while running the model",
    r"process (no longer running|has terminated)",
    r"error reading (llama-server|llm) ",
    r"unexpected server status",
    r"connection refused",
)
_LONGEST = 300


def refused_load(server: str, key: str, status: int, said: str) -> BackendError:
    """The failure behind a refusal to load the model ``key``."""
    if (general := _general(server, key, status, said)) is not None:
        return general
    why = _plain(said)
    if status == 404:
        return ModelFileError(f"{server} has no model {key}", remedy=f"ollama pull {key}", detail=said)
    if _MEMORY.search(said):
        return OutOfMemory(f"{key} cannot be loaded: {why}", remedy="use a smaller context or model", detail=said)
    if _FILE.search(said):
        return ModelFileError(f"{key} cannot be loaded: {why}", remedy=f"ollama pull {key}", detail=said)
    return ModelLoadError(f"{key} cannot be loaded: {why}", detail=said)


def refused_reply(server: str, key: str, status: int, said: str) -> BackendError:
    """The failure behind a refusal to answer, or an error told within an answer."""
    if _CONTEXT.search(said):
        return ContextExceeded(
            _too_long(key, said), remedy="shorten it, or load the model with a larger context", detail=said
        )
    if (general := _general(server, key, status, said)) is not None:
        return general
    why = _plain(said)
    if _MEMORY.search(said):
        return OutOfMemory(f"{key} ran out of memory: {why}", remedy="use a smaller context or model", detail=said)
    if _GONE.search(said):
        return ModelCrashed(f"{key} stopped: {why}", detail=said)
    return GenerationError(f"{key} cannot answer this: {why}", detail=said)


def denied(server: str, said: str = "") -> AccessDenied:
    """The failure of whoever showed no key, or a wrong one."""
    return AccessDenied(
        f"{server} refuses access", remedy="set api_key of this backend to the key it wants", detail=said
    )


def _general(server: str, key: str, status: int, said: str) -> BackendError | None:
    """What has nothing to do with the model asked for."""
    if "signin_url" in said or (status == 401 and "ollama.com" in server):
        return AccessDenied(f"{key} runs on ollama.com, which does not know you", remedy="ollama signin")
    if status == 401 or (status == 403 and not said):
        return denied(server, said)
    if status == 503 or "server busy" in said:
        return BackendUnavailable(f"{server} has too many requests waiting", detail=said)
    if status in (502, 504):
        return BackendUnavailable(f"{server} cannot be reached through its proxy", detail=said)
    return None


def _inner(said: str) -> dict[str, object]:
    """The error of the engine, which Ollama passes on as the JSON it was."""
    try:
        error = json.loads(said).get("error")
    except (ValueError, AttributeError, RecursionError):
        return {}
    return error if isinstance(error, dict) else {}


def _too_long(key: str, said: str) -> str:
    error = _inner(said)
    tokens, window = error.get("n_prompt_tokens"), error.get("n_ctx")
    if isinstance(tokens, int) and isinstance(window, int):
        return f"the prompt has {tokens} tokens, {key} is loaded with a window of {window}"
    return f"the prompt is longer than the window {key} is loaded with"


def _plain(said: str) -> str:
    """One line for a person: of several, the one that decides; of an engine's JSON, its message."""
    message = _inner(said).get("message")
    lines = [line.strip() for line in str(message or said).splitlines() if line.strip()]
    if not lines:
        return "no reason given"
    decisive = next((line for line in lines if _MEMORY.search(line) or _FILE.search(line)), lines[0])
    return decisive if len(decisive) <= _LONGEST else f"{decisive[:_LONGEST]} …"
