"""Models other tools left on this disk, found in trees laid out as those tools lay them out."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from gguf_writer import F32, LLAMA, TENSORS, gguf, tiny, write
from hypothesis import given
from hypothesis import strategies as st

from mai_backends.embedded.discovery import Found, Places, _gguf_files, discover, key_of, unique_keys
from mai_backends.embedded.library import Library
from mai_core.policy.models import Capability, ModelProfile, Tier


def places(home: Path, models: Path, **options: object) -> Places:
    given_options = {"environment": {}, "system": home / "system"} | options
    return Places(models=models, home=home, **given_options)  # type: ignore[arg-type]


def found(home: Path, models: Path, **options: object) -> dict[str, str]:
    """Stem -> origin of everything that is found."""
    return {model.stem: model.origin for model in discover(places(home, models, **options))}


@pytest.mark.parametrize(
    ("stem", "key"),
    [
        ("SmolLM2-135M-Instruct.Q4_1", "smollm2-135m-instruct-q4_1"),
        ("qwen2.5-coder-0.5b-instruct-q4_k_m", "qwen2.5-coder-0.5b-instruct-q4_k_m"),
        ("llama3.2:1b", "llama3.2-1b"),
        ("tinyllama-1.1b-chat-v1.0.Q4_K_M", "tinyllama-1.1b-chat-v1.0-q4_k_m"),
        ("Meta Llama 3 (8B)", "meta-llama-3-8b"),
        ("hf.co/Owner/Name:Q8_0", "hf-co-owner-name-q8_0"),
        ("...", "model"),
    ],
)
def test_keys(stem: str, key: str) -> None:
    assert key_of(stem) == key


@given(st.text(max_size=40))
def test_a_key_is_its_own_key(stem: str) -> None:
    key = key_of(stem)
    assert key
    assert key_of(key) == key
    assert set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")


@given(st.lists(st.tuples(st.sampled_from(["a", "A", "b", "a-mai", "a-ollama"]), st.sampled_from(["mai", "ollama"]))))
def test_keys_are_unique_and_the_first_is_plain(models: list[tuple[str, str]]) -> None:
    keys = unique_keys([Found(files=(Path("x"),), stem=stem, origin=origin, size=0) for stem, origin in models])
    assert len(set(keys)) == len(models)
    if models:
        assert keys[0] == key_of(models[0][0])


def test_mai_and_the_persons_folders(home: Path, models: Path) -> None:
    write(models / "one.gguf")
    write(models / "deep/two.GGUF")
    write(models / ".incoming/three.gguf.part")
    write(models / ".incoming/four.gguf")
    write(home / "stuff/five.gguf")
    write(home / "stuff/readme.txt", b"hello")
    assert found(home, models, folders=(home / "stuff", home / "missing")) == {
        "one": "mai",
        "two": "mai",
        "five": "folder",
    }


@pytest.mark.parametrize("folder", [".lmstudio/models", ".cache/lm-studio/models"])
def test_lm_studio(home: Path, models: Path, folder: str) -> None:
    write(home / folder / "publisher/repository/Some-Model-Q4_K_M.gguf")
    assert found(home, models) == {"Some-Model-Q4_K_M": "lm-studio"}
    assert found(home, models, other_tools=False) == {}


def ollama(folder: Path, manifest: str, content: bytes) -> Path:
    digest = hashlib.sha256(content).hexdigest()
    layers = [
        {"mediaType": "application/vnd.ollama.image.license", "digest": "sha256:" + "0" * 64},
        {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}", "size": len(content)},
    ]
    write(folder / "manifests" / manifest, json.dumps({"schemaVersion": 2, "layers": layers}).encode())
    return write(folder / f"blobs/sha256-{digest}", content)


def test_ollama(home: Path, models: Path) -> None:
    folder = home / ".ollama/models"
    blob = ollama(folder, "registry.ollama.ai/library/llama3.2/1b", tiny(name="llama"))
    ollama(folder, "registry.ollama.ai/someone/theirs/latest", tiny(name="theirs"))
    ollama(folder, "hf.co/owner/repo/Q8_0", tiny(name="hub"))
    ollama(home / "system/usr/share/ollama/.ollama/models", "registry.ollama.ai/library/phi3/mini", tiny(name="phi"))
    assert found(home, models) == {
        "llama3.2:1b": "ollama",
        "someone/theirs:latest": "ollama",
        "hf.co/owner/repo:Q8_0": "ollama",
        "phi3:mini": "ollama",
    }
    (llama,) = [model for model in discover(places(home, models)) if model.stem == "llama3.2:1b"]
    assert llama.files == (blob,)
    assert llama.sha256 == hashlib.sha256(blob.read_bytes()).hexdigest()


def test_ollama_where_its_variable_says(home: Path, models: Path) -> None:
    ollama(home / "elsewhere", "registry.ollama.ai/library/a/b", tiny())
    assert found(home, models, environment={"OLLAMA_MODELS": str(home / "elsewhere")}) == {"a:b": "ollama"}


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"not json",
        b"[]",
        b'{"layers": 5}',
        b'{"layers": [{}]}',
        b"[" * 100_000,
        b'{"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:../../../../etc/passwd"}]}',
        b'{"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:' + b"a" * 64 + b'"}]}',
    ],
)
def test_broken_manifests_are_left_out(home: Path, models: Path, manifest: bytes) -> None:
    folder = home / ".ollama/models"
    write(folder / "manifests/registry.ollama.ai/library/broken/latest", manifest)
    ollama(folder, "registry.ollama.ai/library/whole/latest", tiny())
    assert found(home, models) == {"whole:latest": "ollama"}


def test_a_manifest_cannot_point_outside_the_blobs(home: Path, models: Path) -> None:
    folder = home / ".ollama/models"
    write(folder / "secret.gguf")
    (folder / "blobs/sha256-x").mkdir(parents=True)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:x/../../secret.gguf"}
    write(folder / "manifests/registry.ollama.ai/library/a/b", json.dumps({"layers": [layer]}).encode())
    assert found(home, models) == {}


def hub_file(hub: Path, repository: str, revision: str, name: str, content: bytes) -> Path:
    folder = hub / f"models--{repository.replace('/', '--')}"
    blob = write(folder / "blobs" / hashlib.sha256(content).hexdigest(), content)
    link = folder / "snapshots" / revision / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(blob, link.parent))
    return link


@pytest.mark.parametrize(
    ("environment", "hub"),
    [
        ({}, ".cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "{home}/x"}, "x/huggingface/hub"),
        ({"HF_HOME": "{home}/h"}, "h/hub"),
        ({"HF_HOME": "{home}/h", "HF_HUB_CACHE": "{home}/c"}, "c"),
    ],
)
def test_hugging_face(home: Path, models: Path, environment: dict[str, str], hub: str) -> None:
    environment = {key: value.format(home=home) for key, value in environment.items()}
    link = hub_file(home / hub, "owner/Name-GGUF", "abc", "sub/Name-Q8_0.gguf", tiny())
    hub_file(home / hub, "owner/Name-GGUF", "def", "sub/Name-Q8_0.gguf", tiny())
    (model,) = discover(places(home, models, environment=environment))
    assert (model.stem, model.origin, model.files) == ("Name-Q8_0", "huggingface", (link,))
    assert model.sha256 == hashlib.sha256(tiny()).hexdigest()


@pytest.mark.parametrize(("environment", "folder"), [({}, ".cache/llama.cpp"), ({"LLAMA_CACHE": "{home}/l"}, "l")])
def test_llama_cpp(home: Path, models: Path, environment: dict[str, str], folder: str) -> None:
    environment = {key: value.format(home=home) for key, value in environment.items()}
    write(home / folder / "ggml-org_gemma-3-270m-it-GGUF_gemma-3-270m-it-Q8_0.gguf")
    write(home / folder / "plain.gguf")
    assert found(home, models, environment=environment) == {"gemma-3-270m-it-Q8_0": "llama.cpp", "plain": "llama.cpp"}


def test_the_same_file_twice_is_one_model(home: Path, models: Path) -> None:
    original = write(home / ".lmstudio/models/p/r/a.gguf")
    models.mkdir(parents=True)
    os.link(original, models / "a.gguf")
    (home / ".cache/llama.cpp").mkdir(parents=True)
    (home / ".cache/llama.cpp/b.gguf").symlink_to(original)
    assert found(home, models) == {"a": "mai"}


def test_what_cannot_be_read_is_left_out(home: Path, models: Path) -> None:
    write(models / "good.gguf")
    (models / "dangling.gguf").symlink_to("nowhere")
    (models / "folder.gguf").mkdir()
    (models / "loop").symlink_to(models)
    os.mkfifo(models / "pipe.gguf")
    (models / "self.gguf").symlink_to("self.gguf")
    assert found(home, models) == {"good": "mai"}
    assert [path.name for path, _ in _gguf_files(models)] == ["good.gguf"]


async def test_adapters_and_heads_that_draft_are_never_offered(
    models: Path, make_library: Callable[..., Library]
) -> None:
    write(models / "good.gguf")
    others = {
        "lora": {"general.type": "adapter", "adapter.type": "lora"},
        "old-lora": {"adapter.type": "lora"},
        "head": {"general.architecture": "eagle3", "eagle3.block_count": 1},
        "eyes": {"general.architecture": "clip"},
    }
    for stem, told in others.items():
        write(models / f"{stem}.gguf", gguf({**LLAMA, **told}, TENSORS))
    assert [model.key for model in await make_library(scan_other_tools=False).profiles()] == ["good"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_left_out(home: Path, models: Path) -> None:
    write(models / "good.gguf")
    locked = write(models / "locked/bad.gguf").parent
    locked.chmod(0)
    try:
        assert found(home, models) == {"good": "mai"}
    finally:
        locked.chmod(0o700)


def shards(folder: Path, count: int) -> list[Path]:
    head = {**LLAMA, "split.count": count, "split.no": 0}
    files = [write(folder / f"big-00001-of-{count:05}.gguf", gguf(head, TENSORS))]
    for number in range(2, count + 1):
        tensor = (f"blk.{number}.ffn_up.weight", (1000,), F32)
        rest = gguf({"split.count": count, "split.no": number - 1}, (tensor,))
        files.append(write(folder / f"big-{number:05}-of-{count:05}.gguf", rest))
    return files


async def test_a_split_model_is_one(library: Library, models: Path) -> None:
    files = shards(models, 3)
    (profile,) = await library.profiles()
    assert (profile.key, profile.location) == ("big", str(files[0]))
    assert profile.size_bytes == sum(file.stat().st_size for file in files)
    assert profile.parameters == 1600 + 2000
    await library.verify(profile)
    assert await library.remove(profile) == profile.size_bytes
    assert not [name for name in os.listdir(models) if name.endswith(".gguf")]


def test_a_split_model_with_a_part_missing_is_left_out(home: Path, models: Path) -> None:
    shards(models, 3)[1].unlink()
    assert found(home, models) == {}


async def test_profiles(library: Library, models: Path, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mai")
    file = write(models / "Tiny-1.5B.Q4_K_M.gguf")
    write(home / ".lmstudio/models/p/r/Tiny-1.5B.Q4_K_M.gguf", tiny(name="other"))
    write(models / "mmproj-f16.gguf", gguf({**LLAMA, "general.type": "mmproj"}, TENSORS))
    write(models / "broken.gguf", b"GGUF")
    rows = {row.location: row for row in await library.profiles()}
    broken = rows.pop(str(models / "broken.gguf"))
    assert broken.fault, "a broken file is shown with what is wrong"
    mine, theirs = rows.values()
    assert mine.architecture is not None
    assert mine == ModelProfile(
        key="tiny-1.5b-q4_k_m",
        backend="embedded",
        location=str(file),
        name="Tiny-1.5B.Q4_K_M",
        size_bytes=file.stat().st_size,
        parameters=1600,
        quantisation="Q4_K_M",
        max_context=2048,
        architecture=mine.architecture,
        capabilities=frozenset({Capability.JSON}),
        tier=Tier.TINY,
        origin="mai",
    )
    assert (theirs.key, theirs.origin) == ("tiny-1.5b-q4_k_m-lm-studio", "lm-studio")
    await library.profiles()
    left_out = [record.__dict__["path"] for record in caplog.records if record.message == "model left out"]
    assert sorted(left_out) == [str(models / "broken.gguf"), str(models / "mmproj-f16.gguf")]


async def test_headers_are_read_once(
    make_library: Callable[..., Library], models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(models / "one.gguf")
    before = await make_library().profiles()
    with monkeypatch.context() as patch:
        patch.setattr("mai_backends.embedded.library.read_model", lambda files: pytest.fail("read again"))
        assert await make_library().profiles() == before
    write(file, tiny(name="changed", weights=8))
    (after,) = await make_library().profiles()
    assert after.name == "changed"


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"{file}": {"identity": [], "value": 1}}', b"\xff\xfe"])
async def test_a_damaged_cache_is_rebuilt(
    make_library: Callable[..., Library], models: Path, tmp_path: Path, damage: bytes
) -> None:
    file = write(models / "one.gguf")
    before = await make_library().profiles()
    for cache in (tmp_path / "mai/cache").iterdir():
        cache.write_bytes(damage.replace(b"{file}", str(file).encode()))
    assert await make_library().profiles() == before


async def test_a_cache_of_another_shape_is_rebuilt(
    make_library: Callable[..., Library], models: Path, tmp_path: Path
) -> None:
    write(models / "one.gguf")
    before = await make_library().profiles()
    cache = tmp_path / "mai/cache/gguf-headers.json"
    for value in (
        {"kind": "text", "colour": "red"},
        {"kind": "none"},
        {"name": "x"},
        [1],
        "x",
        {"kind": "text", "architecture": 5},
    ):
        entries = json.loads(cache.read_text())
        for entry in entries.values():
            entry["value"] = value
        cache.write_text(json.dumps(entries))
        assert await make_library().profiles() == before


async def test_a_cache_that_cannot_be_written_is_no_error(
    make_library: Callable[..., Library], models: Path, tmp_path: Path
) -> None:
    write(models / "one.gguf")
    write(tmp_path / "mai/cache", b"a file where the folder should be")
    assert len(await make_library().profiles()) == 1


async def test_a_hundred_models_start_fast(make_library: Callable[..., Library], models: Path) -> None:
    import time

    content = tiny()
    for number in range(100):
        write(models / f"model-{number}.gguf", content)
    await make_library().profiles()
    started = time.perf_counter()
    assert len(await make_library().profiles()) == 100
    assert time.perf_counter() - started < 0.5
