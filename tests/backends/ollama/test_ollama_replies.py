"""What a reply brings, and what it is asked for with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ollama_talk import QUESTION, SHORT, backend_for, collect, load, saying, settled

from mai_core.errors import AccessDenied, ContextExceeded, GenerationError
from mai_core.policy.messages import GenerationOptions, Role, StopReason, Tool, ToolCall
from mai_core.policy.models import LoadPlan
from tests.standins.faults import Fault
from tests.standins.ollama import OllamaStandIn
from tests.standins.ollama.models import STORY

KEY = "llama3.2:latest"
NESTED: dict[str, Any] = {
    "type": "object",
    "properties": {
        "place": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "unit": {"anyOf": [{"type": "string", "enum": ["C", "F"]}, {"type": "null"}]},
    },
    "required": ["place"],
}


def last_chat(server: OllamaStandIn) -> dict[str, Any]:
    return [body for path, body in server.calls if path == "/api/chat" and body.get("messages")][-1]


async def test_true_counts(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path) as backend:
        loaded = await load(backend)
        text, _, _, end = await collect(backend, loaded.instance)
        assert text == "".join(f"{word} " for word in STORY.split()[:8])
        assert (end.stop, end.usage.completion_tokens) == (StopReason.LENGTH, 8)
        assert 8 < end.usage.prompt_tokens < 20
        assert end.usage.completion_seconds > 0


async def test_everything_asked_for_arrives(server: OllamaStandIn, tmp_path: Path) -> None:
    server.models[KEY].parameters = 'stop                           "<|eot_id|>"\ntemperature  0.6'
    options = GenerationOptions(max_tokens=3, temperature=0.2, top_p=0.5, seed=7, stop=("END",))
    async with backend_for(server, tmp_path, keep_alive=77) as backend:
        await collect(backend, (await load(backend)).instance, QUESTION, options)
    body = last_chat(server)
    assert body["options"] == {
        "num_ctx": 2048,
        "num_predict": 3,
        "temperature": 0.2,
        "top_p": 0.5,
        "seed": 7,
        "stop": ["END", "<|eot_id|>"],
    }
    assert (body["truncate"], body["shift"], body["keep_alive"], body["stream"]) == (False, False, 77, True)
    assert "think" not in body


async def test_thoughts_are_kept_apart(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path) as backend:
        text, thoughts, *_ = await collect(backend, (await load(backend, "qwen3:4b")).instance)
        assert thoughts == "Let me think . "
        assert text.startswith("Once upon")


async def test_an_answer_that_has_begun_goes_on(server: OllamaStandIn, tmp_path: Path) -> None:
    begun = (*QUESTION, saying("Once upon a time", Role.ASSISTANT))
    async with backend_for(server, tmp_path) as backend:
        text, thoughts, *_ = await collect(backend, (await load(backend, "qwen3:4b")).instance, begun)
        assert text.startswith("a dragon lived")
        assert thoughts == ""
        assert last_chat(server)["think"] is False


async def test_tools_there_and_back(server: OllamaStandIn, tmp_path: Path) -> None:
    tool = Tool(name="weather", description="of a place", parameters=NESTED)
    async with backend_for(server, tmp_path) as backend:
        instance = (await load(backend)).instance
        options = GenerationOptions(max_tokens=5, tools=(tool,))
        _, _, events, end = await collect(backend, instance, QUESTION, options)
        (call,) = (event for event in events if isinstance(event, ToolCall))
        assert (call.id, call.name) == ("call_1a2b3c4d", "weather")
        assert json.loads(call.arguments)["place"] == {"city": "yes"}
        assert end.stop is StopReason.TOOLS
        assert last_chat(server)["tools"][0]["function"]["parameters"] == NESTED, "part of the schema was lost"
        answered = (
            *QUESTION,
            saying("", Role.ASSISTANT, tool_calls=(call,)),
            saying("11 degrees", Role.TOOL, tool_call_id=call.id),
        )
        assert (await collect(backend, instance, answered, options))[0]
        _, asked, told = last_chat(server)["messages"]
        assert asked["tool_calls"][0]["function"]["arguments"] == {"place": {"city": "yes"}, "unit": "yes"}
        assert (told["role"], told["tool_name"], told["tool_call_id"]) == ("tool", "weather", call.id)


async def test_a_model_without_tools_says_so(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path) as backend:
        instance = (await load(backend, "llava:7b")).instance
        with pytest.raises(GenerationError, match="does not support tools"):
            await collect(backend, instance, QUESTION, GenerationOptions(tools=(Tool(name="t"),)))


async def test_a_schema_binds_the_reply(server: OllamaStandIn, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
    async with backend_for(server, tmp_path) as backend:
        text, *_ = await collect(
            backend, (await load(backend)).instance, QUESTION, GenerationOptions(json_schema=schema)
        )
        assert json.loads(text) == {"age": 7}
        assert last_chat(server)["format"] == schema


@pytest.mark.parametrize(
    "text", ["a\x85b c\u2028d", "half \ud83d of a pair", "naïve 日本 👩‍👩‍👧‍👦", 'quotes " and \\ and \x00']
)
async def test_any_text_goes_there_and_comes_back(text: str, server: OllamaStandIn, tmp_path: Path) -> None:
    expected = text.encode("utf-8", "replace").decode()
    server.models[KEY].reply, server.models[KEY].reply_tokens = expected, len(expected.split())
    async with backend_for(server, tmp_path) as backend:
        said, *_ = await collect(backend, (await load(backend)).instance, (saying(text),))
        assert last_chat(server)["messages"][0]["content"] == expected
        assert "".join(said.split()) == "".join(expected.split())


async def test_bytes_that_are_no_text_show_as_such(server: OllamaStandIn, tmp_path: Path) -> None:
    server.fault = Fault.INVALID_UTF8
    async with backend_for(server, tmp_path) as backend:
        assert "\ufffd" in (await collect(backend, (await load(backend)).instance))[0]


async def test_a_prompt_that_is_too_long_is_refused_by_the_server(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path) as backend:
        instance = (await load(backend, plan=LoadPlan(context=512))).instance
        with pytest.raises(ContextExceeded, match=r"1004 tokens, .* window of 512"):
            await collect(backend, instance, (saying("antidisestablishment " * 250),))
        with pytest.raises(ContextExceeded, match="some 600 tokens"):
            await collect(backend, instance, (saying("a " * 600),))


async def test_a_prompt_that_an_old_server_would_cut_is_not_sent(server: OllamaStandIn, tmp_path: Path) -> None:
    server.version = "0.12.5"
    async with backend_for(server, tmp_path) as backend:
        instance = (await load(backend, plan=LoadPlan(context=512))).instance
        sent = len(server.calls)
        with pytest.raises(ContextExceeded):
            await collect(backend, instance, (saying("antidisestablishment " * 100),))
        assert [path for path, _ in server.calls[sent:]] == ["/api/ps"]


async def test_a_prompt_that_was_cut_all_the_same_is_noticed(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path) as backend:
        instance = (await load(backend, plan=LoadPlan(context=512))).instance
        server.version = "0.12.5"  # updated behind our back, to an older one
        with pytest.raises(ContextExceeded, match="read only"):
            await collect(backend, instance, (saying("cats, dogs; " * 200), saying("and now?")))


async def test_a_window_that_is_full_ends_a_reply(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path) as backend:
        instance = (await load(backend, plan=LoadPlan(context=64))).instance
        _, _, _, end = await collect(backend, instance, QUESTION, GenerationOptions())
        assert end.stop is StopReason.CONTEXT
        assert end.usage.prompt_tokens + end.usage.completion_tokens == 64


async def test_ollama_gives_up_on_a_model_that_repeats_itself(server: OllamaStandIn, tmp_path: Path) -> None:
    server.models[KEY].reply = "again "
    async with backend_for(server, tmp_path) as backend:
        _, _, _, end = await collect(backend, (await load(backend)).instance, QUESTION, GenerationOptions())
        assert end.stop is StopReason.REPEATED


async def test_counts_are_learned(server: OllamaStandIn, tmp_path: Path) -> None:
    text = "antidisestablishmentarianism " * 20
    async with backend_for(server, tmp_path) as backend:
        instance = (await load(backend)).instance
        (before,) = await backend.count_tokens(instance, [text])
        for _ in range(20):
            *_, end = await collect(backend, instance, (saying(text),))
        (after,) = await backend.count_tokens(instance, [text])
        assert end.usage.prompt_tokens <= after < before


async def test_a_key_is_shown_and_nobody_elses(
    server: OllamaStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "the key to ollama.com")
    monkeypatch.setenv("MY_KEY", "open")
    server.api_key = "open"
    async with backend_for(server, tmp_path, api_key="env:MY_KEY") as backend:
        assert (await collect(backend, (await load(backend)).instance))[0]
    server.api_key = "the key to ollama.com"
    async with backend_for(server, tmp_path) as backend:
        with pytest.raises(AccessDenied):
            await backend.models()


async def test_no_proxy_sees_the_loopback(
    server: OllamaStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with backend_for(server, tmp_path) as backend:
        assert (await collect(backend, (await load(backend)).instance, QUESTION, SHORT))[0]
        assert await settled(lambda: server.generating == 0)
