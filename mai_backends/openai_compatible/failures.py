"""What an error of such a server means for the model: the one place where its failures get their class."""

from __future__ import annotations

import re

from mai_backends.windows import believable
from mai_backends.wire.errors import Refusal
from mai_core.errors import (
    BackendError,
    BackendUnavailable,
    ContextExceeded,
    GenerationError,
    ModelCrashed,
    ModelFileError,
    ModelLoadError,
    OutOfMemory,
)

__all__ = ["BUSY", "failed_load", "refused", "window_told"]

BUSY = frozenset({429, 502, 503, 504})
"""Statuses that pass by themselves."""

_FORBIDDEN = 403
"""For this key, for this region, or until its licence was agreed to: of one model of many."""

_OVERFLOW_TYPES = frozenset({"exceed_context_size_error", "context_length_exceeded", "context_window_exceeded"})


def _words(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


# As llama.cpp, vLLM, SGLang, LM Studio, LiteLLM, OpenAI, Groq, Together and Mistral put it.
_OVERFLOW = _words(
    r"exceeds? the (available )?(context|model's maximum|limit of \d+ tokens)",
    r"maximum context length",
    r"context[ _]?(size|length|window)[ _](has been |was |is )?exceeded",
    r"ContextWindowExceeded",
    r"longer than the (model's )?(maximum )?context",
    r"(greater|larger) than the context",
    r"(prompt|input|request) (is |contains )?too (long|many tokens)",
    r"too many (input |prompt )?tokens",
    r"reduce the length of",
    r"maximum (input|prompt) length",
    r"too large for model with \d+ maximum context",
)
_MEMORY = _words(
    r"out of memory",
    r"\bOOM\b",
    r"(failed|unable) to allocate",
    r"cannot allocate memory",
    r"insufficient (memory|vram)",
    r"bad_alloc",
    r"not enough (free )?(memory|vram|kv cache)",
    r"no available memory",
    r"insufficient system resources",
)
_CRASH = _words(
    r"engine ?(core|loop)? ?(is )?(dead|died)",
    r"EngineDead",
    r"EngineCore encountered",
    r"(process|worker|server|command|model) (has )?(crashed|exited|terminated|died)",
    r"model (was |has been |is )?(unloaded|evicted)",
    r"exited (prematurely|unexpectedly)",
    r"compute error",
)
_MISSING = _words(
    r"model .{0,200}(not found|does not exist|is not (available|loaded))",
    r"(invalid|unknown|unsupported) model",
    r"model[ _]not[ _]found",
    r"no (such )?model",
    r"could not find suitable inference handler",
)
_WINDOW = re.compile(
    r"(?:maximum context length (?:is|of)|context (?:size|length|window)(?: of| is)?|n_ctx)\D{0,3}(\d{3,8})",
    re.IGNORECASE,
)


def refused(key: str, refusal: Refusal, *, server: str) -> BackendError:
    """The class of a refusal while ``key`` should answer; ``server`` names it in words. A refused key is not for here.

    Raises nothing. An overloaded server is unavailable, a crashed model may be back the next moment.
    """
    said = refusal.message or f"status {refusal.status}"
    kinds = {refusal.type.lower(), refusal.code.lower()}
    if kinds & _OVERFLOW_TYPES or refusal.status == 413 or _OVERFLOW.search(said):
        return ContextExceeded(
            _too_long(key, refusal), remedy="shorten it, or give the model a larger context", detail=said
        )
    if _MEMORY.search(said):
        return OutOfMemory(f"{key} ran out of memory at {server}", remedy="use a smaller model there", detail=said)
    if _CRASH.search(said):
        return ModelCrashed(f"{key} stopped at {server}: {said}")
    if refusal.status in (400, 404) and (_MISSING.search(said) or refusal.code == "model_not_found"):
        return ModelLoadError(f"{server} does not have {key} any more: {said}")
    if refusal.status in (_FORBIDDEN, 404):
        return ModelLoadError(f"{server} does not let {key} answer ({refusal.status}): {said}")
    if refusal.status in BUSY:
        return BackendUnavailable(f"{server} cannot answer now ({refusal.status}): {said}", remedy="try again later")
    if refusal.status >= 500:
        return GenerationError(f"{key} failed at {server} ({refusal.status}): {said}")
    return GenerationError(f"{key} cannot answer this: {said}")


def failed_load(key: str, refusal: Refusal, *, server: str) -> BackendError:
    """The class of a refusal while ``key`` should be loaded."""
    said = refusal.message or f"status {refusal.status}"
    if _MEMORY.search(said):
        return OutOfMemory(f"{key} cannot be loaded at {server}: there is not enough memory", detail=said)
    if refusal.status in (400, 404):
        return ModelFileError(f"{server} has no {key}: {said}")
    if refusal.status == _FORBIDDEN:
        return ModelLoadError(f"{server} does not let {key} be used: {said}")
    if refusal.status == 429:
        return BackendUnavailable(f"{server} cannot load {key} now: {said}", remedy="try again later")
    return ModelLoadError(f"{key} cannot be loaded at {server}: {said}")


def window_told(refusal: Refusal) -> int:
    """The tokens of the window that a refusal speaks of; 0 when it does not."""
    found = _WINDOW.search(refusal.message)
    return believable(refusal.fields.get("n_ctx")) or believable(int(found.group(1)) if found else 0)


def _too_long(key: str, refusal: Refusal) -> str:
    window = window_told(refusal)
    tokens = believable(refusal.fields.get("n_prompt_tokens"))
    if not window:
        return f"the prompt is longer than the window of {key}"
    if tokens > window:
        return f"the prompt has {tokens} tokens, {key} is served with a window of {window}"
    return f"the prompt does not fit {key}, which is served with a window of {window} tokens"
