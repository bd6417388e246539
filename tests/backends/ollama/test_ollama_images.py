"""Images on their way to Ollama."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

import pytest
from ollama_talk import backend_for, collect, load, saying

from mai_core.errors import GenerationError
from mai_core.policy.models import Capability
from tests.pictures import image
from tests.standins.ollama import OllamaStandIn
from tests.standins.ollama.chatting import IMAGE_TOKENS

CAT, DOG = image("cat.png"), image("dog.png", grey=7)


async def test_images_come_whole_and_in_order(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path) as backend:
        models = await backend.models()
        assert [model.key for model in models if Capability.VISION in model.capabilities] == ["llava:7b"]
        loaded = await load(backend, "llava:7b")
        text, *_, end = await collect(backend, loaded.instance, [saying("Which is a cat?", images=(CAT, DOG))])
        (path, body) = server.calls[-1]
    assert path == "/api/chat"
    (asked,) = body["messages"]
    assert [b64decode(data) for data in asked["images"]] == [CAT.data, DOG.data]
    assert asked["content"] == "Which is a cat?"
    assert text.startswith(f"You show me {len(CAT.data)} bytes and {len(DOG.data)} bytes")
    assert end.usage.prompt_tokens > 2 * IMAGE_TOKENS


async def test_a_model_that_does_not_see_fails_at_this_prompt_only(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path) as backend:
        loaded = await load(backend)
        with pytest.raises(GenerationError, match="image"):
            await collect(backend, loaded.instance, [saying("What is this?", images=(CAT,))])
        assert (await collect(backend, loaded.instance))[0]


async def test_the_estimate_learns_nothing_from_images(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path) as backend:
        loaded = await load(backend, "llava:7b")
        before = await backend.count_tokens(loaded.instance, ["word " * 50])
        await collect(backend, loaded.instance, [saying("Which of the two is a cat? " * 20, images=(CAT,))])
        assert await backend.count_tokens(loaded.instance, ["word " * 50]) == before
