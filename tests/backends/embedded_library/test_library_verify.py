"""Weights are the published ones, or are refused."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from gguf_writer import write

from mai_backends.embedded.files import FileCache, in_thread, replace_file, size_text
from mai_backends.embedded.library import Library
from mai_backends.embedded.verify import Verifier
from mai_core.errors import ModelFileError
from mai_core.policy.models import ModelProfile


async def installed(library: Library, models: Path) -> ModelProfile:
    write(models / "one.gguf")
    (profile,) = await library.profiles()
    return replace(profile, sha256=hashlib.sha256((models / "one.gguf").read_bytes()).hexdigest())


async def test_whole_weights_pass(library: Library, models: Path) -> None:
    await library.verify(await installed(library, models))


async def test_changed_weights_are_refused(library: Library, models: Path) -> None:
    profile = await installed(library, models)
    await library.verify(profile)
    content = bytearray((models / "one.gguf").read_bytes())
    content[-5] ^= 1
    (models / "one.gguf").write_bytes(content)
    with pytest.raises(ModelFileError, match="corrupted") as caught:
        await library.verify(profile)
    assert "mai pull one" in caught.value.remedy


@pytest.mark.parametrize("sha256", [True, False])
async def test_truncated_and_missing_weights_are_refused(library: Library, models: Path, sha256: bool) -> None:
    profile = await installed(library, models)
    if not sha256:
        profile = replace(profile, sha256="")
    (models / "one.gguf").write_bytes((models / "one.gguf").read_bytes()[:-40])
    with pytest.raises(ModelFileError, match="truncated"):
        await library.verify(profile)
    (models / "one.gguf").unlink()
    with pytest.raises(ModelFileError, match="cannot be read"):
        await library.verify(profile)


async def test_a_digest_is_computed_once_for_a_file_that_is_not_touched(
    make_library: Callable[..., Library], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = make_library()
    profile = await installed(library, models)
    await library.verify(profile)
    monkeypatch.setattr(Verifier, "_read", lambda *args: pytest.fail("read again"))
    await library.verify(profile)
    await make_library().verify(profile)


async def test_hashing_can_be_cancelled(tmp_path: Path) -> None:
    file = write(tmp_path / "large", bytes(64 << 20))
    cache = tmp_path / "cache.json"
    verifier = Verifier(FileCache(cache))
    begun = asyncio.Event()
    task = asyncio.create_task(verifier.sha256(file, report=lambda done: begun.set()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not cache.exists()


async def test_a_cancelled_caller_is_gone_only_after_the_work() -> None:
    events: list[str] = []

    def work(stop: object) -> None:
        assert stop.wait(5)  # type: ignore[attr-defined]
        time.sleep(0.1)
        events.append("stopped")

    task = asyncio.create_task(in_thread(work))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert events == ["stopped"]


def test_two_caches_of_one_file_keep_each_others_entries(tmp_path: Path) -> None:
    first, second = FileCache(tmp_path / "c.json"), FileCache(tmp_path / "c.json")
    a, b = write(tmp_path / "a", b"a"), write(tmp_path / "b", b"b")
    assert (first.get(a), second.get(b)) == (None, None)
    first.put(a, 1)
    second.put(b, 2)
    first.save()
    second.save()
    third = FileCache(tmp_path / "c.json")
    assert (third.get(a), third.get(b)) == (1, 2)
    a.unlink()
    third.put(b, 3)
    third.save()
    assert list(json.loads((tmp_path / "c.json").read_text())) == [str(b)]


def test_a_failed_replacement_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "note", b"old")

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="No space"):
        replace_file(tmp_path / "note", "new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (98_362_432, "93.8 MiB"), (1 << 50, "1024.0 TiB")],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert size_text(size) == text
