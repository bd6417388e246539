"""LM Studio's own words, and the class each gets. The texts are those of its bug tracker and the measured ones."""

from __future__ import annotations

import pytest
from lmstudio import LMStudioChannelClosedError, LMStudioServerError, LMStudioWebsocketError

from mai_backends.lmstudio import failures
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
    OutOfMemory,
)

GUARDRAIL = (
    "Model loading was stopped due to insufficient system resources. Under the current settings, this model requires "
    "approximately 273.25 GB of memory, and continuing to load it would likely overload your system and cause it to "
    "freeze. If you think this is incorrect, you can adjust the model loading guardrails in settings."
)
ABORTED = (
    "Model loading aborted due to insufficient system resources. Overloading the system will likely cause it to freeze."
)
SIGABRT = "Engine process exited unexpectedly: SIGABRT"


def said(title: str, *, cause: str = "", code: str = "") -> LMStudioServerError:
    """The SDK's own exception for an error packet."""
    packet = {"title": title, "rootTitle": title} | ({"cause": cause} if cause else {})
    return LMStudioServerError.from_details("Oops", packet | ({"displayData": {"code": code}} if code else {}))


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (said("Failed to load model", cause=GUARDRAIL), OutOfMemory, "needs about 273.25 GB"),
        (said(ABORTED), OutOfMemory, "not enough memory"),
        (said("Not enough resources to load the model with the current settings"), OutOfMemory, "not enough memory"),
        (said("error loading model: unable to allocate CUDA0 buffer"), OutOfMemory, "not enough memory"),
        (said("cudaMalloc failed: out of memory"), OutOfMemory, "not enough memory"),
        (said("vk::Device::allocateMemory: ErrorOutOfDeviceMemory"), OutOfMemory, "not enough memory"),
        (said("Model not found: x", code="generic.pathNotFound"), ModelFileError, "no longer has m"),
        (said("No model", code="generic.noModelMatchingQuery"), ModelFileError, "no longer has m"),
        (said("Failed to load model", cause="invalid magic characters"), ModelFileError, "invalid magic"),
        (said("Failed to load model", cause="unknown model architecture: 'x'"), ModelLoadError, "unknown model arch"),
        (said(SIGABRT), ModelLoadError, "SIGABRT"),
        (said("Oh" * 5000), ModelLoadError, "…"),
        (LMStudioServerError("Oops", {"title": None}), ModelLoadError, "cannot be loaded"),
        (LMStudioChannelClosedError("Server failed to load requested model."), ModelLoadError, "failed to load"),
    ],
)
def test_loads_that_fail(error: LMStudioServerError, kind: type[BackendError], words: str) -> None:
    classified = failures.loading(error, "m")
    assert type(classified) is kind
    assert words in classified.message
    assert len(classified.message) < 300
    assert "\n" not in classified.message
    assert classified.detail


def test_an_engine_that_dies_where_memory_is_short_died_of_that() -> None:
    assert type(failures.loading(said(SIGABRT), "m", short_of_memory=True)) is OutOfMemory
    other = said("Failed to load model", cause="unknown model architecture: 'x'")
    assert type(failures.loading(other, "m", short_of_memory=True)) is ModelLoadError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (said("No model found that fits the query", code="generic.noModelMatchingQuery"), ModelCrashed),
        (said("The specific model instance was unloaded", code="generic.specificModelUnloaded"), ModelCrashed),
        (said("Cannot find a model", code="generic.identifierNotFound"), ModelCrashed),
        (said("The model has crashed without additional information. (Exit code: null)"), ModelCrashed),
        (said("The model crashed without additional information 18446744072635810000"), ModelCrashed),
        (LMStudioChannelClosedError("Server failed to complete prediction."), ModelCrashed),
        (LMStudioWebsocketError("Client unexpectedly disconnected."), ModelCrashed),
        (
            said("The model has crashed.", cause="alloc_buffer: allocating 512.00 MiB failed: out of memory"),
            OutOfMemory,
        ),
        (said("Trying to keep the first 15857 tokens when context the overflows. However, the model"), ContextExceeded),
        (
            said("The number of tokens to keep from the initial prompt is greater than the context length"),
            ContextExceeded,
        ),
        (said("Cannot truncate prompt with n_keep (15028) >= n_ctx (7424)"), ContextExceeded),
        (said("Error rendering prompt with jinja template: Only user and assistant roles"), GenerationError),
    ],
)
def test_replies_that_fail(error: Exception, kind: type[BackendError]) -> None:
    classified = failures.generating(error, "m")
    assert type(classified) is kind
    assert "\n" not in str(classified)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("dictionary update sequence element #0 has length 1; 2 is required"), AccessDenied),
        (said("Authentication failed"), AccessDenied),
        (TimeoutError(), BackendUnavailable),
        (ConnectionRefusedError(), BackendUnavailable),
        (LMStudioWebsocketError("LM Studio is not reachable"), BackendUnavailable),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), BackendUnavailable),
        (KeyError("success"), BackendUnavailable),
    ],
)
def test_connections_that_fail(error: Exception, kind: type[BackendError]) -> None:
    access = Access("backends.lmstudio.api_token", token=True, shows=True)
    assert type(failures.entering(error, "127.0.0.1:1234", access)) is kind


@pytest.mark.parametrize(
    ("token", "shows", "told", "upgrade", "setting"),
    [
        (False, True, "and none is set", False, True),
        (True, False, "cannot show the one that is set", True, False),
        (False, False, "none is set, and lmstudio", True, True),
        (True, True, "refuses the API token", False, False),
    ],
)
def test_what_is_to_be_done_about_a_token(token: bool, shows: bool, told: str, upgrade: bool, setting: bool) -> None:
    denied = Access("backends.lmstudio.api_token", token=token, shows=shows).denied("127.0.0.1:1234", "")
    assert told in denied.message
    assert ("pip install --upgrade --pre lmstudio" in denied.remedy) is upgrade
    assert ("mai config set backends.lmstudio.api_token env:NAME" in denied.remedy) is setting


def test_what_people_wrote_is_not_in_a_log() -> None:
    secret = "my diary"
    quoting = LMStudioWebsocketError(f"Failed to send websocket message ({{'history': '{secret}'}}): OSError")
    access = Access("option", token=True, shows=True)
    for classified in (failures.generating(quoting, "m"), failures.entering(quoting, "here", access)):
        assert secret not in classified.detail + str(classified)
