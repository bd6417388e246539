"""On which machine the server behind a URL takes memory, and whether anybody is there."""

from __future__ import annotations

import asyncio
import ipaddress
from urllib.parse import urlsplit

__all__ = ["LOCAL", "host_of", "listens"]

LOCAL = "local"


def host_of(url: str) -> str:
    """``local`` for this machine's loopback, else the name or address in the URL.

    Any other address counts as another machine, also one that happens to be this one's own: what leaves the loopback
    can be seen by others.
    """
    name = (urlsplit(url if "//" in url else f"//{url}").hostname or "").rstrip(".")
    if name in ("", "localhost") or name.endswith(".localhost"):
        return LOCAL
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name
    return LOCAL if address.is_loopback or address.is_unspecified else name


async def listens(url: str, *, within: float) -> bool:
    """Whether anything takes up connections there.

    Cheap beyond compare where nobody does: no client has to be imported or made to know it. Raises ``TimeoutError``
    when a connection is neither taken up nor refused ``within`` seconds: a host is off, or a server that stands still
    has a full queue.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(within):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except TimeoutError:
        raise
    except OSError:
        return False
    writer.close()
    return True
