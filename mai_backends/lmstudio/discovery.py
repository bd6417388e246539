"""Where LM Studio's server is: asked of every place it can be at the same time, and given up on soon."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mai_backends.hosts import LOCAL, host_of

__all__ = ["DEFAULT_PORT", "LOOPBACK", "PORTS", "Address", "Found", "address_of", "candidates", "find", "greets"]

log = logging.getLogger("mai.lmstudio")

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 1234
PORTS = (41343, 52993, 16141, 39414, 22931, DEFAULT_PORT)
"""Where LM Studio's SDKs look for its API on this machine, in their order, and where its HTTP server is by default."""

SEARCH_SECONDS = 0.5
CONFIGURED_SECONDS = 3.0
GREETING = "/lmstudio-greeting"
LONGEST_GREETING = 4096
PORT_FILE = Path(".internal", "http-server.json")


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port on it."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Found:
    """Where LM Studio answers, None for nowhere; ``silent`` are the places where somebody listens and says nothing."""

    address: Address | None
    silent: tuple[Address, ...] = ()


def address_of(url: str) -> Address:
    """What ``url`` points to: ``host``, ``host:port`` or ``http://host:port``. Raises ``ValueError`` otherwise."""
    parts = urlsplit(url if "://" in url else f"//{url}")
    if parts.scheme not in ("", "http", "ws"):
        raise ValueError(f"LM Studio speaks http, not {parts.scheme}")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"{parts.netloc} has no usable port") from None
    if not parts.hostname or parts.path.strip("/"):
        raise ValueError("write it as host:port")
    return Address(parts.hostname, port or DEFAULT_PORT)


def candidates(home: Path) -> tuple[Address, ...]:
    """Every place on this machine, the likeliest first: what the port file of LM Studio's folder says, known ports."""
    known = [Address(LOOPBACK, port) for port in PORTS]
    return tuple(dict.fromkeys([*_written(home / PORT_FILE), *known]))


async def find(places: Iterable[Address], *, seconds: float = SEARCH_SECONDS) -> Found:
    """The first of ``places`` where LM Studio answers within so many seconds, and who does not answer at all."""
    places = tuple(places)
    signs = await asyncio.gather(*(_listens(place, seconds) for place in places))
    listening = [place for place, sign in zip(places, signs, strict=True) if sign]
    silent = {place for place, sign in zip(places, signs, strict=True) if sign is None}
    answering: list[Address] = []
    if listening:
        greeted = dict(zip(listening, await asyncio.gather(*(greets(p, seconds) for p in listening)), strict=True))
        answering = [place for place in listening if greeted[place]]
        silent |= {place for place in listening if greeted[place] is None}
    return Found(next(iter(answering), None), tuple(place for place in places if place in silent))


async def greets(place: Address, seconds: float) -> bool | None:
    """Whether LM Studio's greeting comes from there; None when nothing comes in time.

    Anything may listen on a port, and may answer anything.
    """
    import httpx  # a machine on which nobody listens never needs it

    body = b""
    try:
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(trust_env=False, verify=False, timeout=None) as client,
            client.stream("GET", f"http://{place}{GREETING}") as response,
        ):
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > LONGEST_GREETING:
                    return False
        greeting = json.loads(body)
    except TimeoutError:
        return None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RecursionError) as error:
        log.debug("not LM Studio", extra={"address": str(place), "why": type(error).__name__})
        return False
    return isinstance(greeting, dict) and greeting.get("lmstudio") is True


async def _listens(place: Address, seconds: float) -> bool | None:
    """Whether connections are taken up there; None when on this machine nobody says so in time.

    Here, who neither takes up nor refuses is a process that stands still with its queue full; elsewhere, a way that
    leads nowhere.
    """
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(place.host, place.port)
    except TimeoutError:
        return None if host_of(str(place)) == LOCAL else False
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


def _written(file: Path) -> list[Address]:
    """What LM Studio wrote down about its own port; nothing where that is missing or makes no sense."""
    try:
        content = json.loads(file.read_bytes()[:LONGEST_GREETING])
        port = content["port"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
    return [Address(LOOPBACK, port)] if type(port) is int and 0 < port < 65536 else []
