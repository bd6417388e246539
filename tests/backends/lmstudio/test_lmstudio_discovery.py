"""Where a server is looked for, and how soon it is known that there is none."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from lmstudio_home import ROOT, free_port
from lmstudio_world import MakeBackend

from mai_backends.lmstudio import discovery
from mai_backends.lmstudio.discovery import LOOPBACK, Address, Found, address_of, candidates, find
from mai_backends.lmstudio.installation import Installation
from mai_backends.lmstudio.plugin import mai_register_backends
from mai_core.errors import BackendUnavailable, EngineAbsent, SettingsError
from mai_core.plugin.interfaces import Backend
from tests.standins.lmstudio import LMStudioStandIn

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


@contextlib.asynccontextmanager
async def listener(answer: bytes | None) -> AsyncIterator[Address]:
    """Something on a port that answers this, or nothing at all."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            if answer is None:
                await reader.read()
            else:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
                await writer.drain()
            writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    async with server:
        yield Address(LOOPBACK, server.sockets[0].getsockname()[1])


def http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_is_registered() -> None:
    (kind,) = mai_register_backends()
    registered: type[Backend] = kind
    assert registered.kind == "lmstudio"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("box", Address("box", 1234)),
        ("box:41343", Address("box", 41343)),
        ("http://192.168.1.5:1234/", Address("192.168.1.5", 1234)),
        ("ws://box", Address("box", 1234)),
        ("[::1]:99", Address("::1", 99)),
    ],
)
def test_ways_to_write_an_address(url: str, address: Address) -> None:
    assert address_of(url) == address
    assert address_of(str(address)) == address


@pytest.mark.parametrize("url", ["https://box", "box:port", "box:99999", "http://", "http://box/v1", ":1"])
def test_what_is_no_address_is_said_at_once(make_backend: MakeBackend, url: str) -> None:
    with pytest.raises(SettingsError, match=r"^backends\.mine\.url: "):
        make_backend(url=url)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"autstart": False}, r'backends\.mine\.autstart: .*did you mean "autostart"\?'),
        ({"colour": 2}, r"backends\.mine\.colour: .*there are: url, home"),
        ({"ttl_seconds": -1}, r"backends\.mine\.ttl_seconds: input should be greater than or equal to 0"),
        ({"gpu": "some"}, r"backends\.mine\.gpu: "),
        ({"gpu": 1.5}, r"backends\.mine\.gpu: "),
    ],
)
def test_wrong_options_are_named(make_backend: MakeBackend, options: dict[str, object], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        make_backend(**options)


@pytest.mark.parametrize(
    ("content", "ports"),
    [
        ('{"port": 50000, "pid": 1}', [50000, 41343, 1234]),
        ('{"port": 1234}', [1234, 41343]),
        ('{"port": "50000"}', [41343, 1234]),
        ('{"port": true}', [41343, 1234]),
        ('{"port": 70000}', [41343, 1234]),
        ("[50000]", [41343, 1234]),
        ("{", [41343, 1234]),
        ("[" * 4000, [41343, 1234]),
    ],
)
def test_the_port_file_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, ports: list[int]
) -> None:
    monkeypatch.setattr(discovery, "PORTS", (41343, 1234))
    assert [place.port for place in candidates(tmp_path)] == [41343, 1234]
    (tmp_path / ".internal").mkdir()
    (tmp_path / ".internal/http-server.json").write_text(content)
    assert candidates(tmp_path) == tuple(Address(LOOPBACK, port) for port in ports)


async def test_the_first_place_that_answers_is_taken(standin: LMStudioStandIn) -> None:
    other = LMStudioStandIn()
    with other:
        here, there = Address(LOOPBACK, standin.port), Address(LOOPBACK, other.port)
        nobody = Address(LOOPBACK, free_port())
        assert await find([nobody, here, there]) == Found(here)
        assert await find([nobody, there, here]) == Found(there)
        assert await find([nobody]) == Found(None)
        assert await find([]) == Found(None)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"\xff\xfe\x00garbage",
        http(b"not JSON"),
        http(b"[" * 3000),
        http(b"{}"),
        http(b'{"lmstudio": "yes"}'),
        http(b"[true]"),
        http(b"\xff\xfe"),
        http(b"x" * 5_000_000),
        b"HTTP/1.1 302 Found\r\nLocation: http://example.com/\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["silent", "garbage", "text", "deep", "empty", "truthy", "list", "binary", "endless", "redirect"],
)
async def test_others_are_not_taken_for_lm_studio(answer: bytes | None, standin: LMStudioStandIn) -> None:
    async with listener(answer) as other:
        began = time.monotonic()
        found = await find([other, Address(LOOPBACK, standin.port)], seconds=3.0)
        assert found == Found(Address(LOOPBACK, standin.port), (other,) if answer is None else ())
        assert time.monotonic() - began < 8.0


async def test_where_nobody_is_that_is_known_at_once(make_backend: MakeBackend) -> None:
    backend = make_backend()
    began = time.monotonic()
    with pytest.raises(EngineAbsent, match="not installed, or not running"):
        await backend.models()
    assert time.monotonic() - began < 5.0
    assert (backend.host, backend.remote) == ("local", False)


async def test_a_configured_server_that_is_not_there_is_a_fault(make_backend: MakeBackend) -> None:
    backend = make_backend(url=f"127.0.0.1:{free_port()}")
    with pytest.raises(BackendUnavailable, match="does not answer at 127") as caught:
        await backend.models()
    assert not isinstance(caught.value, EngineAbsent)


def test_another_machine_is_remote(make_backend: MakeBackend) -> None:
    backend = make_backend(url="http://192.168.1.5:1234")
    assert (backend.host, backend.remote) == ("192.168.1.5", True)


async def test_says_where_it_was_found(make_backend: MakeBackend, standin: LMStudioStandIn, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".internal").mkdir(parents=True)
    (home / ".internal/http-server.json").write_text(json.dumps({"port": standin.port}))
    backend = make_backend(home=str(home))
    assert await backend.models()
    assert backend.note == f"found on port {standin.port}"


def test_where_lm_studio_keeps_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert Installation.of(None) == Installation(tmp_path / ".lmstudio", None)
    (tmp_path / ".cache/lm-studio").mkdir(parents=True)
    assert Installation.of(None).home == tmp_path / ".cache/lm-studio"
    for folder in ("path", ".cache/lm-studio/bin"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "lms").write_text("#!/bin/sh\n")
        (tmp_path / folder / "lms").chmod(0o755)
        assert Installation.of(None).lms == tmp_path / folder / "lms"
    (tmp_path / "moved").mkdir()
    (tmp_path / ".lmstudio-home-pointer").write_text(f"{tmp_path / 'moved'}\n")
    assert Installation.of(None) == Installation(tmp_path / "moved", tmp_path / "path/lms")
    assert Installation.of(tmp_path / "given") == Installation(tmp_path / "given", None), "looked outside of it"


def test_without_lm_studio_nothing_is_paid_for_it(tmp_path: Path) -> None:
    code = f"""
import asyncio, sys
from pathlib import Path
from mai_backends.lmstudio import discovery
from mai_backends.lmstudio.backend import LMStudioBackend
from mai_core.errors import EngineAbsent
from mai_core.plugin.interfaces import BackendContext
discovery.PORTS = ({free_port()},)
root = Path({str(tmp_path)!r})
async def main():
    backend = LMStudioBackend(
        BackendContext(name="lm", options={{"home": str(root)}}, data_dir=root, cache_dir=root, state_dir=root)
    )
    try:
        await backend.models()
    except EngineAbsent:
        await backend.close()
        print(sorted({{"lmstudio", "httpx", "httpx_ws", "msgspec"}} & set(sys.modules)))
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
