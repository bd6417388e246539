"""Where an Ollama server listens, written the way Ollama itself lets people write it."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

__all__ = ["DEFAULT_URL", "server_url"]

DEFAULT_URL = "http://127.0.0.1:11434"
_PORT = 11434
_HOST = re.compile(r"[a-z0-9._-]{1,253}|\[[0-9a-f:.]+\]", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}


def server_url(written: str) -> str:
    """The URL a client connects to for what ``OLLAMA_HOST`` or the option ``url`` says.

    Scheme, host and port may each be left out. With a scheme the port defaults to the scheme's, as in Ollama. An
    address to listen on everywhere means the loopback. Raises ``ValueError`` for what is no address.
    """
    written = written.strip().strip("\"'")
    scheme, separator, rest = written.partition("://")
    if not separator:
        scheme, rest = ("https", "ollama.com:443") if written == "ollama.com" else ("http", written)
    if scheme not in _PORTS:
        raise ValueError("it has to begin with http:// or https://")
    host_and_port, slash, path = rest.partition("/")
    if host_and_port.count(":") > 1 and not host_and_port.startswith("["):
        host_and_port = f"[{host_and_port}]"
    parts = urlsplit(f"//{host_and_port}")
    if parts.username is not None:
        raise ValueError("no user or password belongs in an address")
    host, port = _connectable(parts.hostname or "127.0.0.1"), parts.port
    if not _HOST.fullmatch(host):
        raise ValueError("that is no name of a machine")
    if port is None:
        port = _PORTS[scheme] if separator else _PORT
    return f"{scheme}://{host}:{port}{slash}{path}".rstrip("/")


def _connectable(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return str(address) if address.version == 4 else f"[{address}]"
