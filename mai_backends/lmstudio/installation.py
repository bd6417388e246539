"""What there is of LM Studio on this machine's disk."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Installation"]

POINTER = ".lmstudio-home-pointer"
FOLDERS = (".lmstudio", ".cache/lm-studio")
LONGEST_PATH = 4096


@dataclass(frozen=True, slots=True)
class Installation:
    """``home`` is the folder LM Studio keeps its own files in; ``lms`` its command line, None when there is none."""

    home: Path
    lms: Path | None

    @classmethod
    def of(cls, home: Path | None) -> Installation:
        """What is below ``home`` and nothing else; without it, what LM Studio itself would use."""
        if home is not None:
            return cls(home, _lms_below(home))
        found = _usual_home(Path.home())
        on_path = shutil.which("lms")
        return cls(found, _lms_below(found) or (Path(on_path) if on_path else None))


def _usual_home(user: Path) -> Path:
    """Where a note of LM Studio says its files are, else the first of its usual folders that exists."""
    try:
        noted = Path((user / POINTER).read_text(encoding="utf-8")[:LONGEST_PATH].strip())
        if noted.is_absolute() and noted.is_dir():
            return noted
    except (OSError, ValueError):
        pass  # most installations have no note
    folders = [user / folder for folder in FOLDERS]
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def _lms_below(home: Path) -> Path | None:
    for name in ("lms", "lms.exe"):
        if os.access(file := home / "bin" / name, os.X_OK) and file.is_file():
            return file
    return None
