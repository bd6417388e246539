"""A proxy of the environment has no business on the loopback."""

from __future__ import annotations

import os

import pytest
from lmstudio_world import KEY, MakeBackend

from mai_backends.lmstudio.proxies import keep_direct
from tests.standins.lmstudio import LMStudioStandIn

NAMES = [f"{scheme}_PROXY" for scheme in ("HTTP", "HTTPS", "ALL", "NO")]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*NAMES, *map(str.lower, NAMES)):
        monkeypatch.setenv(name, "")  # so that what is set in a test is undone
        monkeypatch.delenv(name)


async def test_a_local_server_is_reached_whatever_proxy_is_set(
    monkeypatch: pytest.MonkeyPatch, make_backend: MakeBackend, standin: LMStudioStandIn
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "example.org")
    (model,) = await make_backend(url=f"127.0.0.1:{standin.port}", connect_timeout=10.0).models()
    assert model.key == KEY
    assert os.environ["NO_PROXY"] == "example.org,127.0.0.1"


@pytest.mark.parametrize(("host", "proxy"), [("box", "http://proxy:3128"), ("127.0.0.1", "")])
def test_nothing_else_is_touched(monkeypatch: pytest.MonkeyPatch, host: str, proxy: str) -> None:
    if proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy)
    keep_direct(host)
    assert "NO_PROXY" not in os.environ
