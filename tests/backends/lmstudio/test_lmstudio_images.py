"""Images on their way to LM Studio: uploaded once, then named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest
import pytest_asyncio
from lmstudio_world import MakeBackend

from mai_backends.lmstudio.backend import LMStudioBackend
from mai_core.errors import GenerationError
from mai_core.policy.messages import GenerationOptions, Image, Message, ReplyEnd, Role, TextDelta
from mai_core.policy.models import Capability, LoadPlan
from tests.pictures import gif, image
from tests.standins.lmstudio import LMStudioStandIn, StandInModel
from tests.standins.lmstudio.models import Message as Heard
from tests.standins.lmstudio.predicting import IMAGE_TOKENS

CAT, DOG = image("cat.png"), image("dog.png", grey=7)


def told(messages: list[Heard]) -> str:
    return " | ".join(f"{m.get('files', [])} {m['content']}" for m in messages)


@pytest.fixture
def standin() -> Iterator[LMStudioStandIn]:
    models = [StandInModel(key="seer", vision=True, reply=told), StandInModel(key="blind", reply="Hm.")]
    with LMStudioStandIn(models) as server:
        yield server
        assert server.violations == []


@pytest_asyncio.fixture
async def backend(standin: LMStudioStandIn, make_backend: MakeBackend) -> AsyncIterator[LMStudioBackend]:
    yield make_backend(url=standin.host)


async def ask(backend: LMStudioBackend, key: str, *messages: Message) -> tuple[str, ReplyEnd]:
    profile = next(model for model in await backend.models() if model.key == key)
    loaded = await backend.load(profile, LoadPlan(context=4096))
    async with aclosing(backend.generate(loaded.instance, messages, GenerationOptions())) as events:
        heard = [event async for event in events]
    assert isinstance(heard[-1], ReplyEnd)
    return "".join(event.text for event in heard if isinstance(event, TextDelta)), heard[-1]


def show(content: str, *images: Image) -> Message:
    return Message(role=Role.USER, content=content, images=images)


async def test_images_are_uploaded_once_and_named_in_order(standin: LMStudioStandIn, backend: LMStudioBackend) -> None:
    assert [m.key for m in await backend.models() if Capability.VISION in m.capabilities] == ["seer"]
    first = show("Which is a cat?", CAT, DOG)
    text, end = await ask(backend, "seer", first)
    assert text == "['0 - cat.png', '1 - dog.png'] Which is a cat?"
    assert end.usage.prompt_tokens > 2 * IMAGE_TOKENS
    answer = Message(role=Role.ASSISTANT, content="The first.", model="seer")
    again = image("again.png")
    text, _ = await ask(backend, "seer", first, answer, show("And this?", again))
    assert text.endswith("['0 - cat.png'] And this?"), "the content decides, not the name"
    assert list(standin.files.values()) == [CAT.data, DOG.data]


async def test_a_server_that_was_restarted_is_given_them_again(
    standin: LMStudioStandIn, backend: LMStudioBackend
) -> None:
    await ask(backend, "seer", show("What is this?", CAT))
    standin.restart()
    standin.files.clear()
    assert (await ask(backend, "seer", show("What is this?", CAT)))[0] == "['0 - cat.png'] What is this?"


async def test_what_it_does_not_take_for_an_image_fails_at_this_prompt_only(backend: LMStudioBackend) -> None:
    with pytest.raises(GenerationError, match=r"does not take cat\.gif for an image"):
        await ask(backend, "seer", show("What is this?", Image(name="cat.gif", data=gif())))
    assert (await ask(backend, "seer", show("Hello")))[0] == "[] Hello"


async def test_a_model_that_does_not_see_fails_at_this_prompt_only(backend: LMStudioBackend) -> None:
    with pytest.raises(GenerationError, match="images"):
        await ask(backend, "blind", show("What is this?", CAT))
    assert (await ask(backend, "blind", show("Hello")))[0] == "Hm."
