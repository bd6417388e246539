"""GGUF files that are already on this disk, whoever put them there. Nothing is opened, copied or changed."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mai_backends.gguf.splits import split_of

__all__ = ["MAI", "Found", "Places", "discover", "key_of", "unique_keys"]

MAI = "mai"

log = logging.getLogger("mai.embedded.discovery")

_MAX_DEPTH = 8
_MAX_MANIFEST = 1 << 20
_OLLAMA_WEIGHTS = "application/vnd.ollama.image.model"
_OLLAMA_DEFAULTS = ("registry.ollama.ai", "library")
_DIGEST = re.compile(r"[0-9a-f]{64}")
# llama.cpp names a download after its repository: owner_name-GGUF_file.gguf
_LLAMA_CPP_PREFIX = re.compile(r"^[^_]+_.*?gguf_(?=.)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where to look. ``folders`` are the person's own; the other tools' are derived from home and environment."""

    models: Path
    folders: tuple[Path, ...] = ()
    other_tools: bool = True
    home: Path
    environment: Mapping[str, str]
    system: Path = Path("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A model on disk: its files in order, the first being what an engine is pointed at.

    ``stem`` is what its key is made from, ``origin`` who put it there, ``sha256`` the digest its file name or
    manifest promises. ``sizes`` are in bytes.
    """

    files: tuple[Path, ...]
    stem: str
    origin: str
    size: int
    name: str = ""
    sha256: str = ""


def discover(places: Places) -> list[Found]:
    """Every model in these places, a file that is reachable twice only once, Mai's own first.

    What cannot be read is left out and logged. The order is the same for the same disk.
    """
    found: list[Found] = []
    seen: set[tuple[int, int]] = set()
    for model in _everywhere(places):
        identity = _identity(model.files[0])
        if identity is not None and identity not in seen:
            seen.add(identity)
            found.append(model)
    return found


def key_of(stem: str) -> str:
    """The key of a file name without its suffix: lower case, dots only within numbers such as ``qwen2.5``."""
    key = re.sub(r"[^a-z0-9._]+", "-", stem.lower())
    key = re.sub(r"(?<!\d)\.|\.(?!\d)", "-", key)
    return re.sub(r"-{2,}", "-", key).strip("-_") or "model"


def unique_keys(models: Sequence[Found]) -> list[str]:
    """A key for each model: the first keeps the plain one, later ones get their origin, and then a number."""
    keys: list[str] = []
    for model in models:
        plain = key_of(model.stem)
        key, number = plain, 1
        while key in keys:
            key = f"{plain}-{model.origin}" if number == 1 else f"{plain}-{model.origin}-{number}"
            number += 1
        keys.append(key)
    return keys


def _everywhere(places: Places) -> Iterator[Found]:
    yield from _models_in(places.models, MAI)
    for folder in places.folders:
        yield from _models_in(folder, "folder")
    if not places.other_tools:
        return
    for folder in (places.home / ".lmstudio/models", places.home / ".cache/lm-studio/models"):
        yield from _models_in(folder, "lm-studio")
    for folder in _ollama_folders(places):
        yield from _ollama(folder)
    yield from _hugging_face(_hugging_face_folder(places))
    yield from map(_without_repository, _models_in(_llama_cpp_folder(places), "llama.cpp"))


def _models_in(folder: Path, origin: str) -> Iterator[Found]:
    """Every GGUF file below a folder, the parts of a split model taken together."""
    shards: dict[tuple[str, int], dict[int, tuple[Path, int]]] = {}
    for path, size in _gguf_files(folder):
        split = split_of(path.name)
        if split is None:
            yield Found(files=(path,), stem=path.name[: -len(".gguf")], origin=origin, size=size)
            continue
        group = shards.setdefault((str(path.parent / split.stem), split.count), {})
        group[split.number] = (path, size)
    for (stem, count), parts in sorted(shards.items()):
        if sorted(parts) != list(range(1, count + 1)):
            _skipped(Path(stem), f"{len(parts)} of {count} parts")
            continue
        files = tuple(parts[number][0] for number in range(1, count + 1))
        total = sum(size for _, size in parts.values())
        yield Found(files=files, stem=Path(stem).name, origin=origin, size=total)


def _gguf_files(folder: Path) -> Iterator[tuple[Path, int]]:
    visited: set[tuple[int, int]] = set()
    waiting = [(folder, 0)]
    while waiting:
        current, depth = waiting.pop()
        identity = _identity(current, missing_is_normal=True)
        # A folder may be reached again through a link to one of its parents.
        if identity is None or identity in visited or depth > _MAX_DEPTH:
            continue
        visited.add(identity)
        for entry in _entries(current):
            if entry.name.startswith("."):
                continue
            path = Path(entry.path)
            try:
                status = entry.stat()
            except OSError as error:
                if entry.name.lower().endswith(".gguf"):
                    _skipped(path, str(error.strerror))
                continue
            if stat.S_ISDIR(status.st_mode):
                waiting.append((path, depth + 1))
            elif stat.S_ISREG(status.st_mode) and entry.name.lower().endswith(".gguf"):
                yield path, status.st_size


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        _skipped(folder, str(error.strerror))
        return []


def _ollama_folders(places: Places) -> Iterable[Path]:
    configured = places.environment.get("OLLAMA_MODELS")
    if configured:
        yield Path(configured).expanduser()
    yield places.home / ".ollama/models"
    yield places.system / "usr/share/ollama/.ollama/models"


def _ollama(folder: Path) -> Iterator[Found]:
    """The weights that manifests/HOST/OWNER/NAME/TAG refer to; they lie in blobs/ under their digest."""
    manifests = folder / "manifests"
    for host in _entries(manifests):
        for owner in _entries(Path(host.path)):
            for name in _entries(Path(owner.path)):
                for tag in _entries(Path(name.path)):
                    parts = [part.name for part in (host, owner, name)]
                    model = _ollama_model(folder, Path(tag.path), _ollama_name(parts, tag.name))
                    if model is not None:
                        yield model


def _ollama_name(parts: Sequence[str], tag: str) -> str:
    """The name a person types to Ollama: without the host and the owner it takes for granted."""
    given = list(parts)
    for default in _OLLAMA_DEFAULTS:
        if given[0] != default:
            break
        given.pop(0)
    return "/".join(given) + f":{tag}"


def _ollama_model(folder: Path, manifest: Path, name: str) -> Found | None:
    try:
        with open(manifest, "rb") as file:
            layers = json.loads(file.read(_MAX_MANIFEST))["layers"]
        digests = [layer["digest"] for layer in layers if layer["mediaType"] == _OLLAMA_WEIGHTS]
        digest = str(digests[0]).removeprefix("sha256:") if len(digests) == 1 else ""
        # The digest becomes part of a path.
        if not _DIGEST.fullmatch(digest):
            _skipped(manifest, "no weights")
            return None
        blob = folder / "blobs" / f"sha256-{digest}"
        status = blob.stat()
    except OSError as error:
        _skipped(manifest, str(error.strerror))
        return None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        _skipped(manifest, f"not a manifest: {type(error).__name__}")
        return None
    return Found(files=(blob,), stem=name, origin="ollama", size=status.st_size, name=name, sha256=digest)


def _hugging_face_folder(places: Places) -> Path:
    environment = places.environment
    if cache := environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE"):
        return Path(cache).expanduser()
    if home := environment.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    return _cache_folder(places) / "huggingface/hub"


def _hugging_face(hub: Path) -> Iterator[Found]:
    """models--OWNER--NAME/snapshots/REVISION/...: links to blobs, those of large files named by their digest."""
    for repository in _entries(hub):
        if not repository.name.startswith("models--"):
            continue
        for revision in _entries(Path(repository.path) / "snapshots"):
            for model in _models_in(Path(revision.path), "huggingface"):
                blob = os.path.basename(os.path.realpath(model.files[0]))
                single = len(model.files) == 1 and _DIGEST.fullmatch(blob)
                yield replace(model, sha256=blob) if single else model


def _llama_cpp_folder(places: Places) -> Path:
    configured = places.environment.get("LLAMA_CACHE")
    return Path(configured).expanduser() if configured else _cache_folder(places) / "llama.cpp"


def _without_repository(model: Found) -> Found:
    return replace(model, stem=_LLAMA_CPP_PREFIX.sub("", model.stem))


def _cache_folder(places: Places) -> Path:
    configured = places.environment.get("XDG_CACHE_HOME")
    return Path(configured) if configured else places.home / ".cache"


def _identity(path: Path, *, missing_is_normal: bool = False) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError as error:
        if not (missing_is_normal and isinstance(error, FileNotFoundError | NotADirectoryError)):
            _skipped(path, str(error.strerror))
        return None
    return status.st_dev, status.st_ino


def _skipped(path: Path, why: str) -> None:
    log.info("model left out", extra={"path": str(path), "why": why})
