"""Models in several files, as llama.cpp's gguf-split writes them: NAME-00001-of-00003.gguf and its fellows.

The first file holds the metadata, tokens among them; every file lists the tensors in it, and says by ``split.no``
(from 0) and ``split.count`` which of how many it is. https://github.com/ggml-org/llama.cpp/tree/master/tools/gguf-split
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mai_backends.gguf.reader import read_header
from mai_backends.gguf.types import Header
from mai_core.errors import ModelFileError

__all__ = ["Split", "files_of", "joined", "names_of", "read_files", "split_of"]

_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.gguf)", re.IGNORECASE)
_REMEDY = "fetch it again"


@dataclass(frozen=True, slots=True)
class Split:
    """Which part of which model a file's name says it is: ``number`` of ``count``, from 1."""

    stem: str
    number: int
    count: int


def split_of(name: str) -> Split | None:
    """What a file's name says about its part of a model; None for a model in one file."""
    match = _NAME.fullmatch(name)
    return Split(match["stem"], int(match["number"]), int(match["count"])) if match else None


def names_of(name: str) -> tuple[str, ...]:
    """The names of all files of the model one of whose files, or whose only one, has this name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return (name,)
    count = int(match["count"])
    return tuple(f"{match['stem']}-{part:05}-of-{match['count']}{match['suffix']}" for part in range(1, count + 1))


def files_of(first: Path) -> tuple[Path, ...]:
    """Every file of the model whose first file this is, whether or not they are there."""
    return tuple(first.with_name(name) for name in names_of(first.name))


def read_files(files: Sequence[Path]) -> Header:
    """The header of a model in one or several files, given in order.

    Raises ``ModelFileError`` when one of them is broken, they are not all the parts of one model in their order, or
    their numbers are not in this machine's byte order: its engines would not load them.
    """
    header = joined([file.name for file in files], [read_header(file) for file in files])
    if header.byte_order != sys.byteorder:
        raise ModelFileError(
            f"{files[0].name} is a {header.byte_order}-endian GGUF file, which is for other machines",
            remedy="fetch one for this machine",
        )
    return header


def joined(names: Sequence[str], headers: Sequence[Header]) -> Header:
    """One header of a model's files: the metadata of the first, the tensors of all.

    Raises ``ModelFileError`` when they are not all the parts of one model in their order, by their headers or names.
    """
    first, count = headers[0], len(headers)
    declared = first.metadata.get("split.count", 0) or 1
    if declared != count:
        raise ModelFileError(f"{names[0]} is one of {declared} files, of which {count} are here", remedy=_REMEDY)
    for index, (name, header) in enumerate(zip(names, headers, strict=True)):
        split = split_of(name)
        told = (header.metadata.get("split.no", 0), header.metadata.get("split.count", 0) or 1)
        if told != (index, count) or (split is not None and (split.number - 1, split.count) != told):
            raise ModelFileError(f"{name} is not part {index + 1} of {count} of this model", remedy=_REMEDY)
        if header.byte_order != first.byte_order:
            raise ModelFileError(f"{name} is of another byte order than {names[0]}", remedy=_REMEDY)
    if count == 1:
        return first
    tensors = tuple(tensor for header in headers for tensor in header.tensors)
    wanted = first.metadata.get("split.tensors.count", len(tensors))
    if wanted != len(tensors):
        raise ModelFileError(f"{names[0]} and its parts have {len(tensors)} tensors, not {wanted}", remedy=_REMEDY)
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise ModelFileError(f"{names[0]} and its parts have a tensor twice", remedy=_REMEDY)
    return replace(first, tensors=tensors, size=sum(header.size for header in headers))
