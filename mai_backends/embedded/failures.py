"""What the engine's last words mean: the one place where its failures get their class."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mai_core.errors import (
    BackendError,
    ContextExceeded,
    GenerationError,
    ModelCrashed,
    ModelFileError,
    ModelLoadError,
    OutOfMemory,
)

__all__ = ["Remains", "crash", "failed_load", "refusal"]


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left of a worker: its exit code, negative for a signal, None while it lives; the end of its stderr.

    ``starved`` says whether the system has killed processes for want of memory since it was started; None where the
    system does not tell.
    """

    code: int | None
    stderr: str
    starved: bool | None = None

    @property
    def end(self) -> str:
        """How it ended, to follow "its process"."""
        if self.code is None:
            return "does not answer"
        if self.code >= 0:
            return f"ended with code {self.code}"
        try:
            return f"was killed by {signal.Signals(-self.code).name}"
        except ValueError:
            return f"was killed by signal {-self.code}"


@dataclass(frozen=True, slots=True)
class _Cause:
    """Words of the engine that decide the class of a failed load, and what they mean to a person.

    An empty ``meaning`` leaves the engine its own words.
    """

    words: re.Pattern[str]
    error: type[ModelLoadError]
    meaning: str = ""


def _cause(words: str, error: type[ModelLoadError], meaning: str = "") -> _Cause:
    return _Cause(re.compile(words, re.IGNORECASE), error, meaning)


# The first cause with a line that matches decides, so causes stand before those that follow from them.
_CAUSES = (
    _cause(
        r"insufficient memory|(failed|unable) to allocate|bad_alloc|out of memory|cannot allocate memory"
        r"|assert\(.*buffer != NULL\)",
        OutOfMemory,
        "there is not enough memory for it",
    ),
    _cause(r"no such file", ModelFileError, "the file is not there"),
    _cause(r"permission denied", ModelFileError, "the file may not be read"),
    _cause(r"failed to read magic", ModelFileError, "the file is empty or cannot be read"),
    _cause(r"invalid magic", ModelFileError, "the file is not in the GGUF format"),
    _cause(
        r"not within the file bounds|failed to read (header|key-value|tensor)",
        ModelFileError,
        "the file is truncated",
    ),
    _cause(r"unknown model architecture", ModelLoadError),
    _cause(r"error loading model (hyperparameters|vocabulary)", ModelFileError),
    _cause(r"missing tensor|tensor .* not found|wrong (number of tensors|shape|type)|corrupt", ModelFileError),
    _cause(r"failed to load model from", ModelFileError, "the file cannot be read as a model"),
)
_PREFIX = re.compile(r"^[\d.]+ [A-Z] +(?:[a-z]+ +)?[\w~().:]+: +")
_ERROR_LINE = re.compile(r"^[\d.]+ E ")


def failed_load(name: str, key: str, remains: Remains) -> BackendError:
    """The failure of a worker that could not load the model ``key`` from the file ``name``."""
    lines = [line for line in remains.stderr.splitlines() if line.strip()]
    remedies = {ModelFileError: f"fetch it again: mai pull {key}", OutOfMemory: "use a smaller context or model"}
    for cause in _CAUSES:
        line = next((line for line in lines if cause.words.search(line)), None)
        if line is not None:
            why = cause.meaning or _plain(line)
            return cause.error(
                f"{name} cannot be loaded: {why}", remedy=remedies.get(cause.error, ""), detail=remains.stderr
            )
    if remains.code == -signal.SIGBUS:
        return ModelFileError(
            f"{name} cannot be loaded: the file became shorter or the disk fails",
            remedy=remedies[ModelFileError],
            detail=remains.stderr,
        )
    if remains.code == -signal.SIGKILL:
        if remains.starved is False:
            return ModelCrashed(f"{name} cannot be loaded: its process {remains.end}", detail=remains.stderr)
        return OutOfMemory(
            f"{name} cannot be loaded: the system killed its process, most likely for want of memory",
            remedy=remedies[OutOfMemory],
            detail=remains.stderr,
        )
    decisive = next((line for line in lines if _ERROR_LINE.match(line)), lines[-1] if lines else "")
    why = _plain(decisive) or f"its process {remains.end}"
    return ModelLoadError(f"{name} cannot be loaded: {why}", detail=remains.stderr)


def crash(key: str, remains: Remains) -> ModelCrashed:
    """The failure of a worker that died after it had loaded the model ``key``."""
    hints = {
        -signal.SIGKILL: "if nobody did that, memory ran out: a smaller model needs less",
        -signal.SIGBUS: f"its file changed on disk: check it with mai pull {key}",
    }
    remedy = hints.get(remains.code, "") if remains.code is not None else ""
    return ModelCrashed(f"{key} stopped: its process {remains.end}", remedy=remedy, detail=remains.stderr)


def refusal(key: str, error: Mapping[str, Any]) -> GenerationError:
    """The failure behind an ``error`` object of the engine's HTTP interface."""
    said = str(error.get("message") or "no reason given").splitlines()[0]
    if error.get("type") == "exceed_context_size_error" or "context size" in said.lower():
        tokens, window = error.get("n_prompt_tokens"), error.get("n_ctx")
        if tokens and window:
            said = f"the prompt has {tokens} tokens, {key} is loaded with a window of {window}"
        return ContextExceeded(said, remedy="shorten it, or load the model with a larger context")
    return GenerationError(f"{key} cannot answer this: {said}")


def _plain(line: str) -> str:
    """A line of the engine's log without time, level and function."""
    return _PREFIX.sub("", line.strip()).removeprefix("error loading model: ")
