"""Images on their way to a server, and servers whose models do not see."""

from __future__ import annotations

from base64 import b64decode

import pytest
from openai_serving import backend_for, end_of, reply, text_of

from mai_core.errors import GenerationError
from mai_core.policy.messages import Message, Role
from mai_core.policy.models import Capability, LoadPlan
from tests.pictures import image
from tests.standins.openai import Flavour, OpenAIStandIn, StandInModel
from tests.standins.openai.models import IMAGE_TOKENS

CAT, DOG = image("cat.png"), image("dog.png", grey=7)
ASKED = (Message(role=Role.USER, content="Which is a cat?", images=(CAT, DOG)),)


async def test_images_come_whole_and_in_order_before_the_text() -> None:
    with OpenAIStandIn([StandInModel(vision=True, reply="The first.")]) as stand_in:
        backend = backend_for(stand_in.url)
        (model,) = await backend.models()
        assert Capability.VISION in model.capabilities
        events = await reply(backend, messages=ASKED)
        (asked,) = stand_in.calls[-1][1]["messages"]
        await backend.close()
    assert text_of(events) == "The first."
    assert end_of(events).usage.prompt_tokens == 4 + 2 * IMAGE_TOKENS
    *images, text = asked["content"]
    assert text == {"type": "text", "text": "Which is a cat?"}
    urls = [part["image_url"]["url"] for part in images]
    assert all(url.startswith("data:image/png;base64,") for url in urls)
    assert [b64decode(url.partition(",")[2]) for url in urls] == [CAT.data, DOG.data]


@pytest.mark.parametrize("flavour", [Flavour.LLAMA_SERVER, Flavour.LITELLM, Flavour.LM_STUDIO])
async def test_servers_tell_which_models_see(flavour: Flavour) -> None:
    with OpenAIStandIn([StandInModel(), StandInModel(key="seer", vision=True)], flavour=flavour) as stand_in:
        backend = backend_for(stand_in.url)
        if flavour is Flavour.LLAMA_SERVER:
            stand_in.models.pop("tiny")  # it serves one
        seeing = [model.key for model in await backend.models() if Capability.VISION in model.capabilities]
        await backend.close()
    assert seeing == ["seer"]


@pytest.mark.parametrize("flavour", list(Flavour))
async def test_a_model_that_does_not_see_fails_at_this_prompt_only(flavour: Flavour) -> None:
    with OpenAIStandIn(flavour=flavour) as stand_in:
        backend = backend_for(stand_in.url, retries=0)
        (model,) = await backend.models()
        await backend.load(model, LoadPlan(context=512))
        with pytest.raises(GenerationError, match="image"):
            await reply(backend, messages=ASKED)
        assert text_of(await reply(backend))
        await backend.close()


async def test_the_estimate_learns_nothing_from_images() -> None:
    long = Message(role=Role.USER, content="Which of the two is a cat? " * 20, images=(CAT,))
    with OpenAIStandIn([StandInModel(vision=True)], flavour=Flavour.OPENAI) as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        before = await backend.count_tokens("tiny", ["word " * 50])
        await reply(backend, messages=[long])
        assert await backend.count_tokens("tiny", ["word " * 50]) == before
        await backend.close()
