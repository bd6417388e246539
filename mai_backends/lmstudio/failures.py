"""What the SDK's errors and LM Studio's words mean: the one place where a failure gets its class.

LM Studio has no codes for want of memory or a failed load, so those are told by their wording.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lmstudio import (
    LMStudioChannelClosedError,
    LMStudioModelNotFoundError,
    LMStudioServerError,
    LMStudioValueError,
    LMStudioWebsocketError,
    SerializedLMSExtendedError,
)

from mai_backends.lmstudio.access import Access
from mai_core.errors import (
    AccessDenied,
    BackendError,
    BackendUnavailable,
    ContextExceeded,
    GenerationError,
    ModelCrashed,
    ModelFileError,
    ModelLoadError,
    ModelStalled,
    OutOfMemory,
)

__all__ = [
    "NEED",
    "ConnectionLost",
    "connecting",
    "describe",
    "entering",
    "generating",
    "is_gone",
    "is_lost",
    "lifeless",
    "loading",
    "silent",
    "too_long",
]


class ConnectionLost(Exception):
    """The socket is gone, or was never there. What that means depends on what was being done."""


NEED = re.compile(r"requires approximately ([\d.]+ [KMGT]i?B)")

# LM Studio's guardrail, then the allocators of llama.cpp, CUDA, Metal, Vulkan and MLX.
_MEMORY = re.compile(
    r"insufficient (system resources|memory)|not enough (memory|resources)|out[ -_]?of[ -_]?(device[ -_]?)?memory|"
    r"(failed|unable) to (re)?alloc|cannot allocate|alloc\w* \S+ \w+ failed|bad_alloc|OutOfDeviceMemory|guardrail",
    re.IGNORECASE,
)
_FILE = re.compile(
    r"invalid magic|not within (the )?file bounds|corrupt|truncated|no such file|failed to read (header|tensor)|"
    r"missing tensor|(file|path) (does not|doesn't) exist",
    re.IGNORECASE,
)
_WINDOW = re.compile(
    r"tokens to keep|keep the first \d+ tokens|n_keep|context (length|size|window|overflow)|exceeds? .{0,40}context",
    re.IGNORECASE,
)
_CRASH = re.compile(r"\bcrash|exit code|SIG(ABRT|SEGV|KILL|BUS|ILL)|terminated|process (exited|died)", re.IGNORECASE)
_GONE = frozenset({"generic.noModelMatchingQuery", "generic.specificModelUnloaded", "generic.identifierNotFound"})
_MISSING = frozenset({"generic.pathNotFound", "generic.noModelMatchingQuery"})


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone; the SDK's client stays broken for ever then."""
    return isinstance(error, LMStudioWebsocketError | ConnectionLost)


def is_gone(error: BaseException) -> bool:
    """Whether the server does not know the instance, or no longer."""
    return isinstance(error, LMStudioModelNotFoundError) or _code(error) in _GONE


def connecting(error: Exception, where: str) -> BackendUnavailable:
    """Why there is no connection to ``where``: nobody is there, or it does not answer."""
    detail = describe(error)
    if isinstance(error, TimeoutError):
        return BackendUnavailable(f"LM Studio at {where} accepts connections but does not answer", detail=detail)
    return BackendUnavailable(f"LM Studio at {where} cannot be reached", detail=detail)


def entering(error: Exception, where: str, access: Access) -> BackendUnavailable:
    """Why a new connection to ``where`` came to nothing: also, that it does not want us.

    A refusal is a ``ValueError`` of SDK 1.5, which cannot read it, and a server's error of 1.6.
    """
    if isinstance(error, LMStudioValueError):
        return AccessDenied(
            "the API token for LM Studio is not one of LM Studio's",
            remedy="they look like sk-lm-xxxxxxxx:xxxx",
            detail=describe(error),
        )
    if isinstance(error, LMStudioServerError | ValueError) and not _is_reading_error(error):
        return access.denied(where, describe(error))
    return connecting(error, where)


def silent(where: str, what: str, seconds: float) -> BackendUnavailable:
    """LM Studio did not answer within so many seconds."""
    return BackendUnavailable(f"LM Studio at {where} did not {what} within {seconds:g} s", remedy="restart LM Studio")


def lifeless(where: str, key: str) -> BackendUnavailable:
    """LM Studio gave no sign of life of any kind while it loaded a model."""
    return BackendUnavailable(
        f"LM Studio at {where} stopped answering while it loaded {key}", remedy="restart LM Studio"
    )


def loading(error: Exception, key: str, *, short_of_memory: bool = False) -> BackendError:
    """Why a model could not be loaded.

    An engine that dies on a machine that is ``short_of_memory`` died of that: its own words are lost on the way.
    """
    said, remedy = _words(error), ""
    kind: type[BackendError] = ModelLoadError
    if _code(error) in _MISSING or isinstance(error, LMStudioModelNotFoundError):
        return ModelFileError(
            f"LM Studio no longer has {key}", remedy="download it there again", detail=describe(error)
        )
    if _MEMORY.search(said) or (short_of_memory and _CRASH.search(said)):
        need = NEED.search(said)
        why = f"it needs about {need[1]}" if need else "there is not enough memory for it"
        return OutOfMemory(
            f"{key} cannot be loaded: {why}", remedy="use a smaller context or model", detail=describe(error)
        )
    if _FILE.search(said):
        kind, remedy = ModelFileError, "download it again in LM Studio"
    return kind(f"{key} cannot be loaded: {_last_sentence(said)}", remedy=remedy, detail=describe(error))


def generating(error: Exception, key: str) -> BackendError:
    """Why a loaded model failed to answer."""
    said, detail = _words(error), describe(error)
    if is_gone(error):
        return ModelCrashed(f"{key} is no longer loaded in LM Studio", detail=detail)
    if is_lost(error):
        return ModelCrashed(f"the connection to LM Studio broke while {key} was answering", detail=detail)
    if _MEMORY.search(said):
        return OutOfMemory(
            f"{key} ran out of memory while it answered", remedy="use a smaller context or model", detail=detail
        )
    if _WINDOW.search(said):
        return ContextExceeded(
            f"the prompt is longer than the window {key} is loaded with",
            remedy="shorten it, or load the model with a larger context",
            detail=detail,
        )
    if _CRASH.search(said) or isinstance(error, LMStudioChannelClosedError):
        return ModelCrashed(f"{key} crashed in LM Studio", detail=detail)
    return GenerationError(f"{key} cannot answer this: {_last_sentence(said)}", detail=detail)


def too_long(key: str, seconds: float) -> ModelStalled:
    """No sign of life within so many seconds."""
    return ModelStalled(f"{key} gave no token for {seconds:g} s")


def describe(error: BaseException) -> str:
    """An error for a log, without what anybody wrote: the SDK quotes whole messages after a colon."""
    if not isinstance(error, LMStudioServerError):
        return type(error).__name__
    return f"{type(error).__name__}: {_words(error)}"[:2000]


def _code(error: BaseException) -> str:
    display = getattr(_serialised(error), "display_data", None)
    code = display.get("code") if isinstance(display, Mapping) else None
    return code if isinstance(code, str) else ""


def _words(error: BaseException) -> str:
    """Everything the server said, title first, in one line."""
    told = _serialised(error)
    parts = [getattr(told, field, None) for field in ("title", "cause", "suggestion", "error_data")]
    said = ". ".join(str(part).strip().rstrip(".") for part in parts if part)
    return " ".join((said or str(error) or type(error).__name__).split())


def _serialised(error: BaseException) -> SerializedLMSExtendedError | None:
    return error.server_error if isinstance(error, LMStudioServerError) else None


def _last_sentence(said: str) -> str:
    """The cause, which stands behind the title, short enough for a line."""
    text = said.removeprefix("Failed to load model. ")
    return text if len(text) <= 200 else f"{text[:199]}…"


def _is_reading_error(error: Exception) -> bool:
    """A greeting that is no JSON is a ``ValueError``, too."""
    return isinstance(error, UnicodeError) or type(error).__name__ == "JSONDecodeError"
