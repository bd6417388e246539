"""The real async SDK on a healthy stand-in."""

from __future__ import annotations

import asyncio

import lmstudio

from tests.standins.lmstudio import LMStudioStandIn, StandInModel

KEY = "qwen2.5-0.5b-instruct"


async def test_a_whole_conversation(standin: LMStudioStandIn) -> None:
    async with lmstudio.AsyncClient(standin.host) as client:
        config = lmstudio.LlmLoadModelConfig(context_length=1024)
        model = await client.llm.load_new_instance(KEY, "mai", ttl=30, config=config)
        stream = await model.respond_stream("hello")
        got = [fragment.content async for fragment in stream]
        assert "".join(got) == standin.models[KEY].reply
        assert stream.result().stats.stop_reason == "eosFound"
        assert await model.count_tokens("one two") == 2
        assert [each.identifier for each in await client.llm.list_loaded()] == ["mai"]
        await model.unload()
        assert standin.instances == {}


async def test_cancelling_ends_the_stream(standin: LMStudioStandIn) -> None:
    standin.models["slow"] = StandInModel(key="slow", reply="word " * 500, token_seconds=0.02)
    async with lmstudio.AsyncClient(standin.host) as client:
        stream = await (await client.llm.model("slow")).respond_stream("hello")
        heard = 0
        async for _ in stream:
            heard += 1
            if heard == 3:
                await stream.cancel()
        assert stream.result().stats.stop_reason == "userStopped"
        assert standin.generating == 0


async def test_replies_run_side_by_side_on_one_socket(standin: LMStudioStandIn) -> None:
    standin.models["echo"] = StandInModel(
        key="echo", reply=lambda messages: str(messages[-1]["content"]) * 20, token_seconds=0.002
    )
    async with lmstudio.AsyncClient(standin.host) as client:
        model = await client.llm.model("echo")
        replies = await asyncio.gather(*(model.respond(f"word{number} ") for number in range(5)))
    assert [reply.content for reply in replies] == [f"word{number} " * 20 for number in range(5)]


async def test_a_server_that_comes_back_is_there_for_a_namespace_connected_anew(standin: LMStudioStandIn) -> None:
    async with lmstudio.AsyncClient(standin.host) as client:
        standin.restart()
        await asyncio.sleep(0.2)
        await client.llm.disconnect()
        await client.llm.connect()
        assert await client.llm.list_loaded() == []
