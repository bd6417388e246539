"""Models in several files: all of their parts, in their order, or none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from gguf_bytes import Row, Strings, Typed, write

from mai_backends.gguf.splits import Split, files_of, names_of, read_files, split_of
from mai_core.errors import ModelFileError

ROWS: list[Row] = [(f"blk.{layer}.attn_q.weight", (64, 64), "F16") for layer in range(6)]


def part(folder: Path, number: int, count: int, rows: list[Row], *, name: str = "", **changes: object) -> Path:
    """Part ``number`` of ``count``, from 1, as gguf-split writes it."""
    told = {"split.no": Typed(2, number - 1), "split.count": Typed(2, count), "split.tensors.count": Typed(5, 6)}
    first = {"general.architecture": "llama", "tokenizer.ggml.tokens": Strings(9)} if number == 1 else {}
    order = str(changes.pop("order", "little"))
    told |= {key.replace("__", "."): value for key, value in changes.items()}  # type: ignore[misc]
    return write(folder / (name or f"model-{number:05}-of-{count:05}.gguf"), first | told, rows, order=order)


def three(folder: Path) -> list[Path]:
    return [part(folder, number, 3, ROWS[2 * number - 2 : 2 * number]) for number in (1, 2, 3)]


def test_parts_are_one_model(tmp_path: Path) -> None:
    files = three(tmp_path)
    found = read_files(files)
    assert [tensor.name for tensor in found.tensors] == [row[0] for row in ROWS]
    assert found.metadata["general.architecture"] == "llama"
    assert found.lengths["tokenizer.ggml.tokens"] == 9
    assert found.size == sum(file.stat().st_size for file in files)
    assert files_of(files[0]) == tuple(files)


def test_names(tmp_path: Path) -> None:
    assert split_of("a-b-00002-of-00010.gguf") == Split("a-b", 2, 10)
    assert split_of("a-2-of-10.gguf") is None
    assert names_of("x-00002-of-00003.GGUF") == tuple(f"x-0000{n}-of-00003.GGUF" for n in (1, 2, 3))
    assert files_of(tmp_path / "whole.gguf") == (tmp_path / "whole.gguf",)


@pytest.mark.parametrize("order", [(0, 2, 1), (1, 0, 2), (2, 1, 0), (0, 0, 0), (0, 1, 1)])
def test_parts_in_another_order_are_refused(tmp_path: Path, order: tuple[int, ...]) -> None:
    files = three(tmp_path)
    with pytest.raises(ModelFileError, match="is not part"):
        read_files([files[index] for index in order])


@pytest.mark.parametrize("kept", [(0,), (0, 1), (1, 2)])
def test_missing_parts_are_noticed(tmp_path: Path, kept: tuple[int, ...]) -> None:
    files = three(tmp_path)
    with pytest.raises(ModelFileError, match=f"one of 3 files, of which {len(kept)} are here"):
        read_files([files[index] for index in kept])


def test_a_name_that_contradicts_the_header_is_refused(tmp_path: Path) -> None:
    """Somebody renamed a part: an engine would take it for another."""
    files = three(tmp_path)
    swapped = [files[0], files[2].rename(tmp_path / "other-00002-of-00003.gguf"), files[1]]
    with pytest.raises(ModelFileError, match="is not part 2 of 3"):
        read_files(swapped)


def test_names_alone_tell_nothing_where_there_are_none(tmp_path: Path) -> None:
    files = [part(tmp_path, n, 3, ROWS[2 * n - 2 : 2 * n], name=f"sha256-{n}") for n in (1, 2, 3)]
    assert len(read_files(files).tensors) == 6


def test_a_part_of_another_model_is_refused(tmp_path: Path) -> None:
    files = three(tmp_path)
    part(tmp_path, 3, 3, [*ROWS[4:6], ("blk.9.more", (64,), "F32")])
    with pytest.raises(ModelFileError, match="have 7 tensors, not 6"):
        read_files(files)
    part(tmp_path, 3, 3, ROWS[0:2])
    with pytest.raises(ModelFileError, match="a tensor twice"):
        read_files(files)


def test_a_whole_model_may_say_that_it_is_one_part(tmp_path: Path) -> None:
    file = part(tmp_path, 1, 1, ROWS, name="model.gguf")
    assert len(read_files([file]).tensors) == 6
    none = part(tmp_path, 1, 1, ROWS, name="none.gguf", split__count=Typed(2, 0))
    assert len(read_files([none]).tensors) == 6


def test_another_byte_order_is_for_other_machines(tmp_path: Path) -> None:
    foreign = "big" if sys.byteorder == "little" else "little"
    file = part(tmp_path, 1, 1, ROWS, name="model.gguf", order=foreign)
    with pytest.raises(ModelFileError, match=f"{foreign}-endian"):
        read_files([file])
