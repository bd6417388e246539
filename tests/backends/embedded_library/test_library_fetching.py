"""Fetching over a network that breaks, beside processes that die, on disks that are full."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from gguf_writer import LLAMA, TENSORS, gguf, tiny, write
from loopback import Loopback

from mai_backends.embedded.library import Library
from mai_backends.transport import Patience
from mai_core.errors import ChecksumMismatch, DiskFull, FetchError, Offline, UnknownModel
from mai_core.plugin.interfaces import FetchProgress
from mai_core.policy.models import KnownModel, ModelProfile

CONTENT = tiny(weights=1_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PATH = "/models/Tiny-1B.Q8_0.gguf"
CHILD = Path(__file__).with_name("fetch_child.py")
TWO_SECONDS = 0.03  # between chunks of 64 KiB


def files_in(models: Path) -> list[str]:
    """Names of everything in Mai's folder but its locks."""
    paths = [path for path in models.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return sorted(str(path.relative_to(models)) for path in paths)


def content_of(profile: ModelProfile) -> bytes:
    return Path(profile.location).read_bytes()


def same_file(profile: ModelProfile, file: Path) -> bool:
    return Path(profile.location).samefile(file)


def flip_a_byte_unnoticed(file: str) -> None:
    """Damage that not even the modification time tells of."""
    status = os.stat(file)
    with open(file, "r+b") as stream:
        stream.seek(-9, os.SEEK_END)
        stream.write(b"\xff")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


INSTALLED = ["Tiny-1B.Q8_0.gguf", "Tiny-1B.Q8_0.gguf.mai.json"]


async def test_a_model_arrives_whole_with_its_origin(library: Library, server: Loopback, models: Path) -> None:
    seen: list[FetchProgress] = []
    source = server.serve(PATH, CONTENT)
    profile = await library.fetch(source, sha256=DIGEST.upper(), progress=seen.append)
    assert (profile.key, profile.origin, profile.sha256) == ("tiny-1b-q8_0", "mai", DIGEST)
    assert content_of(profile) == CONTENT
    assert files_in(models) == INSTALLED
    assert json.loads((models / INSTALLED[1]).read_text()) == {"source": source, "sha256": DIGEST, "size": len(CONTENT)}
    stages = list(dict.fromkeys(progress.stage for progress in seen))
    assert stages == ["resolving", "downloading", "verifying"]
    last = [progress for progress in seen if progress.stage == "downloading"][-1]
    assert last.done == last.total == len(CONTENT)


async def test_progress_is_told_at_most_about_twenty_times_a_second(library: Library, server: Loopback) -> None:
    seen: list[FetchProgress] = []
    started = time.monotonic()
    await library.fetch(server.serve(PATH, CONTENT, pace=0.005), progress=seen.append)
    assert len(seen) <= (time.monotonic() - started) * 20 + 8
    downloading = [progress.done for progress in seen if progress.stage == "downloading"]
    assert downloading == sorted(downloading)


async def test_the_second_fetch_asks_for_nothing(library: Library, server: Loopback) -> None:
    source = server.serve(PATH, CONTENT)
    first = await library.fetch(source, sha256=DIGEST)
    server.requests.clear()
    assert await library.fetch(source, sha256=DIGEST) == first
    assert await library.fetch(source) == first
    assert not server.requests


async def test_fetching_again_repairs_a_damaged_model(library: Library, server: Loopback) -> None:
    source = server.serve(PATH, CONTENT)
    profile = await library.fetch(source, sha256=DIGEST)
    flip_a_byte_unnoticed(profile.location)
    assert content_of(profile) != CONTENT
    assert (await library.fetch(profile.key)).sha256 == DIGEST
    assert content_of(profile) == CONTENT


async def test_a_dropped_connection_is_continued_where_it_broke(library: Library, server: Loopback) -> None:
    source = server.serve(PATH, CONTENT, drops=[1_000_000, 600_000, 10])
    profile = await library.fetch(source, sha256=DIGEST)
    assert content_of(profile) == CONTENT
    assert server.sent[PATH] == len(CONTENT)
    assert [headers.get("range") for headers in server.asked(PATH)] == [
        None,
        "bytes=1000000-",
        "bytes=1600000-",
        "bytes=1600010-",
    ]


async def test_an_endlessly_dropping_server_is_given_up_on(library: Library, server: Loopback, models: Path) -> None:
    source = server.serve(PATH, CONTENT, drops=[500_000] + [0] * 50)
    with pytest.raises(Offline, match="cannot be reached") as caught:
        await library.fetch(source, sha256=DIGEST)
    assert "kept" in caught.value.remedy
    assert len(server.asked(PATH)) < 10
    server.files[PATH].drops.clear()
    await library.fetch(source, sha256=DIGEST)
    assert server.sent[PATH] == len(CONTENT)
    assert files_in(models) == INSTALLED


async def test_a_server_that_ignores_ranges_sends_it_all_again(library: Library, server: Loopback) -> None:
    source = server.serve(PATH, CONTENT, drops=[1_000_000], ranges=False)
    profile = await library.fetch(source, sha256=DIGEST)
    assert content_of(profile) == CONTENT


@pytest.mark.parametrize("if_range", [True, False], ids=["if-range", "no if-range"])
@pytest.mark.parametrize("known", [True, False], ids=["digest", "no digest"])
async def test_a_file_that_changed_meanwhile_is_not_joined(
    library: Library, server: Loopback, known: bool, if_range: bool
) -> None:
    old = bytes(reversed(CONTENT))
    source = server.serve(PATH, old, etag='"old"', drops=[1_000_000] + [0] * 20)
    with pytest.raises(Offline):
        await library.fetch(source)
    assert server.asked(PATH)[-1]["if-range"] == '"old"'
    server.serve(PATH, CONTENT, etag='"new"', if_range=if_range)
    profile = await library.fetch(source, sha256=DIGEST if known else "")
    assert content_of(profile) == CONTENT


async def test_an_unversioned_file_without_digest_is_never_continued(library: Library, server: Loopback) -> None:
    source = server.serve(PATH, CONTENT, etag="", drops=[1_000_000])
    profile = await library.fetch(source)
    assert content_of(profile) == CONTENT
    assert all("range" not in headers for headers in server.asked(PATH))


async def test_a_damaged_part_is_fetched_anew_once(library: Library, server: Loopback, models: Path) -> None:
    source = server.serve(PATH, CONTENT, drops=[1_000_000] + [0] * 20)
    with pytest.raises(Offline):
        await library.fetch(source, sha256=DIGEST)
    part = models / ".incoming" / "Tiny-1B.Q8_0.gguf.part"
    part.write_bytes(bytes(part.stat().st_size))
    server.files[PATH].drops.clear()
    profile = await library.fetch(source, sha256=DIGEST)
    assert content_of(profile) == CONTENT


async def test_other_bytes_than_published_are_refused(library: Library, server: Loopback, models: Path) -> None:
    source = server.serve(PATH, CONTENT)
    with pytest.raises(ChecksumMismatch, match="not what was published"):
        await library.fetch(source, sha256="0" * 64)
    assert files_in(models) == []
    assert await library.profiles() == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>Please log in</html>", "not a GGUF file"),
        (CONTENT[:-100], "truncated"),
        (gguf({**LLAMA, "general.type": "mmproj"}, TENSORS), "projector"),
        (gguf({"general.architecture": "flux"}, TENSORS), "no language model"),
    ],
)
async def test_what_is_no_chat_model_is_refused(
    library: Library, server: Loopback, models: Path, content: bytes, message: str
) -> None:
    with pytest.raises(FetchError, match=message):
        await library.fetch(server.serve(PATH, content))
    assert files_in(models) == []


@pytest.mark.parametrize(("status", "message"), [(404, "has no"), (403, "does not let you"), (418, "answered 418")])
async def test_refusals_are_final(library: Library, server: Loopback, status: int, message: str) -> None:
    source = server.serve(PATH, CONTENT, status=[status] * 9)
    with pytest.raises(FetchError, match=message) as caught:
        await library.fetch(source)
    assert not isinstance(caught.value, Offline)
    assert len(server.asked(PATH)) == 1


async def test_a_busy_server_is_asked_again(library: Library, server: Loopback) -> None:
    source = server.serve(PATH, CONTENT, status=[503], headers={"Retry-After": "0"})
    assert (await library.fetch(source, sha256=DIGEST)).sha256 == DIGEST


async def test_an_always_busy_server_is_given_up_on(library: Library, server: Loopback) -> None:
    with pytest.raises(FetchError, match="answered 503"):
        await library.fetch(server.serve(PATH, CONTENT, status=[503] * 99))
    assert len(server.asked(PATH)) < 10


async def test_no_network(library: Library, models: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(Offline, match=f"127.0.0.1:{port} cannot be reached") as caught:
        await library.fetch(f"http://127.0.0.1:{port}/x.gguf")
    assert "check the network" in caught.value.remedy
    assert time.monotonic() - started < 2
    assert files_in(models) == []


async def test_a_silent_server_is_given_up_on(make_library: Callable[..., Library]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        library = make_library(patience=Patience(first_contact=1, read_timeout=0.2))
        with pytest.raises(Offline):
            await library.fetch(f"http://127.0.0.1:{port}/x.gguf")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("http://example.com/x.gguf", "unencrypted"),
        ("https://127.0.0.1/", "does not name a GGUF file"),
        ("https://127.0.0.1/..%2f..%2f.gguf", "does not name a GGUF file"),
        ("https://127.0.0.1/x.safetensors", "does not name a GGUF file"),
        ("https://[::1/x.gguf", "is no address"),
        ("pypi:x", "is no package source"),
        ("hf:x", "is no repository"),
        ("/nowhere/x.gguf", "there is no file"),
    ],
)
async def test_sources_that_make_no_sense(library: Library, source: str, message: str) -> None:
    with pytest.raises(FetchError, match=message) as caught:
        await library.fetch(source)
    assert caught.value.remedy


async def test_cancelling_is_immediate_and_keeps_what_arrived(library: Library, server: Loopback) -> None:
    source = server.serve(PATH, CONTENT, pace=TWO_SECONDS)
    begun = asyncio.Event()

    def progress(told: FetchProgress) -> None:
        if told.done > 1_000_000:
            begun.set()

    task = asyncio.create_task(library.fetch(source, sha256=DIGEST, progress=progress))
    await begun.wait()
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started < 0.3
    server.files[PATH].pace = 0
    await library.fetch(source, sha256=DIGEST)
    assert int(server.asked(PATH)[-1]["range"].removeprefix("bytes=").removesuffix("-")) > 1_000_000


def child(root: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(CHILD), str(root), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


async def test_a_killed_process_loses_almost_nothing(
    library: Library, server: Loopback, models: Path, tmp_path: Path
) -> None:
    source = server.serve(PATH, CONTENT, pace=TWO_SECONDS)
    process = child(tmp_path / "mai", source)
    part = models / ".incoming" / "Tiny-1B.Q8_0.gguf.part"
    deadline = time.monotonic() + 30
    while not part.exists() or part.stat().st_size < 1_000_000:
        assert time.monotonic() < deadline
        assert process.poll() is None
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    arrived = part.stat().st_size
    assert await library.profiles() == []
    server.files[PATH].pace = 0
    profile = await library.fetch(source)
    assert content_of(profile) == CONTENT
    assert server.asked(PATH)[-1]["range"] == f"bytes={arrived}-"


async def test_two_processes_fetch_one_model_once(server: Loopback, models: Path, tmp_path: Path) -> None:
    source = server.serve(PATH, CONTENT, pace=TWO_SECONDS / 2)
    processes = [child(tmp_path / "mai", source) for _ in range(2)]
    outputs = [await asyncio.to_thread(process.communicate, timeout=60) for process in processes]
    assert [output[0].strip() for output in outputs] == ["tiny-1b-q8_0"] * 2
    assert server.sent[PATH] == len(CONTENT)
    assert (models / INSTALLED[0]).read_bytes() == CONTENT
    assert files_in(models) == INSTALLED


async def test_two_tasks_fetch_one_model_once(library: Library, server: Loopback) -> None:
    source = server.serve(PATH, CONTENT, pace=0.005)
    seen: list[FetchProgress] = []
    first, second = await asyncio.gather(library.fetch(source), library.fetch(source, progress=seen.append))
    assert first == second
    assert "waiting" in {progress.stage for progress in seen}
    assert len(server.asked(PATH)) == 1


Usage = namedtuple("Usage", "total used free")


async def test_a_full_disk_is_noticed_before_anything_is_written(
    library: Library, server: Loopback, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10_000_000, 9_000_000, 1_000_000))
    source = server.serve(PATH, CONTENT)
    with pytest.raises(DiskFull, match=r"3\.8 MiB are needed .* 976\.6 KiB are free: 2\.9 MiB are missing"):
        await library.fetch(source, sha256=DIGEST)
    assert server.sent[PATH] < len(CONTENT)
    assert "Tiny-1B.Q8_0.gguf" not in files_in(models)


async def test_a_disk_that_fills_up_is_given_back(server: Loopback, models: Path, tmp_path: Path) -> None:
    """A real limit of the system on the size of a file, met in the middle of the download."""
    process = child(tmp_path / "mai", server.serve(PATH, CONTENT), "2000000")
    output, _ = await asyncio.to_thread(process.communicate, timeout=60)
    assert output.startswith("DiskFull: the disk of ")
    assert files_in(models) == []


async def test_an_unwritable_folder(library: Library, server: Loopback, models: Path) -> None:
    write(models, b"a file where the folder should be")
    with pytest.raises(FetchError, match="cannot be written"):
        await library.fetch(server.serve(PATH, CONTENT))


async def test_another_model_of_the_same_name_is_not_overwritten(
    library: Library, server: Loopback, models: Path
) -> None:
    await library.fetch(server.serve(PATH, CONTENT), sha256=DIGEST)
    with pytest.raises(FetchError, match="already installed"):
        await library.fetch(server.serve("/other" + PATH, tiny()))
    assert (models / INSTALLED[0]).read_bytes() == CONTENT


KNOWN = KnownModel(key="tiny-chat", patterns=("tiny-chat*",), sources=(), sha256=DIGEST, size_bytes=len(CONTENT))


def known(*sources: str) -> tuple[KnownModel, ...]:
    return (replace(KNOWN, sources=sources),)


@pytest.mark.parametrize("asked", ["tiny-chat", "TINY-CHAT", "tiny-chat-q8"])
async def test_a_key_of_the_catalogue(make_library: Callable[..., Library], server: Loopback, asked: str) -> None:
    library = make_library(known=known(server.serve(PATH, CONTENT)))
    profile = await library.fetch(asked)
    assert (profile.key, profile.sha256) == ("tiny-chat", DIGEST)


async def test_sources_are_tried_in_order(make_library: Callable[..., Library], server: Loopback) -> None:
    wrong = server.serve("/wrong.gguf", tiny())
    library = make_library(known=known(server.url + "/missing.gguf", wrong, server.serve(PATH, CONTENT)))
    assert (await library.fetch("tiny-chat")).sha256 == DIGEST


async def test_when_no_source_has_it(make_library: Callable[..., Library], server: Loopback) -> None:
    library = make_library(known=known("http://127.0.0.1:9/x.gguf", server.url + "/missing.gguf"))
    with pytest.raises(FetchError, match=r"has no missing\.gguf"):
        await library.fetch("tiny-chat")
    with pytest.raises(FetchError, match="nobody is known to offer"):
        await make_library(known=known()).fetch("tiny-chat")


async def test_a_known_model_that_is_here_needs_no_network(
    make_library: Callable[..., Library], server: Loopback
) -> None:
    library = make_library(known=known(server.serve(PATH, CONTENT)))
    first = await library.fetch("tiny-chat")
    server.files.clear()
    assert await library.fetch("tiny-chat") == first


@pytest.mark.parametrize(
    ("asked", "remedy"),
    [("tiny-chta", "did you mean tiny-chat"), ("owner/name", "hf:owner/name"), ("zzzz", "name a source")],
)
async def test_unknown_keys_suggest_the_nearest(make_library: Callable[..., Library], asked: str, remedy: str) -> None:
    with pytest.raises(UnknownModel, match="no model") as caught:
        await make_library(known=known("https://127.0.0.1/x.gguf")).fetch(asked)
    assert remedy in caught.value.remedy


async def test_a_path_is_adopted_without_a_copy(library: Library, home: Path, models: Path) -> None:
    file = write(home / "Downloads/Mine.Q4_0.gguf")
    profile = await library.fetch("~/Downloads/Mine.Q4_0.gguf")
    assert (profile.key, profile.origin) == ("mine-q4_0", "mai")
    assert same_file(profile, file)
    assert await library.remove(profile) == 0
    assert file.exists()
    assert files_in(models) == []


async def test_a_path_on_another_disk_is_copied(
    library: Library, home: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(*args: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", elsewhere)
    file = write(home / "Mine.gguf", CONTENT)
    write(models / ".incoming/Mine.gguf", b"left by a process that was killed")
    profile = await library.fetch(str(file), sha256=DIGEST)
    assert not same_file(profile, file)
    assert content_of(profile) == CONTENT
    assert await library.fetch(profile.location) == profile


async def test_a_path_with_the_wrong_digest_stays_where_it_is(library: Library, home: Path, models: Path) -> None:
    file = write(home / "Mine.gguf")
    with pytest.raises(ChecksumMismatch):
        await library.fetch(str(file), sha256=DIGEST)
    assert file.exists()
    assert files_in(models) == []


async def test_removing_frees_the_disk(library: Library, server: Loopback, models: Path) -> None:
    profile = await library.fetch(server.serve(PATH, CONTENT))
    assert await library.remove(profile) == len(CONTENT)
    assert files_in(models) == []
    assert await library.remove(profile) == 0


async def test_only_mais_own_models_are_removed(library: Library, home: Path) -> None:
    file = write(home / ".lmstudio/models/p/r/theirs.gguf")
    (profile,) = await library.profiles()
    with pytest.raises(FetchError, match="belongs to LM Studio"):
        await library.remove(profile)
    with pytest.raises(FetchError, match="belongs to a folder of yours"):
        await library.remove(replace(profile, origin=""))
    assert file.exists()
    with pytest.raises(FetchError, match="not installed"):
        await library.remove(replace(profile, installed=False))
