"""What a model is, told by its header where it lies: whether it fits is known before it is fetched."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx

from mai_backends.embedded.sources import Access, Artifact, local, router
from mai_backends.gguf.facts import ModelFacts, facts_of
from mai_backends.gguf.remote import read_remote
from mai_backends.gguf.splits import files_of, joined, read_files
from mai_backends.gguf.types import Header
from mai_backends.transport import Patience, open_client
from mai_core.errors import FetchError, ModelFileError

__all__ = ["Ahead", "look_ahead"]

_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """A model that is not here yet: the name of its (first) file, the bytes of all of them, and what they say."""

    filename: str
    size: int
    facts: ModelFacts


async def look_ahead(source: str, access: Access, patience: Patience, *, deadline: float = 30.0) -> Ahead:
    """What the model behind ``hf:``, ``https:`` or a path is, for which at most its header is read.

    ``deadline`` in seconds holds for each of its files. Raises ``Offline`` or ``FetchError``: also for what is no GGUF
    file, and for ``pypi:``, whose wheels have to be here before they can be looked into.
    """
    try:
        if router.is_remote(source):
            artifacts = await router.resolve(source, access, patience)
            header = await _header(artifacts, patience, deadline)
            filename, published = artifacts[0].filename, sum(artifact.size for artifact in artifacts)
        else:
            file = local.locate(source, access.home)
            header = await asyncio.to_thread(read_files, files_of(file))
            filename, published = file.name, 0
        facts = facts_of(header, header.tensors)
    except (ModelFileError, ValueError) as error:
        message = error.message if isinstance(error, ModelFileError) else f"it has {error}"
        raise FetchError(f"this is no usable model: {message}", remedy="check the source") from error
    return Ahead(filename=filename, size=header.size or published, facts=facts)


async def _header(artifacts: tuple[Artifact, ...], patience: Patience, deadline: float) -> Header:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def read(client: httpx.AsyncClient, artifact: Artifact) -> Header:
        part, *others = artifact.parts
        if others or part.member:
            raise FetchError(f"{artifact.filename} lies inside packages: it cannot be looked into before it is here")
        async with turns:
            return await read_remote(
                client, part.url, name=artifact.filename, headers=part.headers, size=part.size, deadline=deadline
            )

    try:
        async with open_client(patience, artifacts[0].certificates) as client, asyncio.TaskGroup() as group:
            readings = [group.create_task(read(client, artifact)) for artifact in artifacts]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return joined([artifact.filename for artifact in artifacts], [reading.result() for reading in readings])
