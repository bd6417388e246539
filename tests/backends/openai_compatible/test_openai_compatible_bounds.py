"""What is bounded and what is not believed for ever: waits, tasks left behind, and what was once learned."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from openai_serving import backend_for, end_of, reply

from mai_backends.openai_compatible import listing, server
from mai_core.errors import BackendUnavailable, ContextExceeded, MaiError
from mai_core.policy.messages import Message, Role, Tool
from tests.standins.faults import Fault
from tests.standins.openai import Flavour, OpenAIStandIn, StandInModel


@asynccontextmanager
async def slow_key(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[threading.Event, list[str]]]:
    """A keyring that waits for the person to unlock it; what it was asked for."""
    unlocked, asked = threading.Event(), []

    def read(spec: str, *, who: str) -> str:
        asked.append(spec)
        unlocked.wait(60)
        return "sk-4711"

    monkeypatch.setattr(server, "read_secret", read)
    try:
        yield unlocked, asked
    finally:
        unlocked.set()


async def test_a_locked_keyring_is_not_waited_for_beyond_the_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked once, and what it says in the end is used."""
    with OpenAIStandIn(key="sk-4711") as stand_in:
        async with slow_key(monkeypatch) as (unlocked, asked):
            backend = backend_for(stand_in.url, api_key="keyring:a/b", deadlines={"listing": 1.5})
            for _ in range(3):
                async with asyncio.timeout(15):
                    with pytest.raises(BackendUnavailable, match="keyring:a/b"):
                        await backend.models()
            assert asked == ["keyring:a/b"]
            unlocked.set()
            async with asyncio.timeout(30):
                while True:
                    try:
                        assert await backend.models()
                        break
                    except BackendUnavailable:
                        await asyncio.sleep(0.05)
            assert len(asked) == 1
            await backend.close()


async def test_nothing_is_opened_after_close(monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIStandIn(key="sk-4711") as stand_in:
        async with slow_key(monkeypatch) as (unlocked, asked):
            backend = backend_for(stand_in.url, api_key="keyring:a/b")
            asking = asyncio.ensure_future(backend.models())
            while not asked:
                await asyncio.sleep(0.01)
            await backend.close()
            unlocked.set()
            with pytest.raises(BackendUnavailable, match="closed"):
                await asking
        assert stand_in.calls == []


async def test_counting_leaves_no_task_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIStandIn() as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        before = asyncio.all_tasks()
        stand_in.key = "now wanted"
        with pytest.raises(MaiError):
            await backend.count_tokens("tiny", [f"text {n}" for n in range(40)])
        assert asyncio.all_tasks() == before
        await backend.close()


async def test_a_turn_hears_soon_of_a_server_that_was_never_heard() -> None:
    with OpenAIStandIn() as stand_in:
        stand_in.fault = Fault.HANGS_AT_LISTING
        backend = backend_for(stand_in.url)
        began = time.monotonic()
        assert list(await backend.loaded()) == []
        assert time.monotonic() - began < 15.0, "a listing has 20 s"
        await backend.close()


async def test_a_window_that_was_told_is_forgotten_when_the_server_lists_another() -> None:
    with OpenAIStandIn([StandInModel(key="tiny", context=600)]) as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        with pytest.raises(ContextExceeded):
            await reply(backend, messages=[Message(role=Role.USER, content="word " * 700)])
        assert (await backend.models())[0].max_context == 600
        stand_in.models["tiny"].context = 4096  # restarted with a larger one
        assert (await backend.models())[0].max_context == 4096
        await backend.close()


async def test_what_was_told_of_prices_outlives_a_slow_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A paid model does not become a free one because its gateway was late once."""
    with OpenAIStandIn(flavour=Flavour.LITELLM) as stand_in:
        backend = backend_for(stand_in.url)
        (model,) = await backend.models()
        assert (model.price_in, model.price_out) == (1.0, 2.0)
        monkeypatch.setattr(listing, "MORE_SECONDS", 1e-6)
        assert await backend.models() == [model]
        await backend.close()


async def test_tools_in_the_prompt_do_not_spoil_the_estimate() -> None:
    """Their schemas count as tokens of the prompt and are no characters of its messages."""
    question = Message(role=Role.USER, content="word " * 100)
    heavy = [Message(role=Role.USER, content=" ".join("abcdefghij"[n % 10] for n in range(300)))]
    with OpenAIStandIn(flavour=Flavour.OPENAI) as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        before = await backend.count_tokens("tiny", [question.content])
        # One character a token is what a prompt looks like whose tools outweigh its words.
        await reply(backend, messages=heavy, tools=[Tool(name="t")])
        assert await backend.count_tokens("tiny", [question.content]) == before
        await backend.close()


async def test_thoughts_count_where_the_server_does_not() -> None:
    with OpenAIStandIn(
        [StandInModel(key="tiny", thoughts="hm " * 200, reply="ok")], flavour=Flavour.OPENAI
    ) as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        stand_in.refusals = [(400, {}, {"error": {"message": "Unknown parameter: stream_options"}})]
        assert end_of(await reply(backend, max_tokens=0)).usage.completion_tokens > 100
        await backend.close()
