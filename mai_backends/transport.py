"""Files of other machines over HTTP: how a server is asked, how long, and what its answers mean."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from mai_core import __version__
from mai_core.errors import FetchError, Offline

__all__ = [
    "PASSING",
    "Patience",
    "extent_of",
    "host_of",
    "open_client",
    "refused",
    "require_encrypted",
    "unreachable",
    "validator_of",
]

# Answers that may be different soon.
PASSING = (408, 425, 429, 500, 502, 503, 504)
_CONTENT_RANGE = re.compile(r"bytes (?:(?P<start>\d+)-\d+|\*)/(?P<total>\d+|\*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a download is tried.

    ``first_contact`` attempts are made while nothing has arrived at all, ``attempts`` in a row without a new byte
    later on, and never more than ``in_all``. Delays and timeouts are in seconds.
    """

    first_contact: int = 2
    attempts: int = 5
    in_all: int = 100
    first_delay: float = 0.5
    longest_delay: float = 8.0
    connect_timeout: float = 10.0
    read_timeout: float = 30.0


def open_client(patience: Patience, certificates: str = "") -> httpx.AsyncClient:
    """A client that honours the proxies and certificates of the environment. Raises ``FetchError``."""
    try:
        verify = ssl.create_default_context(cafile=certificates) if certificates else True
    except OSError as error:
        raise FetchError(f"{certificates} holds no certificates", remedy="correct PIP_CERT or pip's cert") from error
    return httpx.AsyncClient(
        follow_redirects=True,
        timeout=httpx.Timeout(patience.read_timeout, connect=patience.connect_timeout),
        verify=verify,
        # A compressed transfer could not be resumed by byte offset.
        headers={"User-Agent": f"mai/{__version__}", "Accept-Encoding": "identity"},
    )


def host_of(url: str) -> str:
    """The host and port of a URL, without the password it may hold."""
    return urlsplit(url).netloc.rpartition("@")[2]


def refused(response: httpx.Response) -> FetchError:
    """The error for an answer that will not change by asking again."""
    status, host, name = response.status_code, host_of(str(response.url)), response.url.path.rpartition("/")[2]
    if status in (401, 403):
        return FetchError(f"{host} does not let you read {name} ({status})", remedy="check your access and token")
    if status in (404, 410):
        return FetchError(f"{host} has no {name}", remedy="check the spelling of the source")
    return FetchError(f"{host} answered {status} for {name}", remedy="try again later")


def unreachable(url: str, error: Exception, *, kept: bool = False) -> Offline:
    """The error for a host that did not answer, or stopped answering; ``kept`` where what came is still there."""
    text = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return Offline(
            f"{host_of(url)} shows a certificate that is not trusted here",
            remedy="set SSL_CERT_FILE (for the package index PIP_CERT) to your network's certificates",
            detail=text,
        )
    return Offline(
        f"{host_of(url)} cannot be reached",
        remedy=f"check the network and run the same again{': what has arrived is kept' if kept else ''}",
        detail=text,
    )


def require_encrypted(response: httpx.Response, url: str) -> None:
    """Raises ``FetchError`` when an encrypted ``url`` led to an answer that was not."""
    if response.url.scheme == "http" and url.startswith("https:"):
        raise FetchError(f"{host_of(url)} redirects to an unencrypted address", remedy="use another source")


def extent_of(response: httpx.Response) -> tuple[int, int]:
    """Where the body starts within the file, and the size of the file; 0 when unknown."""
    if response.status_code == 200:
        return 0, int(response.headers.get("Content-Length", "0"))
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None:
        return 0, 0
    return int(match["start"] or 0), 0 if match["total"] == "*" else int(match["total"])


def validator_of(response: httpx.Response) -> str:
    """What If-Range may be asked with: a strong entity tag, else a date (RFC 9110, 13.1.5)."""
    tag: str = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else str(response.headers.get("Last-Modified", ""))
