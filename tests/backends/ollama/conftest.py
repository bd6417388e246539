"""A stand-in for an Ollama server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mai_backends.ollama import loading
from mai_backends.ollama import server as address
from tests.standins.ollama import OllamaStandIn, StandInModel


@pytest.fixture
def server() -> Iterator[OllamaStandIn]:
    """One with a model that chats, one that thinks, one that sees, one that embeds, and one of the cloud."""
    models = [
        StandInModel(),
        StandInModel(name="qwen3:4b", family="qwen3", capabilities=("completion", "tools", "thinking"), size=2_500_000),
        StandInModel(name="llava:7b", capabilities=("completion", "vision"), on_gpu=0.75),
        StandInModel(name="nomic-embed-text:latest", family="nomic-bert", capabilities=("embedding",)),
        StandInModel(name="gpt-oss:120b-cloud", remote_host="https://ollama.com:443", context=131072),
    ]
    with OllamaStandIn(models) as standin:
        yield standin


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines that run tests are shared: who answers at all is late now and then, and no test is to fail for that."""
    monkeypatch.setattr(address, "FIRST_SIGN", 2.0)
    monkeypatch.setattr(address.Server.running, "__defaults__", (3.0,))
    monkeypatch.setattr(loading, "SECONDS_TO_ABANDON", 20.0)


@pytest.fixture(autouse=True)
def _no_ollama_of_this_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an address nor a proxy of the person who runs the tests."""
    for name in ("OLLAMA_HOST", "OLLAMA_API_KEY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
