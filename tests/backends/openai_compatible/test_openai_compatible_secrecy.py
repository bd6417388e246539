"""What must not leave: secrets in what a server repeats, keys over unverified TLS, prompts through a gateway."""

from __future__ import annotations

import pytest
from openai_serving import backend_for

from mai_backends.openai_compatible.options import OpenAICompatibleOptions
from mai_backends.openai_compatible.server import Server
from mai_core.errors import EngineAbsent, MaiError, SettingsError
from mai_core.policy.models import LoadPlan
from tests.standins.openai import Flavour, OpenAIStandIn

SECRET = "sk-not-for-anyone-4711"


@pytest.mark.parametrize("status", [400, 429, 500])
async def test_a_refused_load_does_not_repeat_the_key(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", SECRET)
    with OpenAIStandIn(key=SECRET, flavour=Flavour.LLAMA_SWAP) as stand_in:
        backend = backend_for(stand_in.url, api_key="env:MINE")
        (model,) = await backend.models()
        stand_in.refusals = [(status, {}, {"error": {"message": f"Received API Key = {SECRET}"}})]
        with pytest.raises(MaiError) as caught:
            await backend.load(model, LoadPlan(context=512))
        assert SECRET not in f"{caught.value} {caught.value.detail}"
        assert "***" in str(caught.value)
        await backend.close()


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "HTTPS://127.0.0.1:1/v1", "Https://example.invalid"])
async def test_certificates_are_verified_however_the_scheme_is_written(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    import httpx

    class Watched(httpx.AsyncClient):
        def __init__(self, **options: object) -> None:
            asked.append(options["verify"])
            super().__init__(**options)  # type: ignore[arg-type]

    monkeypatch.setattr(httpx, "AsyncClient", Watched)
    server = Server("mine", OpenAICompatibleOptions(base_url=url))
    await server.client(seconds=5.0)
    await server.close()
    assert asked == [True]


async def test_a_gateway_on_this_machine_is_remote() -> None:
    """LiteLLM passes prompts on: the loopback in its address says nothing about where they end."""
    with OpenAIStandIn(flavour=Flavour.LITELLM) as stand_in:
        backend = backend_for(stand_in.url)
        (model,) = await backend.models()
        assert model.remote
        await backend.close()
        sought = backend_for(stand_in.url, seek=True)
        with pytest.raises(EngineAbsent):
            await sought.models()
        await sought.close()


@pytest.mark.parametrize("remote", [True, False])
async def test_the_settings_know_better_whether_prompts_leave(remote: bool) -> None:
    for flavour in (Flavour.LITELLM, Flavour.OPENAI):
        with OpenAIStandIn(flavour=flavour) as stand_in:
            backend = backend_for(stand_in.url, remote=remote)
            (model,) = await backend.models()
            assert (backend.remote, model.remote) == (remote, remote)
            await backend.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base_url": "http://127.0.0.1:99999"}, "base_url"),
        ({"base_url": "http://127.0.0.1:port"}, "base_url"),
        ({"base_url": "http://my host"}, "base_url"),
        ({"headers": {"X-Title": "Mäi"}}, "headers"),
        ({"headers": {"X-Title": "a\nb"}}, "headers"),
        ({"headers": {"X Title": "a"}}, "headers"),
        ({"headers": {"X-API-Key": SECRET}}, "headers"),
        ({"headers": {"api-key": SECRET}}, "headers"),
        ({"headers": {"Cookie": SECRET}}, "headers"),
    ],
)
def test_what_cannot_be_sent_is_a_fault_of_the_settings(options: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        backend_for(**{"url": "http://127.0.0.1:1", **_as_arguments(options)})
    assert SECRET not in str(caught.value)


def _as_arguments(options: dict[str, object]) -> dict[str, object]:
    return {{"base_url": "url"}.get(name, name): value for name, value in options.items()}
