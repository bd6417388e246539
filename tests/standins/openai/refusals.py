"""What each kind of server says when it does not do as asked."""

from __future__ import annotations

from typing import Any

from tests.standins.openai.models import Flavour, StandInModel

__all__ = ["blind", "denied", "missing", "no_memory", "overflow"]


def denied(flavour: Flavour) -> dict[str, Any]:
    """The key is wrong."""
    if flavour is Flavour.VLLM:
        return {"error": "Unauthorized"}
    if flavour is Flavour.LITELLM:
        said = "Authentication Error, Invalid proxy server token passed. Received API Key = sk-...4711"
        return {"error": {"message": said, "type": "auth_error", "param": "None", "code": "401"}}
    return {"error": {"message": "Invalid API Key", "type": "authentication_error", "code": 401}}


def overflow(flavour: Flavour, model: StandInModel, tokens: int) -> dict[str, Any]:
    """The prompt is too long."""
    window = model.context
    engine = f"request ({tokens} tokens) exceeds the available context size ({window} tokens), try increasing it"
    if flavour in (Flavour.LLAMA_SERVER, Flavour.LLAMA_SWAP):
        kind = "exceed_context_size_error"
        return {"error": {"code": 400, "message": engine, "type": kind, "n_prompt_tokens": tokens, "n_ctx": window}}
    if flavour is Flavour.LITELLM:
        said = f"litellm.ContextWindowExceededError: OpenAIException - {engine}\nmodel={model.key}"
        return {"error": {"message": said, "type": "invalid_request_error", "param": None, "code": "400"}}
    if flavour is Flavour.LM_STUDIO:
        said = f"The number of tokens to keep from the initial prompt is greater than the context length ({window})."
        return {"error": said}
    said = f"This model's maximum context length is {window} tokens. However, your request has {tokens} input tokens."
    if flavour is Flavour.VLLM:
        return {"error": {"message": said, "type": "BadRequestError", "param": "input_tokens", "code": 400}}
    return {"error": {"message": said, "type": "invalid_request_error", "code": "context_length_exceeded"}}


def blind(flavour: Flavour) -> dict[str, Any]:
    """The model does not see the image it is shown."""
    if flavour in (Flavour.LLAMA_SERVER, Flavour.LLAMA_SWAP):
        said = "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"
        return {"error": {"code": 500, "message": said, "type": "server_error"}}
    return {"error": {"message": "Invalid content type. image_url is only supported by certain models.", "code": 400}}


def missing(flavour: Flavour, key: str) -> tuple[int, dict[str, Any]]:
    """There is no such model."""
    if flavour is Flavour.LLAMA_SWAP:
        return 400, {"error": f"could not find suitable inference handler for {key}"}
    if flavour is Flavour.LITELLM:
        return 400, {
            "error": {"message": f"/chat/completions: Invalid model name passed in model={key}.", "code": "400"}
        }
    said = f"The model `{key}` does not exist."
    return 404, {"error": {"message": said, "type": "NotFoundError", "param": "model", "code": 404}}


def no_memory(flavour: Flavour, key: str) -> tuple[int, dict[str, Any]]:
    """The model cannot be loaded."""
    if flavour is Flavour.LM_STUDIO:
        said = f'Failed to load model "{key}". Error: Model loading was stopped due to insufficient system resources.'
        return 400, {"error": {"message": said}}
    return 502, {"error": "unable to start process: ggml_backend_alloc: failed to allocate buffer of size 9000000000"}
