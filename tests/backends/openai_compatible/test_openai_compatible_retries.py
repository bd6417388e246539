"""When a reply is asked for again, what a refusal means, and what is learned from it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_serving import backend_for, end_of, reply, text_of

from mai_backends.openai_compatible import retrying
from mai_backends.openai_compatible.failures import failed_load, refused, window_told
from mai_backends.openai_compatible.retrying import LONGEST_PAUSE, pause, retry_after
from mai_backends.wire.errors import Refusal
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
from mai_core.policy.messages import Message, Role
from mai_core.policy.models import LoadPlan
from tests.standins.openai import Flavour, OpenAIStandIn, StandInModel

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BUSY = {"error": {"message": "Too many requests"}}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": format_datetime(NOW + timedelta(seconds=90), usegmt=True)}, 90.0),
        ({"retry-after": format_datetime(NOW - timedelta(seconds=90), usegmt=True)}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Sun, 99 Nov 2026 12:00:00 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


@given(st.text(), st.text())
def test_no_header_breaks_it(seconds: str, milliseconds: str) -> None:
    wait = retry_after({"retry-after": seconds, "retry-after-ms": milliseconds}, NOW)
    assert wait is None or wait >= 0


def test_pauses_double_up_to_a_bound() -> None:
    assert [pause(n, None) for n in range(3)] == [0.25, 0.5, 1.0]
    assert pause(50, None) == LONGEST_PAUSE
    assert pause(0, 7.0) == 7.0


@pytest.mark.parametrize("status", [429, 503])
async def test_what_passes_by_itself_is_waited_for(status: int) -> None:
    with OpenAIStandIn() as stand_in:
        backend = backend_for(stand_in.url)
        stand_in.refusals = [(status, {"Retry-After": "0.3"}, BUSY), (status, {}, BUSY)]
        began = time.monotonic()
        assert text_of(await reply(backend)).startswith("Once upon")
        assert time.monotonic() - began >= 0.3 + 0.5
        assert stand_in.refusals == []
        await backend.close()


async def test_a_wait_beyond_the_deadline_is_told_instead() -> None:
    with OpenAIStandIn() as stand_in:
        backend = backend_for(stand_in.url)
        stand_in.refusals = [(429, {"Retry-After": "40"}, BUSY)]
        began = time.monotonic()
        with pytest.raises(BackendUnavailable, match="come back in 40 s"):
            await reply(backend, first_token_deadline=30.0)
        assert time.monotonic() - began < 15.0, "it waited for the deadline"
        assert backend.note.endswith("asks to wait 40 s")
        await backend.close()


async def test_a_wait_is_told_while_it_lasts(caplog: pytest.LogCaptureFixture) -> None:
    with OpenAIStandIn() as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        assert "asks to wait" not in backend.note
        stand_in.refusals = [(429, {"Retry-After": "25"}, BUSY)]
        with caplog.at_level(logging.INFO, "mai.openai-compatible"):
            asking = asyncio.ensure_future(reply(backend))
            await eventually(lambda: "asks to wait" in backend.note)
        assert backend.note.startswith("llama-server at http://127.0.0.1:")
        assert 0 < int(backend.note.split()[-2]) <= 25
        (record,) = [record for record in caplog.records if record.message == "server asks to wait"]
        assert (record.levelname, record.backend, record.model) == ("INFO", "mine", "tiny")  # type: ignore[attr-defined]
        assert (record.seconds, record.status) == (25.0, 429)  # type: ignore[attr-defined]
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await backend.close()


async def test_a_short_wait_is_nothing_to_tell(caplog: pytest.LogCaptureFixture) -> None:
    with OpenAIStandIn() as stand_in:
        backend = backend_for(stand_in.url)
        stand_in.refusals = [(503, {"Retry-After": "0.1"}, BUSY)]
        with caplog.at_level(logging.INFO, "mai.openai-compatible"):
            assert await reply(backend)
        assert [record for record in caplog.records if record.message == "server asks to wait"] == []
        assert "asks to wait" not in backend.note
        await backend.close()


def questions(stand_in: OpenAIStandIn) -> list[dict[str, Any]]:
    return [body for path, body in stand_in.calls if path == "POST /v1/chat/completions"]


@pytest.mark.parametrize("status", [429, 503])
async def test_no_question_is_asked_more_than_three_times(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 0.01)
    with OpenAIStandIn() as stand_in:
        backend = backend_for(stand_in.url)
        stand_in.refusals = [(status, {}, BUSY)] * 9
        with pytest.raises(BackendUnavailable):
            await reply(backend)
        assert len(questions(stand_in)) == 3
        await backend.close()


async def test_whatever_it_is_asked_anew_for_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 0.01)
    with OpenAIStandIn(flavour=Flavour.OPENAI) as stand_in:
        backend = backend_for(stand_in.url)
        refusal = {"error": {"message": "Unrecognized request argument supplied: seed"}}
        stand_in.refusals = [(400, {}, refusal), *[(503, {}, BUSY)] * 9]
        with pytest.raises(BackendUnavailable):
            await reply(backend, seed=1)
        assert len(questions(stand_in)) == 3
        await backend.close()


@pytest.mark.parametrize(("flavour", "times"), [(Flavour.LLAMA_SERVER, 2), (Flavour.VLLM, 1), (Flavour.OPENAI, 1)])
async def test_what_may_have_been_heard_is_not_asked_again(
    flavour: Flavour, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may be paid for it. Only llama.cpp's server is known to close connections it has not read from."""
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 0.01)
    with OpenAIStandIn(flavour=flavour) as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        stand_in.drops = 9
        with pytest.raises(ModelCrashed):
            await reply(backend)
        assert len(questions(stand_in)) == times
        await backend.close()


async def test_one_dropped_connection_of_llama_cpp_is_made_up_for() -> None:
    with OpenAIStandIn() as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        stand_in.drops = 1
        assert text_of(await reply(backend)).startswith("Once upon")
        await backend.close()


async def test_a_picky_server_is_understood_within_three_requests() -> None:
    """Whoever refuses two fields is sent none of those it could refuse next."""
    refused_fields = ("stream_options", "seed", "temperature", "top_p")
    with OpenAIStandIn(flavour=Flavour.OPENAI) as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        stand_in.refuses = refused_fields
        assert text_of(await reply(backend, seed=1, stop=("END",))).startswith("Once upon")
        assert len(questions(stand_in)) == 3
        assert questions(stand_in)[-1]["stop"] == ["END"]
        assert not set(refused_fields) & set(questions(stand_in)[-1])
        await backend.close()


@pytest.mark.parametrize("status", [403, 404])
async def test_a_model_that_may_not_be_used_costs_itself(status: int) -> None:
    with OpenAIStandIn([StandInModel(key="tiny"), StandInModel(key="other")], flavour=Flavour.VLLM) as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        stand_in.refusals = [(status, {}, {"error": {"message": "not for you"}})]
        with pytest.raises(ModelLoadError, match="not for you"):
            await reply(backend)
        assert text_of(await reply(backend, instance="other"))
        assert len(await backend.models()) == 2
        await backend.close()


async def test_a_model_that_may_not_be_loaded_costs_itself() -> None:
    with OpenAIStandIn(flavour=Flavour.LLAMA_SWAP) as stand_in:
        backend = backend_for(stand_in.url)
        (model,) = await backend.models()
        stand_in.refusals = [(403, {}, {"error": "not for you"})]
        with pytest.raises(ModelLoadError, match="not for you"):
            await backend.load(model, LoadPlan(context=512))
        await backend.close()


async def test_tokens_that_may_not_be_counted_are_estimated() -> None:
    with OpenAIStandIn() as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        stand_in.forbids = ("/tokenize",)
        assert await backend.count_tokens("tiny", ["word " * 100])
        asked = len(stand_in.calls)
        assert await backend.count_tokens("tiny", ["word " * 100])
        assert len(stand_in.calls) == asked, "it is asked no more"
        await backend.close()


async def test_a_list_that_may_not_be_seen_means_the_key() -> None:
    with OpenAIStandIn() as stand_in:
        backend = backend_for(stand_in.url)
        stand_in.forbids = ("/v1/models",)
        with pytest.raises(AccessDenied):
            await backend.models()
        stand_in.forbids = ()
        await backend.models()
        stand_in.refusals = [(401, {}, {"error": {"message": "expired"}})]
        with pytest.raises(AccessDenied):
            await reply(backend)
        await backend.close()


async def eventually(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


async def test_after_so_many_retries_it_is_told() -> None:
    with OpenAIStandIn() as stand_in:
        backend = backend_for(stand_in.url, retries=1)
        stand_in.refusals = [(503, {}, BUSY)] * 3
        with pytest.raises(BackendUnavailable, match="503"):
            await reply(backend)
        assert len(stand_in.refusals) == 1
        await backend.close()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 502, 504])
async def test_what_does_not_pass_is_not_asked_again(status: int) -> None:
    with OpenAIStandIn() as stand_in:
        backend = backend_for(stand_in.url)
        stand_in.refusals = [(status, {}, {"error": {"message": "no"}})] * 2
        with pytest.raises(BackendError):
            await reply(backend)
        assert len(stand_in.refusals) == 1
        await backend.close()


async def test_a_server_that_restarts_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 2.0)
    with OpenAIStandIn() as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        stand_in.stop()
        asking = asyncio.ensure_future(reply(backend))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(stand_in.start)
        assert text_of(await asking).startswith("Once upon")
        await backend.close()


@pytest.mark.parametrize("flavour", list(Flavour))
async def test_overflows_in_every_dialect(flavour: Flavour) -> None:
    """And the window a refusal tells is believed."""
    with OpenAIStandIn([StandInModel(key="tiny", context=600)], flavour=flavour) as stand_in:
        backend = backend_for(stand_in.url)
        (model,) = await backend.models()
        with pytest.raises(ContextExceeded) as caught:
            await reply(backend, messages=[Message(role=Role.USER, content="word " * 700)])
        assert "600" in caught.value.message
        (again,) = await backend.models()
        assert again.max_context == 600
        assert model.max_context >= 600
        await backend.close()


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("stream_options", "Unrecognized request argument supplied: stream_options"),
        ("seed", "1 validation error: seed: Extra inputs are not permitted"),
        ("temperature", "Unsupported value: 'temperature' does not support 0.0 with this model."),
        ("max_tokens", "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."),
    ],
)
async def test_a_field_a_server_refuses_is_left_out_from_then_on(field: str, message: str) -> None:
    with OpenAIStandIn(flavour=Flavour.OPENAI) as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        stand_in.refusals = [(400, {}, {"error": {"message": message}})]
        assert end_of(await reply(backend, seed=1)).usage.completion_tokens == 12
        bodies = [body for path, body in stand_in.calls if "chat" in path]
        assert [field in body for body in bodies] == [True, False]
        if field == "max_tokens":
            assert bodies[1]["max_completion_tokens"] == 12
        await reply(backend, seed=1)
        assert field not in stand_in.calls[-1][1]
        await backend.close()


async def test_a_window_without_room_for_all_that_was_asked_for() -> None:
    """What is left of it is the bound then; a prompt that is too long is still one."""
    said = "'max_tokens' is too large: 5000. This model's maximum context length is 600 tokens."
    with OpenAIStandIn(flavour=Flavour.VLLM) as stand_in:
        backend = backend_for(stand_in.url)
        stand_in.refusals = [(400, {}, {"error": {"message": said}})]
        assert text_of(await reply(backend, max_tokens=5000))
        assert "max_tokens" not in stand_in.calls[-1][1]
        stand_in.refusals = [(400, {}, {"error": {"message": said}})] * 2
        with pytest.raises(ContextExceeded):
            await reply(backend, max_tokens=5000)
        await backend.close()


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (400, "The input (9000 tokens) is longer than the model's context length (8192 tokens).", ContextExceeded),
        (400, "Requested token count exceeds the model's maximum context length of 8192 tokens.", ContextExceeded),
        (400, "Please reduce the length of the messages or completion.", ContextExceeded),
        (413, "Payload too large", ContextExceeded),
        (500, "Context size has been exceeded.", ContextExceeded),
        (500, "CUDA out of memory. Tried to allocate 2 GiB", OutOfMemory),
        (500, "failed to allocate buffer", OutOfMemory),
        (500, "EngineCore encountered an issue. See stack trace.", ModelCrashed),
        (500, "Compute error.", ModelCrashed),
        (0, "Model was unloaded while the request was still in queue", ModelCrashed),
        (404, "The model `x` does not exist.", ModelLoadError),
        (404, "Not Found", ModelLoadError),
        (403, "You must agree to its licence first", ModelLoadError),
        (400, "Invalid model name passed in model=x", ModelLoadError),
        (502, "Bad gateway", BackendUnavailable),
        (500, "something", GenerationError),
        (400, "jinja: something about roles", GenerationError),
        (400, "the context of this conversation is inappropriate", GenerationError),
    ],
)
def test_words_and_what_they_mean(status: int, message: str, error: type[BackendError]) -> None:
    found = refused("m", Refusal(status=status, message=message), server="http://host")
    assert type(found) is error
    assert len(found.message.splitlines()) == 1


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (404, "no", ModelFileError),
        (403, "no", ModelLoadError),
        (400, "could not find suitable inference handler for m", ModelFileError),
        (400, "Model loading was stopped due to insufficient system resources.", OutOfMemory),
        (502, "unable to start process: exited prematurely", ModelLoadError),
        (429, "no", BackendUnavailable),
    ],
)
def test_failed_loads(status: int, message: str, error: type[BackendError]) -> None:
    assert type(failed_load("m", Refusal(status=status, message=message), server="http://host")) is error


@given(st.text(), st.integers(0, 999))
def test_any_words_have_some_class(message: str, status: int) -> None:
    refusal = Refusal(status=status, message=message)
    assert isinstance(refused("m", refusal, server="s"), BackendError)
    assert window_told(refusal) >= 0
