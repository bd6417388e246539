"""The Hugging Face hub: the real client against a stand-in of its HTTP API on loopback."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from gguf_writer import F32, LLAMA, TENSORS, gguf, tiny
from loopback import Loopback, loopback_server

from mai_backends.embedded.ahead import look_ahead
from mai_backends.embedded.library import Library
from mai_backends.embedded.sources import Access
from mai_backends.embedded.sources.hub import HubFile, choose, from_page
from mai_backends.transport import Patience
from mai_core.errors import ChecksumMismatch, FetchError, Offline

COMMIT = "0123456789abcdef0123456789abcdef01234567"
Q4, Q8 = tiny(name="q4", weights=400_000), tiny(name="q8", weights=800_000)


class Hub:
    def __init__(self, server: Loopback) -> None:
        self.server = server

    def repository(self, name: str, files: dict[str, bytes], **options: object) -> None:
        siblings = [
            {
                "rfilename": path,
                "size": len(content),
                "blobId": "b",
                "lfs": {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134},
            }
            for path, content in files.items()
        ]
        info = {"_id": "1", "id": name, "modelId": name, "sha": COMMIT, "private": False, "siblings": siblings}
        self.server.serve(f"/api/models/{name}", json.dumps(info).encode(), content_type="application/json")
        for path, content in files.items():
            self.server.serve(f"/{name}/resolve/{COMMIT}/{path}", content, **options)

    def refuse(self, name: str, status: int, code: str = "") -> None:
        self.server.serve(
            f"/api/models/{name}",
            b'{"error": "no"}',
            status=[status] * 9,
            content_type="application/json",
            headers={"X-Error-Code": code, "X-Error-Message": "no"} if code else {},
        )


@pytest.fixture
def hub(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    return Hub(server)


@pytest.fixture
def library(make_library: Callable[..., Library], server: Loopback) -> Library:
    return make_library(environment={"HF_ENDPOINT": server.url, "HF_TOKEN": "hf_secret"})


FILES = {"README.md": b"#", "Name-Q8_0.gguf": Q8, "Name-Q4_K_M.gguf": Q4, "mmproj-Q4_K_M.gguf": b"x"}


@pytest.mark.parametrize(
    ("source", "key", "content"),
    [
        ("hf:owner/Name-GGUF", "name-q4_k_m", Q4),
        ("hf:owner/Name-GGUF:q8_0", "name-q8_0", Q8),
        ("hf:owner/Name-GGUF/Name-Q8_0.gguf", "name-q8_0", Q8),
        ("https://huggingface.co/owner/Name-GGUF/blob/main/Name-Q8_0.gguf", "name-q8_0", Q8),
    ],
)
async def test_a_repository(library: Library, hub: Hub, source: str, key: str, content: bytes) -> None:
    hub.repository("owner/Name-GGUF", FILES)
    profile = await library.fetch(source)
    assert (profile.key, profile.sha256) == (key, hashlib.sha256(content).hexdigest())
    downloads = [headers for _, path, headers in hub.server.requests if "/resolve/" in path]
    assert [headers["authorization"] for headers in downloads] == ["Bearer hf_secret"]


async def test_an_interrupted_file_is_continued(library: Library, hub: Hub) -> None:
    hub.repository("owner/n", {"n-Q4_K_M.gguf": Q4}, drops=[900_000])
    await library.fetch("hf:owner/n")
    assert hub.server.sent[f"/owner/n/resolve/{COMMIT}/n-Q4_K_M.gguf"] == len(Q4)


async def test_the_token_does_not_follow_to_another_host(library: Library, hub: Hub) -> None:
    hub.repository("owner/n", {"n-Q4_K_M.gguf": Q4})
    with loopback_server() as store:
        target = store.serve("/blob", Q4).replace("127.0.0.1", "localhost")
        path = f"/owner/n/resolve/{COMMIT}/n-Q4_K_M.gguf"
        hub.server.serve(path, b"", status=[302] * 9, headers={"Location": target})
        await library.fetch("hf:owner/n")
        assert [headers.get("authorization") for headers in store.asked("/blob")] == [None]
    assert hub.server.asked(path)[0]["authorization"] == "Bearer hf_secret"


async def test_other_bytes_than_the_hub_published(library: Library, hub: Hub, models: Path) -> None:
    hub.repository("owner/n", {"n-Q4_K_M.gguf": Q4})
    path = f"/owner/n/resolve/{COMMIT}/n-Q4_K_M.gguf"
    hub.server.files[path].content = Q4[:-1] + b"\xff"
    with pytest.raises(ChecksumMismatch):
        await library.fetch("hf:owner/n")
    hub.server.files[path].content = Q8
    with pytest.raises(ChecksumMismatch, match="offers"):
        await library.fetch("hf:owner/n")
    assert await library.profiles() == []


async def test_a_split_model_is_fetched_whole(library: Library, hub: Hub) -> None:
    head = gguf({**LLAMA, "split.count": 2, "split.no": 0}, TENSORS)
    rest = gguf({"split.count": 2, "split.no": 1}, (("blk.2.ffn_up.weight", (5000,), F32),))
    names = [f"Q4_K_M/big-Q4_K_M-0000{number}-of-00002.gguf" for number in (1, 2)]
    hub.repository("owner/big", {names[1]: rest, names[0]: head})
    profile = await library.fetch("hf:owner/big")
    assert (profile.key, profile.size_bytes, profile.parameters) == ("big-q4_k_m", len(head) + len(rest), 6600)
    await library.verify(profile)


@pytest.mark.parametrize(
    ("status", "code", "message", "remedy"),
    [
        (404, "RepoNotFound", "has no repository owner/n", "HF_TOKEN"),
        (401, "RepoNotFound", "has no repository owner/n", "HF_TOKEN"),
        (403, "GatedRepo", "gated", "accept them"),
        (403, "", "answered 403", "HF_TOKEN"),
        (500, "", "answered 500", "later"),
    ],
)
async def test_refusals(library: Library, hub: Hub, status: int, code: str, message: str, remedy: str) -> None:
    hub.refuse("owner/n", status, code)
    with pytest.raises(FetchError, match=message) as caught:
        await library.fetch("hf:owner/n")
    assert remedy in caught.value.remedy
    assert "hf_secret" not in str(caught.value)


async def test_a_gated_file(library: Library, hub: Hub) -> None:
    hub.repository("owner/n", {"n-Q4_K_M.gguf": Q4}, status=[403])
    with pytest.raises(FetchError, match=r"does not let you read n-Q4_K_M\.gguf"):
        await library.fetch("hf:owner/n")


async def test_no_network(make_library: Callable[..., Library]) -> None:
    with pytest.raises(Offline, match="cannot be reached"):
        await make_library(environment={"HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN": "x"}).fetch("hf:owner/n")


async def test_an_answer_that_is_no_listing(library: Library, hub: Hub) -> None:
    hub.server.serve("/api/models/owner/n", b"<html>captive portal</html>", content_type="text/html")
    with pytest.raises(FetchError, match="no listing"):
        await library.fetch("hf:owner/n")


def names(files: list[HubFile]) -> list[str]:
    return [file.path for file in files]


def listing(*paths: str) -> list[HubFile]:
    return [HubFile(path=path, size=len(paths) - place) for place, path in enumerate(paths)]


def test_the_choice_of_a_file() -> None:
    assert names(choose("o/n", listing("a-Q8_0.gguf", "a-Q4_K_S.gguf", "a-Q4_0.gguf"))) == ["a-Q4_K_S.gguf"]
    assert names(choose("o/n", listing("a-Q2_K.gguf", "a-F16.gguf"))) == ["a-F16.gguf"]  # the smallest
    assert names(choose("o/n", listing("Q8_0/a.gguf", "F16/a.gguf"), quantisation="f16")) == ["F16/a.gguf"]
    assert names(choose("o/n", listing("a.q4_k_m.gguf", "a.Q4_K_M-v2.gguf"))) == ["a.Q4_K_M-v2.gguf"]
    parts = ("a-Q4_0-00001-of-00002.gguf", "a-Q4_0-00002-of-00002.gguf")
    assert names(choose("o/n", listing(*reversed(parts)))) == list(parts)


@pytest.mark.parametrize(
    ("paths", "wanted", "message"),
    [
        (("model.safetensors",), {}, "has no GGUF files"),
        (("mmproj-a.gguf",), {}, "has no GGUF files"),
        (("a-Q4_0.gguf",), {"quantisation": "Q8_0"}, "has no Q8_0 file; it has a-Q4_0.gguf"),
        (("a-IQ4_0.gguf",), {"quantisation": "Q4_0"}, "has no Q4_0 file"),
        (("a-Q4_0.gguf",), {"path": "b.gguf"}, "has no file b.gguf; it has a-Q4_0.gguf"),
        (("a-Q4_0-00001-of-00002.gguf",), {}, "00002-of-00002.gguf is missing"),
    ],
)
def test_no_choice(paths: tuple[str, ...], wanted: dict[str, str], message: str) -> None:
    with pytest.raises(FetchError, match=message):
        choose("o/n", listing(*paths), **wanted)


def test_pages_of_the_hub(home: Path) -> None:
    access = Access(environment={"HF_ENDPOINT": "https://mirror.example"}, home=home)
    assert from_page("https://mirror.example/o/n/resolve/main/d/a%20b.gguf", access) == "hf:o/n/d/a b.gguf"
    assert from_page("https://huggingface.co/o/n/blob/main/a.gguf?download=true", access) == "hf:o/n/a.gguf"
    assert from_page("https://example.com/o/n/blob/main/a.gguf", access) is None
    assert from_page("https://huggingface.co/o/n/blob/other/a.gguf", access) is None


@pytest.fixture
def access(server: Loopback, tmp_path: Path) -> Access:
    return Access(environment={"HF_ENDPOINT": server.url, "HF_TOKEN": "hf_secret"}, home=tmp_path)


async def test_a_model_of_the_hub_is_looked_into_before_it_is_fetched(hub: Hub, access: Access) -> None:
    hub.repository("owner/Name-GGUF", FILES)
    found = await look_ahead("hf:owner/Name-GGUF", access, Patience())
    assert (found.filename, found.size, found.facts.name) == ("Name-Q4_K_M.gguf", len(Q4), "q4")
    (asked,) = hub.server.asked(f"/owner/Name-GGUF/resolve/{COMMIT}/Name-Q4_K_M.gguf")
    assert asked["authorization"] == "Bearer hf_secret"
    assert asked["range"].startswith("bytes=0-")


async def test_all_parts_of_a_split_model_are_looked_into(hub: Hub, access: Access) -> None:
    split = [{**LLAMA, "split.no": 0, "split.count": 2}, {"split.no": 1, "split.count": 2}]
    parts = [gguf(metadata, rows) for metadata, rows in zip(split, (TENSORS, (("more", (64,), F32),)), strict=True)]
    hub.repository("owner/Big-GGUF", {f"Big-Q8_0-0000{n + 1}-of-00002.gguf": part for n, part in enumerate(parts)})
    found = await look_ahead("hf:owner/Big-GGUF:Q8_0", access, Patience())
    assert (found.filename, found.size) == ("Big-Q8_0-00001-of-00002.gguf", sum(map(len, parts)))
    assert found.facts.parameters == 1600 + 64


async def test_what_the_hub_does_not_have_cannot_be_looked_into(hub: Hub, access: Access) -> None:
    hub.repository("owner/Name-GGUF", {"Name-Q8_0.gguf": b"<!doctype html>"})
    with pytest.raises(FetchError, match="no usable model"):
        await look_ahead("hf:owner/Name-GGUF", access, Patience())
    with pytest.raises(FetchError, match="no Q2_K file"):
        await look_ahead("hf:owner/Name-GGUF:Q2_K", access, Patience())
    with pytest.raises(FetchError, match="there is no file"):
        await look_ahead("/nowhere/x.gguf", access, Patience())
