"""Errors as LM Studio puts them on the wire. There is no code for want of memory or a failed load: only text."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

__all__ = [
    "Problem",
    "blind",
    "context_too_small",
    "engine_crashed",
    "identifier_not_found",
    "insufficient_resources",
    "load_failed",
    "no_model_matching",
    "no_such_file",
    "out_of_memory_generating",
    "path_not_found",
    "unloaded_instance",
    "wrong_domain",
]


class Problem(Exception):
    """Raised by a handler; becomes an ``rpcError`` or a ``channelError``."""

    def __init__(self, title: str, *, display: Mapping[str, Any] | None = None, **more: str) -> None:
        super().__init__(title)
        self.packet: dict[str, Any] = {"title": title, "rootTitle": title, **more}
        if display is not None:
            self.packet["displayData"] = dict(display)


def no_model_matching(query: Mapping[str, Any], loaded: Collection[str]) -> Problem:
    """A handle or a query that nothing loaded answers to."""
    return Problem(
        "No model found that fits the query",
        display={
            "code": "generic.noModelMatchingQuery",
            "query": dict(query),
            "loadedModelsSample": sorted(loaded)[:5],
            "totalLoadedModels": len(loaded),
        },
    )


def blind() -> Problem:
    """A model without a projector is shown an image."""
    return Problem("Model does not support images. Please use a model that does.")


def no_such_file(identifier: str) -> Problem:
    """A part of a message names a file that was not uploaded."""
    return Problem(f"File not found: {identifier}")


def unloaded_instance() -> Problem:
    return Problem("The specific model instance was unloaded", display={"code": "generic.specificModelUnloaded"})


def path_not_found(key: str, known: Collection[str]) -> Problem:
    """A model key that is not downloaded."""
    return Problem(
        f"Model not found: {key}",
        display={
            "code": "generic.pathNotFound",
            "path": key,
            "availablePathsSample": sorted(known)[:5],
            "totalModels": len(known),
        },
    )


def identifier_not_found(identifier: str, loaded: Collection[str]) -> Problem:
    """Unloading what is not loaded."""
    return Problem(
        f'Cannot find a model with the identifier "{identifier}"',
        display={
            "code": "generic.identifierNotFound",
            "identifier": identifier,
            "loadedModelsSample": sorted(loaded)[:5],
            "totalLoadedModels": len(loaded),
        },
    )


def wrong_domain(path: str, actual: str, expected: str) -> Problem:
    """An embedding model asked for as a language model, or the other way round."""
    return Problem(
        f"Model {path} is of the domain {actual}, not {expected}",
        display={
            "code": "generic.domainMismatch",
            "path": path,
            "actualDomain": actual,
            "expectedDomain": expected,
        },
    )


def insufficient_resources(needed: int) -> Problem:
    """The guardrail: the load would take more than the machine gives."""
    return Problem(
        "Model loading was stopped due to insufficient system resources. Under the current settings, this model "
        f"requires approximately {needed / 1e9:.2f} GB of memory, and continuing to load it would likely overload "
        "your system and cause it to freeze. If you think this is incorrect, you can adjust the model loading "
        "guardrails in settings."
    )


def load_failed() -> Problem:
    return Problem("Failed to load model", cause="Failed to load the model. Unknown model architecture: 'novelty'")


def engine_crashed() -> Problem:
    return Problem("The model has crashed without additional information. (Exit code: 6)")


def out_of_memory_generating() -> Problem:
    return Problem(
        "The model has crashed without additional information. (Exit code: 6)",
        cause="ggml_backend_buffer_type_alloc_buffer: allocating 512.00 MiB failed: out of memory",
    )


def context_too_small(tokens: int, context: int) -> Problem:
    """A prompt longer than the window, where it may not be cut."""
    return Problem(
        f"Trying to keep the first {tokens} tokens when context the overflows. However, the model is loaded with "
        f"context length of only {context} tokens, which is not enough. Try to load the model with a larger context "
        "length, or provide a shorter input"
    )
