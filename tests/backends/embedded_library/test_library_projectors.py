"""Which projector belongs to which model of a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mai_backends.embedded.files import FileCache
from mai_backends.embedded.projector import Projectors
from tests.projectors import projector


@pytest.mark.parametrize(
    ("models", "projectors", "seeing"),
    [
        # A folder for each model, as LM Studio and the hub keep them.
        (["gemma-3-4b-it-Q4_K_M", "gemma-3-4b-it-Q8_0"], ["mmproj-model-f16"], ["Q4_K_M", "Q8_0"]),
        (["Qwen2.5-VL-3B-Instruct-Q4_K_M"], ["mmproj-Qwen2.5-VL-3B-Instruct-f16"], ["Q4_K_M"]),
        (["Qwen2.5-VL-3B-Instruct-Q4_K_M"], ["Qwen2.5-VL-3B-Instruct-mmproj-bf16"], ["Q4_K_M"]),
        # One folder for many.
        (["gemma-3-4b-it-Q4_K_M", "llama-3.2-1b-Q8_0"], ["mmproj-gemma-3-4b-it-f16"], ["Q4_K_M"]),
        (["gemma-3-4b-it-Q4_K_M", "llama-3.2-1b-Q8_0"], ["mmproj-model-f16"], []),
        (["gemma-3-4b-it-Q4_K_M", "gemma-3-12b-it-Q8_0"], ["mmproj-gemma-3-4b-it-f16"], ["Q4_K_M"]),
        (["ggml-org_SmolVLM-GGUF_SmolVLM-Q8_0", "x-Q4_0"], ["ggml-org_SmolVLM-GGUF_mmproj-SmolVLM-f16"], ["Q8_0"]),
        (["llama-3.2-1b-Q8_0"], ["mmproj-gemma-3-4b-it-f16"], []),
        (["llama-3.2-1b-Q8_0"], [], []),
    ],
)
def test_by_folder_and_name(tmp_path: Path, models: list[str], projectors: list[str], seeing: list[str]) -> None:
    files = [tmp_path / f"{name}.gguf" for name in models]
    for name in projectors:
        (tmp_path / f"{name}.gguf").write_bytes(projector(64))
    found = Projectors(FileCache(tmp_path / "cache.json"))
    assert [file.stem for file in files if found.beside(file, files)] == [
        file.stem for file in files if any(file.stem.endswith(end) for end in seeing)
    ]


def test_the_smallest_that_works_is_taken_and_a_refusal_is_of_one_model(tmp_path: Path) -> None:
    one, other = tmp_path / "one.gguf", tmp_path / "one-Q4_0.gguf"
    (large := tmp_path / "mmproj-f32.gguf").write_bytes(projector(64) + bytes(4096))
    (small := tmp_path / "mmproj-f16.gguf").write_bytes(projector(64))
    found = Projectors(FileCache(tmp_path / "cache.json"))
    assert found.beside(one) == small
    assert not found.note
    found.refused(small, one, "mismatch")
    assert found.beside(one) == large
    assert found.beside(other) == small
    assert found.note == "one does not see, mmproj-f16.gguf is of no use: mismatch"
    again = Projectors(FileCache(tmp_path / "cache.json"))
    assert again.beside(one) == large
    small.write_bytes(projector(128))
    assert Projectors(FileCache(tmp_path / "cache.json")).beside(one) == large, "the smallest still"
    large.unlink()
    assert again.beside(one) == small, "another file now: it gets its trial"
