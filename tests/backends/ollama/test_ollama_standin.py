"""The stand-in says what Ollama's sources say it would, and a slip in one field of it is seen."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import httpx
import ollama
import pytest

from tests.standins.faults import Fault
from tests.standins.ollama import OllamaStandIn
from tests.standins.ollama.schema import ANSWERS, problems

TOOLS = [{"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}]


def chat(server: OllamaStandIn, **body: Any) -> httpx.Response:
    body = {"model": "llama3.2:latest", "messages": [{"role": "user", "content": "hi"}]} | body
    return httpx.post(f"{server.url}/api/chat", json=body, trust_env=False)


def answers(server: OllamaStandIn) -> Iterator[tuple[str, Any]]:
    """One of every kind of answer, and every line of a few replies."""
    for body in (
        {"messages": [], "options": {"num_ctx": 1024}},
        {"options": {"num_predict": 3}},
        {"options": {"num_predict": 3}, "model": "qwen3:4b"},
        {"tools": TOOLS},
        {"format": {"type": "object", "properties": {"age": {"type": "integer"}}}},
    ):
        for line in chat(server, **body).text.splitlines():
            yield "/api/chat", json.loads(line)
    for path in ("/api/version", "/api/tags", "/api/ps"):
        yield path, httpx.get(server.url + path, trust_env=False).json()
    for name in server.models:
        yield "/api/show", httpx.post(f"{server.url}/api/show", json={"model": name}, trust_env=False).json()
    yield "/api/chat", chat(server, messages=[], keep_alive=0).json()
    for path, body in (("/api/show", {"model": "no"}), ("/api/chat", {"model": "no"}), ("/api/chat", {})):
        yield "error", httpx.post(server.url + path, json=body, trust_env=False).json()


def test_every_answer_is_one_of_ollamas(server: OllamaStandIn) -> None:
    seen = set()
    for path, answer in answers(server):
        assert problems(answer, path) == []
        seen.add(path)
    assert seen == set(ANSWERS)


def mutations(answer: Any) -> Iterator[tuple[str, Any]]:
    """The answer with one field renamed, left out, or of another type, at any depth."""
    for path in list(_paths(answer)):
        for kind in ("renamed", "retyped"):
            mutant = copy.deepcopy(answer)
            *way, key = path
            parent = mutant
            for step in way:
                parent = parent[step]
            if kind == "renamed":
                parent[f"{key}x"] = parent.pop(key)
            else:
                parent[key] = 1.5 if not isinstance(parent[key], float) else "x"
            yield f"{kind} {'.'.join(map(str, path))}", mutant


def _paths(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, one in value.items():
            if key in ("model_info", "arguments"):
                continue  # free form
            yield (*way, key)
            yield from _paths(one, (*way, key))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _paths(one, (*way, number))


def test_a_slip_in_any_one_field_is_seen(server: OllamaStandIn) -> None:
    tried = 0
    for path, answer in answers(server):
        for what, mutant in mutations(answer):
            assert problems(mutant, path), f"{path}: nobody noticed {what}"
            tried += 1
    assert tried > 200


def test_unknown_fields_are_seen(server: OllamaStandIn) -> None:
    server.fault = Fault.UNKNOWN_FIELDS
    assert problems(httpx.get(f"{server.url}/api/tags", trust_env=False).json(), "/api/tags")


async def test_the_unmodified_official_client_understands_it(server: OllamaStandIn) -> None:
    client = ollama.AsyncClient(host=server.url)
    assert {model.model for model in (await client.list()).models} == set(server.models)
    shown = await client.show("llama3.2")
    assert shown.modelinfo is not None
    assert shown.modelinfo["llama.block_count"] == 16
    message: ollama.Message = {"role": "user", "content": "hi"}  # type: ignore[assignment]
    pieces = [piece async for piece in await client.chat("llama3.2:latest", [message], stream=True)]
    assert pieces[-1].done_reason == "stop"
    assert "".join(piece.message.content or "" for piece in pieces).startswith("Once upon a time")
    assert [model.name for model in (await client.ps()).models] == ["llama3.2:latest"]
    with pytest.raises(ollama.ResponseError, match="model 'no' not found"):
        await client.show("no")
    await client.close()


def test_it_schedules_as_ollama_does(server: OllamaStandIn) -> None:
    chat(server, messages=[], options={"num_ctx": 1024})
    chat(server, messages=[], options={"num_ctx": 1024, "num_gpu": -1})
    assert len(server.loads) == 1, "the same options were loaded anew"
    chat(server, messages=[], options={"num_ctx": 2048})
    assert len(server.loads) == 2
    chat(server, messages=[], options={"num_ctx": 2048}, shift=False)
    assert len(server.loads) == 3, "shift belongs to what is loaded"
    chat(server, messages=[], options={"num_ctx": 10**9}, shift=False)
    chat(server, messages=[], options={"num_ctx": 8192}, shift=False)
    assert len(server.loads) == 4, "more than it was trained for is clamped"
    assert chat(server, messages=[], keep_alive=0).json()["done_reason"] == "unload"
    assert server.instances == []
    chat(server, messages=[], keep_alive=0.05)
    chat(server, messages=[], model="llava:7b", options={"num_ctx": 512}, keep_alive=-1)
    rows = httpx.get(f"{server.url}/api/ps", trust_env=False).json()["models"]
    assert rows[0]["context_length"] == 2048, "with vision the window is never smaller"
    assert rows[0]["expires_at"] > "2300"


def test_an_older_one_cuts_a_prompt_and_a_newer_one_refuses(server: OllamaStandIn) -> None:
    long = [{"role": "user", "content": "word " * 300}, {"role": "user", "content": "and now?"}]
    asked = {"messages": long, "truncate": False, "options": {"num_ctx": 128, "num_predict": 1}}
    refused = chat(server, **asked)
    assert refused.status_code == 400
    assert json.loads(refused.json()["error"])["error"]["n_ctx"] == 128
    server.version = "0.12.5"
    assert json.loads(chat(server, **asked).text.splitlines()[-1])["prompt_eval_count"] < 128
