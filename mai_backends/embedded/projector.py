"""Projectors: the files beside models that let them see, as people keep them (``mmproj-*.gguf``).

A projector belongs to the models of its folder that its name allows: tools that give every model a folder of its own
call it ``mmproj-model-f16.gguf``; where models share a folder, what its name tells beside that must be in theirs.
Whether it really fits only the engine knows: one that it refused is remembered for as long as neither file changes.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from pathlib import Path

from mai_backends.embedded.files import FileCache
from mai_backends.gguf.facts import FileKind, facts_of
from mai_backends.gguf.reader import read_header
from mai_core.errors import ModelFileError

__all__ = ["Projectors", "is_projector", "reason_in"]

log = logging.getLogger("mai.embedded.projector")

MARK = "mmproj"
LEAST_BATCH = 512
"""Tokens of a batch with a projector: models that look at an image in both directions, as gemma 3 does, must take all
of it at once (llama.cpp: "non-causal attention requires n_ubatch >= n_tokens"), and none of theirs has more."""

_WORD = re.compile(r"[a-z0-9]+(?:\.[a-z0-9]+)*")
_SAYS_NOTHING = re.compile(r"mmproj|model|gguf|it|instruct|f16|f32|fp16|fp32|bf16|i?q\d.*|[ksml]|xs|xxs|0|1|\d{5}|of")
_REASONS = (
    re.compile(r"clip_init: failed to load model '[^']*': (.+)"),
    re.compile(r"mtmd_init_from_file: error: (.+)"),
    re.compile(r"(failed to load multimodal model)"),
    re.compile(r"((?:clip|mtmd)[\w-]*\.(?:cpp|h):\d+: .+)"),
)


def is_projector(file: Path) -> bool:
    """Whether its name says so."""
    return MARK in file.name.lower()


def reason_in(said: str) -> str:
    """Why the engine refused a projector, in its own words; empty when that is not what it failed of."""
    return next((found[1].strip() for reason in _REASONS if (found := reason.search(said))), "")


class Projectors:
    """Finds the projector of a model; ``cache`` remembers what was learnt about them. Thread-safe."""

    def __init__(self, cache: FileCache) -> None:
        self._cache = cache
        self._faults: dict[str, str] = {}

    @property
    def note(self) -> str:
        """What is wrong with projectors that lie beside models, for a person."""
        return "; ".join(self._faults.values())

    def beside(self, model: Path, others: Iterable[Path] = ()) -> Path | None:
        """The smallest projector in the folder of a model that is whole and may be its own.

        ``others`` are models to be told apart from it; those of other folders do not matter.
        """
        try:
            files = [file for file in model.parent.iterdir() if is_projector(file) and file.suffix.lower() == ".gguf"]
            files.sort(key=lambda file: (file.stat().st_size, file.name))
        except OSError:
            return None
        alone = all(_words(other) == _words(model) for other in others if other.parent == model.parent)
        for file in files:
            told = _words(file)
            if (alone if not told else told <= _words(model)) and not self._fault(file, model):
                return file
        return None

    def refused(self, projector: Path, model: Path, why: str) -> None:
        """Remember that the engine does not take them together."""
        try:
            known = self._cache.get(projector)
            refused = {**(known if isinstance(known, dict) else {}), str(model): why}
            self._cache.put(projector, refused)
            self._cache.save()
        except OSError as error:
            log.info("not remembered", extra={"path": str(projector), "error": str(error)})
        self._tell(projector, model, why)

    def _fault(self, projector: Path, model: Path) -> str:
        try:
            known = self._cache.get(projector)
            if not isinstance(known, dict) or "header" not in known:
                known = {**(known if isinstance(known, dict) else {}), "header": _fault_in(projector)}
                self._cache.put(projector, known)
                self._cache.save()
        except OSError as error:
            return str(error.strerror)
        why = str(known.get(str(model)) or known["header"])
        if why:
            self._tell(projector, model, why)
        return why

    def _tell(self, projector: Path, model: Path, why: str) -> None:
        if str(projector) not in self._faults:
            log.warning("projector of no use", extra={"path": str(projector), "model": str(model), "why": why})
        self._faults[str(projector)] = f"{model.stem} does not see, {projector.name} is of no use: {why}"


def _fault_in(projector: Path) -> str:
    """What its header tells against it; empty for a projector of images."""
    try:
        header = read_header(projector)
        kind = facts_of(header, header.tensors).kind
    except ModelFileError as error:
        return error.message
    except ValueError as error:
        return str(error)
    if kind is not FileKind.PROJECTOR:
        return "it is no projector"
    return "it is one of sounds only" if header.metadata.get("clip.has_vision_encoder") is False else ""


def _words(file: Path) -> frozenset[str]:
    """What a file name tells of the model in it, without how it is stored."""
    return frozenset(word for word in _WORD.findall(file.stem.lower()) if not _SAYS_NOTHING.fullmatch(word))
