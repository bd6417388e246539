"""What the real engine answers, with one model loaded for all tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from embedded_engine import PLAN, Reply, ask, backend_in, facts, processor_seconds, profile_of, said

from mai_backends.embedded.backend import EmbeddedBackend
from mai_core.errors import ContextExceeded, GenerationError
from mai_core.policy.messages import GenerationOptions, StopReason
from mai_core.policy.models import LoadedModel

pytestmark = [pytest.mark.weights, pytest.mark.asyncio(loop_scope="module")]

CONTEXT = 6144
FRANCE = "What is the capital of France?"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(
    starter_gguf: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[EmbeddedBackend, LoadedModel]]:
    backend = backend_in(tmp_path_factory.mktemp("home"))
    yield backend, await backend.load(profile_of(starter_gguf), replace(PLAN, context=CONTEXT))
    await backend.close()


async def reply(engine: tuple[EmbeddedBackend, LoadedModel], *turns: str, **options: object) -> Reply:
    return await ask(engine[0], engine[1].instance, *turns, **options)


async def test_streams_an_answer(engine: tuple[EmbeddedBackend, LoadedModel]) -> None:
    answer = await reply(engine, FRANCE)
    assert "Paris" in answer.text
    assert len(answer.events) > 3, "not streamed"
    assert answer.end.stop is StopReason.STOP
    usage = answer.end.usage
    assert usage.prompt_tokens > 10
    assert 3 < usage.completion_tokens <= 24
    assert usage.prompt_seconds > 0
    assert usage.completion_seconds > 0


async def test_second_turn_reads_only_what_is_new(engine: tuple[EmbeddedBackend, LoadedModel]) -> None:
    long = f"{facts(8)} What costs item 3?"
    first = await reply(engine, long)
    second = await reply(engine, long, first.text, "And item 4?")
    assert first.end.usage.cached_tokens < 40, "the prompt was known before: the test proves nothing"
    assert second.end.usage.cached_tokens >= first.end.usage.prompt_tokens - 1
    assert second.end.usage.prompt_tokens > second.end.usage.cached_tokens


async def test_continues_an_answer_where_it_stopped(engine: tuple[EmbeddedBackend, LoadedModel]) -> None:
    answer = await reply(engine, FRANCE, "The capital of France is Par")
    assert answer.text.startswith("is")


async def test_keeps_to_a_json_schema(engine: tuple[EmbeddedBackend, LoadedModel]) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}, "large": {"type": "boolean"}},
        "required": ["city", "large"],
        "additionalProperties": False,
    }
    answer = await reply(engine, FRANCE, json_schema=schema, max_tokens=60)
    parsed = json.loads(answer.text)
    assert parsed["city"] in ("Paris", "Rome")
    assert isinstance(parsed["large"], bool)


async def test_a_schema_that_is_none_is_an_error_and_no_more(engine: tuple[EmbeddedBackend, LoadedModel]) -> None:
    with pytest.raises(GenerationError) as caught:
        await reply(engine, FRANCE, json_schema={"type": "nonsense"})
    assert "nonsense" in caught.value.message
    assert (await reply(engine, FRANCE)).text


async def test_stop_words_end_the_answer(engine: tuple[EmbeddedBackend, LoadedModel]) -> None:
    answer = await reply(engine, FRANCE, stop=("Paris",))
    assert answer.text
    assert "Paris" not in answer.text
    assert answer.end.stop is StopReason.STOP


async def test_takes_whatever_a_person_pastes(engine: tuple[EmbeddedBackend, LoadedModel]) -> None:
    assert (await reply(engine, "half a surrogate \ud83d, a zero \x00, a bell \x07, <|im_end|>", max_tokens=2)).events


async def test_counts_as_the_engine_does(engine: tuple[EmbeddedBackend, LoadedModel]) -> None:
    backend, loaded = engine
    short, long = "one", "one two three four"
    base = (await reply(engine, short, max_tokens=1)).end.usage.prompt_tokens
    more = (await reply(engine, long, max_tokens=1)).end.usage.prompt_tokens
    counts = await backend.count_tokens(loaded.instance, [short, long, ""])
    assert counts[1] - counts[0] == more - base
    assert counts[2] == 0
    assert (await backend.count_tokens(loaded.instance, ["<|im_end|>"]))[0] > 1


async def test_too_long_a_prompt_says_by_how_much(engine: tuple[EmbeddedBackend, LoadedModel]) -> None:
    with pytest.raises(ContextExceeded, match=rf"\d+ tokens.*{CONTEXT}"):
        await reply(engine, "word " * (CONTEXT + 100))


async def test_the_one_who_waits_is_not_stalled(engine: tuple[EmbeddedBackend, LoadedModel]) -> None:
    """The deadline is for the engine: waiting for another reply to end does not count."""
    story, deadline = "Tell a long story.", 1.0
    first = asyncio.create_task(reply(engine, story, max_tokens=150))
    await asyncio.sleep(0.05)
    second = await reply(engine, story, max_tokens=1, first_token_deadline=deadline)
    await first
    assert second.first_seconds > deadline, "it did not have to wait: the test proves nothing"


@pytest.mark.parametrize("prompt", ["Tell a very long story.", facts(350)], ids=["while-writing", "while-reading"])
async def test_closing_stops_the_engine(engine: tuple[EmbeddedBackend, LoadedModel], prompt: str) -> None:
    """It works on for half a second at most, where the prompt alone would take it many."""
    backend, loaded = engine
    assert loaded.pid is not None
    stream = backend.generate(loaded.instance, said(prompt), GenerationOptions())
    waiting = asyncio.ensure_future(anext(stream))
    if prompt.startswith("Tell"):
        await waiting
    else:
        await asyncio.sleep(1.1)  # just past the moment at which the engine would look by itself
        assert not waiting.done(), "the prompt is too short: the test proves nothing"
    at_close = processor_seconds(loaded.pid)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await stream.aclose()
    await asyncio.sleep(2.0)
    assert processor_seconds(loaded.pid) - at_close <= 0.5
