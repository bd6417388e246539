"""A server that stands still: told apart from none, and from one that answered before."""

from __future__ import annotations

import sys

import pytest
from openai_serving import backend_for

from mai_core.errors import BackendUnavailable, EngineAbsent
from tests.standins.apart import apart
from tests.standins.faults import Fault
from tests.standins.openai import Flavour, OpenAIStandIn

stops = pytest.mark.skipif(sys.platform == "win32", reason="no process can be stopped there")


@stops
async def test_one_that_is_only_looked_for_and_stands_still() -> None:
    """No fault, but not nothing either: what to do about it is told."""
    with apart("openai", "--flavour", "vllm") as server:
        backend = backend_for(server.told, seek=True, deadlines={"listing": 3.0})
        server.freeze()
        with pytest.raises(EngineAbsent, match=r"something listens at .* but does not answer within 3 s") as caught:
            await backend.models()
        assert "restart it" in caught.value.remedy
        assert list(await backend.loaded()) == []
        server.thaw()
        assert [model.key for model in await backend.models()] == ["tiny"]
        server.freeze()
        with pytest.raises(BackendUnavailable, match="stopped answering") as missed:
            await backend.models()
        assert type(missed.value) is BackendUnavailable
        await backend.close()


async def test_one_whose_queue_is_full() -> None:
    stand_in = OpenAIStandIn()
    stand_in.fault = Fault.HANGS_AT_CONNECT
    with stand_in:
        backend = backend_for(stand_in.url, seek=True)
        with pytest.raises(EngineAbsent, match="something listens"):
            await backend.models()
        await backend.close()


async def test_one_that_is_gone_after_it_answered() -> None:
    with OpenAIStandIn() as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
    with pytest.raises(BackendUnavailable, match="stopped answering"):
        await backend.models()
    await backend.close()


async def test_one_that_wants_a_key_is_not_taken_for_none() -> None:
    with OpenAIStandIn(flavour=Flavour.VLLM, key="sk-4711") as stand_in:
        backend = backend_for(stand_in.url, seek=True)
        with pytest.raises(EngineAbsent, match="wants a key") as caught:
            await backend.models()
        assert "backends.mine.api_key" in caught.value.remedy
        await backend.close()
