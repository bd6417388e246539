"""The commented defaults that travel with Mai, read from YAML once per version of the file.

Reading a thousand lines of YAML takes longer than everything else before a first answer, so the values are kept
beside other things that may be deleted, under the digest of the file they came from.
"""

from __future__ import annotations

import contextlib
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from mai_core.errors import SettingsError
from mai_core.settings.document import Document, display, parse_document

__all__ = ["read_shipped", "shipped_file"]

_CORE = Path(__file__).resolve().parent.parent


def shipped_file(name: str) -> Path:
    """``mai.yaml``, ``models.yaml`` or ``tasks.json``: in the installed package, or in ``config/`` of a checkout."""
    for folder in (_CORE / "config", _CORE.parent / "config"):
        if (found := folder / name).is_file():
            return found
    raise SettingsError(f"{name} is missing from this installation", remedy="install Mai again")


def read_shipped(name: str, cache: Path) -> Document:
    """The shipped file's values. ``cache`` is a folder for the parsed copy; without a usable one it is just slower."""
    file = shipped_file(name)
    raw = file.read_bytes()
    digest = sha256(raw).hexdigest()
    copy = cache / f"{name}.json"
    if (data := _cached(copy, digest)) is not None:
        return Document(display(file), data)
    document = parse_document(raw.decode("utf-8"), display(file))
    with contextlib.suppress(OSError):
        _store(copy, {"sha256": digest, "data": document.data})
    return document


def _cached(copy: Path, digest: str) -> dict[str, Any] | None:
    try:
        held = json.loads(copy.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(held, dict) or held.get("sha256") != digest or not isinstance(held.get("data"), dict):
        return None
    return dict(held["data"])


def _store(copy: Path, held: dict[str, Any]) -> None:
    from mai_core.settings.files import write_atomically

    write_atomically(copy, json.dumps(held))
