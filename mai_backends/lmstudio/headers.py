"""The headers of LM Studio's GGUF files: with them, what a model will take is computed, not guessed."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from mai_backends.embedded.files import FileCache
from mai_backends.gguf.facts import ModelFacts, read_model
from mai_backends.lmstudio.catalogue import ModelRow
from mai_core.errors import ModelFileError
from mai_core.policy.models import Architecture

__all__ = ["Headers"]

log = logging.getLogger("mai.lmstudio")

MODELS = "models"


class Headers:
    """Reads below the ``models`` folder of LM Studio's ``home``, every file once as long as it stays the same."""

    def __init__(self, home: Path, cache: Path) -> None:
        self._folder = home / MODELS
        self._cache = FileCache(cache)
        self._broken: set[Path] = set()

    def read(self, rows: Iterable[ModelRow]) -> dict[str, Architecture]:
        """The architectures by key of those models whose file is there and can be read. Blocks on the disk."""
        found = {row.key: shape for row in rows if (shape := self._architecture(row)) is not None}
        self._cache.save()
        return found

    def _architecture(self, row: ModelRow) -> Architecture | None:
        file = self._file(row)
        if file is None or file in self._broken:
            return None
        try:
            if remembered := self._cache.get(file):
                return ModelFacts.from_json(remembered).architecture
        except OSError:
            return None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.info("remembered header not understood, read again", extra={"why": repr(error)})
        try:
            facts = read_model([file])
            self._cache.put(file, facts.to_json())
        except (ModelFileError, OSError) as error:
            self._broken.add(file)
            log.info("header not read", extra={"model": row.key, "why": str(error)})
            return None
        return facts.architecture

    def _file(self, row: ModelRow) -> Path | None:
        """The one file of a model; never one outside of the folder, wherever a link in it may lead."""
        relative = Path(row.path)
        if relative.suffix.lower() != ".gguf" or relative.is_absolute() or ".." in relative.parts:
            return None
        file = self._folder / relative
        try:
            return file if file.is_file() else None
        except (OSError, ValueError):
            return None
