"""The Python package index this person uses: found where pip and uv are configured, read through the simple API.

PEP 503 (HTML) and PEP 691 (JSON) are both understood; an index answers with whichever it can.
"""

from __future__ import annotations

import configparser
import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import httpx

from mai_backends.embedded.sources import Access
from mai_backends.transport import host_of, refused, unreachable
from mai_core.errors import FetchError

__all__ = ["IndexSettings", "Wheel", "find_wheel", "index_settings", "normalised"]

log = logging.getLogger("mai.embedded.index")

_DEFAULT_INDEX = "https://pypi.org/simple/"
_JSON = "application/vnd.pypi.simple.v1+json"
_ACCEPT = f"{_JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings:
    """The indexes to ask, in order, and the file of authorities to trust (empty for the usual ones)."""

    urls: tuple[str, ...] = (_DEFAULT_INDEX,)
    certificates: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel an index offers. ``size`` in bytes and ``sha256`` are 0 and empty when the index does not tell."""

    filename: str
    url: str
    sha256: str = ""
    size: int = 0


def normalised(name: str) -> str:
    """A project's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def index_settings(access: Access) -> IndexSettings:
    """What pip and uv would use: their environment variables before pip's configuration files."""
    environment = access.environment
    configured: dict[str, str] = {}
    for file in _pip_files(access):
        configured.update(_pip_file(file))
    index = (
        environment.get("PIP_INDEX_URL")
        or environment.get("UV_DEFAULT_INDEX")
        or environment.get("UV_INDEX_URL")
        or configured.get("index-url", "")
    )
    extra = [environment.get(name, "") for name in ("PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")]
    if not extra[0]:
        extra[0] = configured.get("extra-index-url", "")
    written = [index or _DEFAULT_INDEX, *" ".join(extra).split()]
    # uv lets an index have a name: NAME=URL
    urls = [re.sub(r"^[\w.-]+=(?=https?:)", "", url).rstrip("/") + "/" for url in written]
    return IndexSettings(
        urls=tuple(dict.fromkeys(url for url in urls if url.startswith(("https://", "http://")))),
        certificates=environment.get("PIP_CERT") or configured.get("cert", ""),
    )


async def find_wheel(client: httpx.AsyncClient, settings: IndexSettings, name: str, version: str) -> Wheel:
    """The wheel of that very version, from the first index that has it; one without compiled code where there is one.

    Raises ``Offline`` when no index can be reached, ``FetchError`` when none has it.
    """
    failure: FetchError | None = None
    for url in settings.urls:
        try:
            wheels = await _project(client, f"{url}{normalised(name)}/")
        except FetchError as error:
            failure = failure or error
            continue
        matching = [wheel for wheel in wheels if _is_wheel_of(wheel.filename, name, version)]
        if matching:
            wheel = min(matching, key=lambda wheel: (not wheel.filename.endswith("-none-any.whl"), wheel.filename))
            return wheel if wheel.size else await _measured(client, wheel)
    if failure is not None:
        raise failure
    hosts = " or ".join(dict.fromkeys(host_of(url) for url in settings.urls)) or "any package index"
    raise FetchError(f"{name} {version} has no wheel at {hosts}", remedy="check its name and version")


async def _project(client: httpx.AsyncClient, url: str) -> list[Wheel]:
    """Every file of a project; none when the index does not know it."""
    try:
        response = await client.get(url, headers={"Accept": _ACCEPT})
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise unreachable(url, error) from error
    if response.status_code == 404:
        return []
    if response.status_code != 200:
        raise refused(response)
    base = str(response.url)
    if response.headers.get("Content-Type", "").startswith(_JSON):
        return list(_from_json(response.text, base))
    page = _Page(base)
    page.feed(response.text)
    return page.wheels


async def _measured(client: httpx.AsyncClient, wheel: Wheel) -> Wheel:
    """With its size, which HTML indexes leave out and the check for room on the disk needs."""
    try:
        response = await client.head(wheel.url)
    except httpx.TransportError:
        return wheel
    length = response.headers.get("Content-Length", "") if response.status_code == 200 else ""
    return Wheel(
        filename=wheel.filename, url=wheel.url, sha256=wheel.sha256, size=int(length) if length.isdecimal() else 0
    )


def _from_json(text: str, base: str) -> Iterator[Wheel]:
    try:
        for file in json.loads(text)["files"]:
            size = file.get("size")
            yield Wheel(
                filename=str(file["filename"]),
                url=urljoin(base, str(file["url"])),
                sha256=str(file.get("hashes", {}).get("sha256", "")),
                size=size if isinstance(size, int) else 0,
            )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FetchError(
            f"{host_of(base)} is no package index", remedy="check PIP_INDEX_URL", detail=str(error)
        ) from error


class _Page(HTMLParser):
    """The links of a project's page."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self.wheels: list[Wheel] = []
        self._base = base

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href")
        if target is None:
            return
        if tag == "base":
            self._base = urljoin(self._base, target)
        elif tag == "a":
            url, fragment = urldefrag(urljoin(self._base, target))
            sha256 = fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else ""
            self.wheels.append(Wheel(filename=unquote(urlsplit(url).path.rpartition("/")[2]), url=url, sha256=sha256))


def _is_wheel_of(filename: str, name: str, version: str) -> bool:
    fields = filename.removesuffix(".whl").split("-")
    return (
        filename.endswith(".whl")
        and len(fields) in (5, 6)
        and (normalised(fields[0]), fields[1])
        == (
            normalised(name),
            version,
        )
    )


def _pip_files(access: Access) -> Iterator[Path]:
    """pip's configuration files, the least important first."""
    environment, home = access.environment, access.home
    only = environment.get("PIP_CONFIG_FILE")
    if only == os.devnull:
        return
    shared = environment.get("XDG_CONFIG_DIRS") or str(access.system / "etc/xdg")
    for folder in reversed(shared.split(":")):
        yield Path(folder, "pip/pip.conf")
    yield access.system / "etc/pip.conf"
    yield home / ".pip/pip.conf"
    yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf"
    yield Path(sys.prefix, "pip.conf")
    if only:
        yield Path(only)


def _pip_file(path: Path) -> Mapping[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (OSError, configparser.Error, UnicodeDecodeError) as error:
        log.warning("pip configuration not read", extra={"path": str(path), "why": str(error)})
        return {}
    settings: dict[str, str] = {}
    for section in ("global", "install", "download"):
        if parser.has_section(section):
            settings.update((key.replace("_", "-"), value) for key, value in parser.items(section))
    return settings
