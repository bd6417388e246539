"""https://HOST/FILE.gguf: a file of any web server; unencrypted only from this machine itself."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from mai_backends.embedded.sources import Artifact, Part, safe_filename
from mai_core.errors import FetchError

__all__ = ["PREFIXES", "resolve"]

PREFIXES = ("https://", "http://")


def resolve(source: str) -> tuple[Artifact, ...]:
    """The file behind a URL. Raises ``FetchError`` for one that is not encrypted or names no GGUF file."""
    try:
        parts = urlsplit(source)
        host = parts.hostname or ""
    except ValueError as error:
        raise FetchError(f"{source!r} is no address", remedy="write https://HOST/FILE.gguf") from error
    if parts.scheme == "http" and not _is_here(host):
        raise FetchError(f"{host} would be read unencrypted", remedy="use its https:// address")
    return (Artifact(filename=safe_filename(unquote(parts.path)), source=source, parts=(Part(url=source),)),)


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
