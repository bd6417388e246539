"""Loading and unloading beside others who use the same Ollama."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from ollama_talk import PLAN, QUESTION, SHORT, backend_for, collect, load, saying, settled

from mai_core.errors import ModelCrashed, ModelFileError, ModelLoadError, OutOfMemory
from mai_core.plugin.interfaces import GenerationEvent
from mai_core.policy.messages import GenerationOptions
from mai_core.policy.models import LoadPlan
from tests.standins.faults import Fault
from tests.standins.ollama import OllamaStandIn, StandInModel

KEY = "llama3.2:latest"


def somebody_loads(server: OllamaStandIn, *, context: int, model: str = KEY, keep_alive: int = 60) -> None:
    body = {"model": model, "messages": [], "options": {"num_ctx": context}, "keep_alive": keep_alive}
    httpx.post(f"{server.url}/api/chat", json=body, trust_env=False).raise_for_status()


async def test_a_load_is_measured_and_kept_as_planned(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path, keep_alive=90) as backend:
        loaded = await load(backend)
        assert (loaded.owned, loaded.plan.context, loaded.key) == (True, 2048, KEY)
        assert loaded.footprint.anonymous == server.models[KEY].taken(2048)
        assert loaded.expires_in == pytest.approx(90, abs=5)
        seen = await load(backend, "llava:7b")
        assert seen.footprint.devices["gpu"] == pytest.approx(0.75 * seen.footprint.total, rel=0.01)
        assert {one.key for one in await backend.loaded()} == {KEY, "llava:7b"}
    assert server.instances == []


async def test_for_ever_has_no_end(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path, keep_alive=-1) as backend:
        assert (await load(backend)).expires_in is None


async def test_every_chat_is_sent_with_what_was_loaded(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path) as backend:
        loaded = await load(backend, plan=LoadPlan(context=1024, gpu_layers=-1, threads=3))
        for _ in range(3):
            await collect(backend, loaded.instance)
        assert server.loads == [(KEY, {"num_ctx": 1024, "num_gpu": 999, "num_thread": 3})]


async def test_the_window_an_engine_raises_or_clamps_is_told(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path) as backend:
        seeing = await load(backend, "llava:7b", LoadPlan(context=512))
        assert seeing.plan.context == 2048
        clamped = await load(backend, plan=LoadPlan(context=10**6))
        assert clamped.plan.context == 8192
        for one in (seeing, clamped):
            await collect(backend, one.instance)
            assert one.instance in {each.instance for each in await backend.loaded()}
        assert len(server.loads) == 2


async def test_what_others_loaded_is_used_as_it_is_and_left_alone(server: OllamaStandIn, tmp_path: Path) -> None:
    somebody_loads(server, context=4096)
    async with backend_for(server, tmp_path) as backend:
        assert await backend.loaded() == []
        assert server.calls[-1][0] == "/api/chat", "a server nobody has found yet is not asked every turn"
        await backend.models()
        (found,) = await backend.loaded()
        assert (found.owned, found.plan.context, found.key) == (False, 4096, KEY)
        loaded = await load(backend)
        assert loaded.instance == found.instance
        text, *_ = await collect(backend, found.instance)
        assert text
        assert len(server.loads) == 1, "it was loaded anew"
        assert 50 < server.runners[server.models[KEY].weights].keep_alive < 70
        await backend.unload(found.instance)
    assert server.instances == [KEY]


async def test_what_others_loaded_too_small_is_loaded_anew(server: OllamaStandIn, tmp_path: Path) -> None:
    somebody_loads(server, context=512)
    async with backend_for(server, tmp_path) as backend:
        assert (await load(backend)).owned
        assert [one.plan.context for one in await backend.loaded()] == [2048]
    assert server.instances == []


async def test_a_copy_of_what_others_loaded_is_served_by_it(server: OllamaStandIn, tmp_path: Path) -> None:
    copy = StandInModel(name="mine:latest", weights=server.models[KEY].weights, parameters='stop  "END"')
    server.models[copy.name] = copy
    somebody_loads(server, context=4096)
    async with backend_for(server, tmp_path) as backend:
        loaded = await load(backend, copy.name)
        assert (loaded.key, loaded.owned, loaded.plan.context) == (copy.name, False, 4096)
        assert (await collect(backend, loaded.instance))[0]
        assert len(server.loads) == 1


async def test_a_larger_window_replaces_a_smaller_one(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path) as backend:
        small = await load(backend)
        assert (await load(backend, plan=LoadPlan(context=1024))).instance == small.instance
        large = await load(backend, plan=LoadPlan(context=4096))
        assert [one.instance for one in await backend.loaded()] == [large.instance]
        with pytest.raises(ModelCrashed):
            await collect(backend, small.instance)
        await backend.unload(small.instance)
        assert server.instances == [KEY]


async def test_what_somebody_loads_anew_is_no_longer_ours(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path) as backend:
        loaded = await load(backend)
        somebody_loads(server, context=4096)
        with pytest.raises(ModelCrashed):
            await collect(backend, loaded.instance)
        (found,) = await backend.loaded()
        assert (found.owned, found.plan.context) == (False, 4096)
    assert server.instances == [KEY]


async def test_what_ollama_unloaded_is_not_loaded_behind_our_back(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path) as backend:
        loaded = await load(backend)
        server.kill_runner(KEY)
        with pytest.raises(ModelCrashed):
            await collect(backend, loaded.instance)
        assert len(server.loads) == 1
        assert await backend.loaded() == []


async def test_what_is_gone_or_somebody_elses_now_is_listed_as_such(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path) as backend:
        await load(backend)
        server.kill_runner(KEY)
        assert await backend.loaded() == []
        await load(backend)
        somebody_loads(server, context=4096)
        assert [(one.owned, one.plan.context) for one in await backend.loaded()] == [(False, 4096)]


@pytest.mark.parametrize("silent", [True, False], ids=["while it waits", "while nobody reads"])
async def test_an_unload_does_not_wait_for_a_reply(silent: bool, server: OllamaStandIn, tmp_path: Path) -> None:
    server.models[KEY].token_seconds = 0.01 if silent else 0.2
    server.fault = Fault.HANGS_MID_STREAM if silent else None
    async with backend_for(server, tmp_path) as backend:
        loaded = await load(backend)
        async with aclosing(backend.generate(loaded.instance, QUESTION, GenerationOptions())) as events:
            await anext(events)
            reading = asyncio.ensure_future(_rest(events)) if silent else None
            await asyncio.sleep(0.1)
            async with asyncio.timeout(20.0):
                await backend.unload(loaded.instance)
            assert server.instances == []
            with pytest.raises(ModelCrashed, match="unloaded"):
                await (reading or _rest(events))


async def _rest(events: AsyncGenerator[GenerationEvent, None]) -> None:
    async for _ in events:
        pass


async def test_an_unload_returns_when_the_memory_is_free(server: OllamaStandIn, tmp_path: Path) -> None:
    server.models[KEY].token_seconds = 0.5
    async with backend_for(server, tmp_path) as backend:
        loaded = await load(backend)
        answering = asyncio.ensure_future(collect(backend, loaded.instance, QUESTION, SHORT))
        assert await settled(lambda: server.generating == 1)
        await backend.unload(loaded.instance)
        assert server.instances == []
        with pytest.raises(ModelCrashed, match="unloaded"):
            await answering


@pytest.mark.parametrize("after", [0.0, 0.02, 0.1, 0.15, 0.2, 0.21, 0.22, 0.25])
async def test_a_load_given_up_leaves_nothing(after: float, server: OllamaStandIn, tmp_path: Path) -> None:
    server.models[KEY].load_seconds = 0.2
    async with backend_for(server, tmp_path) as backend:
        profile = next(one for one in await backend.models() if one.key == KEY)
        loading = asyncio.ensure_future(backend.load(profile, PLAN))
        await asyncio.sleep(after)
        loading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await backend.unload((await loading).instance)
        await asyncio.sleep(0.3)
        assert server.instances == []
        assert server.loading == 0


async def test_a_load_given_up_just_after_it_was_done_is_undone(server: OllamaStandIn, tmp_path: Path) -> None:
    server.ps_seconds = 2.0
    async with backend_for(server, tmp_path) as backend:
        profile = next(one for one in await backend.models() if one.key == KEY)
        loading = asyncio.ensure_future(backend.load(profile, PLAN))
        assert await settled(lambda: server.instances == [KEY])
        loading.cancel()
        server.ps_seconds = 0.0
        with pytest.raises(asyncio.CancelledError):
            await loading
        assert server.instances == []


async def test_a_load_others_asked_for_too_is_not_hindered(server: OllamaStandIn, tmp_path: Path) -> None:
    server.models["qwen3:4b"].load_seconds = 3.0
    async with backend_for(server, tmp_path) as backend:
        await load(backend)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await load(backend, "qwen3:4b")
        assert [one.key for one in await backend.loaded()] == [KEY]


@pytest.mark.parametrize(
    ("version", "words"), [("0.33.0", "failed to allocate"), ("0.12.6", "requires more system memory (")]
)
async def test_too_little_memory(version: str, words: str, server: OllamaStandIn, tmp_path: Path) -> None:
    server.version, server.memory = version, 10**8
    async with backend_for(server, tmp_path) as backend:
        with pytest.raises(OutOfMemory) as caught:
            await load(backend)
        assert words in caught.value.message
        assert len(caught.value.message.splitlines()) == 1


async def test_weights_that_are_broken(server: OllamaStandIn, tmp_path: Path) -> None:
    server.models[KEY].load_error = (
        "llama-server process has terminated: exit status 1: error loading model: tensor 'blk.3.attn_k.weight' data "
        "is not within the file bounds, model is corrupted or incomplete\nllama_init_from_model: failed"
    )
    async with backend_for(server, tmp_path) as backend:
        with pytest.raises(ModelFileError, match="not within the file bounds") as caught:
            await load(backend)
        assert len(caught.value.message.splitlines()) == 1
        server.models[KEY].load_error = "unable to load model: /x/blobs/sha256-1"
        with pytest.raises(ModelLoadError, match="unable to load"):
            await load(backend)


async def test_an_old_server_does_not_tell_the_window(server: OllamaStandIn, tmp_path: Path) -> None:
    server.version = "0.9.6"
    async with backend_for(server, tmp_path) as backend:
        loaded = await load(backend)
        assert loaded.plan.context == 2048
        assert (await collect(backend, loaded.instance, (saying("hi"),)))[0]
        assert len(server.loads) == 1
        assert "update it" in backend.note


async def test_closing_does_not_wait_for_what_others_use(server: OllamaStandIn, tmp_path: Path) -> None:
    server.models[KEY] = replace(server.models[KEY], token_seconds=0.1, reply_tokens=400)
    asked = {
        "model": KEY,
        "messages": [{"role": "user", "content": "hi"}],
        "options": {"num_ctx": 2048},
        "shift": False,
    }
    async with httpx.AsyncClient(trust_env=False, timeout=None) as theirs:
        async with backend_for(server, tmp_path) as mine:
            await load(mine)
            reply = asyncio.create_task(theirs.post(f"{server.url}/api/chat", json=asked))
            assert await settled(lambda: server.generating == 1)
            assert len(server.loads) == 1
            began = time.monotonic()
        assert time.monotonic() - began < 15.0
        assert not reply.done()
        server.models[KEY].token_seconds = 0.0
        await reply
    assert await settled(lambda: server.instances == []), "the server unloads it when they are done"
