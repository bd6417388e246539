"""The errors of an Ollama server, word for word."""

from __future__ import annotations

import json

__all__ = ["Refusal", "blind", "crashed", "memory_at_load", "memory_while_writing", "too_long"]

NOT_FOUND = "model '{}' not found"
BUSY = "server busy, please try again.  maximum pending requests exceeded"


class Refusal(Exception):
    """Raised by a handler: answered with the status, or with a line of a stream that has begun."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status
        self.said = said


def memory_at_load(needed: int, free: int, *, old: bool) -> Refusal:
    """The model and its context take more than there is."""
    if old:
        return Refusal(500, f"model requires more system memory ({_gib(needed)}) than is available ({_gib(free)})")
    return Refusal(
        500,
        "llama-server reported out-of-memory during startup: ggml_backend_cpu_buffer_type_alloc_buffer: "
        f"failed to allocate buffer of size {needed}",
    )


def blind() -> Refusal:
    """The model does not see the image it is shown."""
    return Refusal(500, "this model is missing data required for image input")


def memory_while_writing() -> Refusal:
    """The runner found no memory for its computation."""
    return Refusal(500, "an error was encountered while running the model: CUDA error: out of memory")


def crashed() -> Refusal:
    """The runner's process died under a reply."""
    return Refusal(500, "an error was encountered while running the model: unexpected EOF")


def too_long(tokens: int, window: int, *, old: bool) -> Refusal:
    """The prompt does not fit and must not be cut."""
    if old:
        return Refusal(400, "the input length exceeds the context length")
    error = {
        "code": 400,
        "message": f"request ({tokens} tokens) exceeds the available context size ({window} tokens), try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": tokens,
        "n_ctx": window,
    }
    return Refusal(400, json.dumps({"error": error}))


def _gib(size: int) -> str:
    return f"{size / 1024**3:.1f} GiB"
