"""What Mai writes beside a model it fetched: where it came from, and what its bytes were."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mai_backends.embedded.files import replace_file

__all__ = ["OriginNote", "note_path", "read_note", "write_note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginNote:
    """The source a file was fetched from, its SHA-256 and its size in bytes."""

    source: str = ""
    sha256: str = ""
    size: int = 0


def note_path(file: Path) -> Path:
    """The note of a model file."""
    return file.with_name(file.name + ".mai.json")


def read_note(file: Path) -> OriginNote:
    """The note of a model file; an empty one when there is none that can be read."""
    try:
        note = json.loads(note_path(file).read_bytes())
        return OriginNote(source=str(note["source"]), sha256=str(note["sha256"]), size=int(note["size"]))
    except (OSError, ValueError, KeyError, TypeError):
        return OriginNote()


def write_note(file: Path, note: OriginNote) -> None:
    """Raises ``OSError``."""
    replace_file(note_path(file), json.dumps(asdict(note)))
