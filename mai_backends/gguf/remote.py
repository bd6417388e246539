"""The header of a GGUF file on a server: whether a model fits is known before it is fetched.

The file is asked for by range and read as it arrives, and reading stops where the header does: after 2 to 13 MB for
the vocabularies of today, not the whole file, also from servers that know no ranges.

No library does this. huggingface_hub has the hub tell a repository's architecture and number of parameters, which says
nothing of one file's tensors. The ``gguf`` package maps a local file and makes an object of every token: 2.5 to 18
seconds for headers that take 5 to 15 milliseconds here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx

from mai_backends.gguf.parsing import Need, Parsing, parse
from mai_backends.gguf.types import Header
from mai_backends.transport import PASSING, extent_of, host_of, refused, require_encrypted, unreachable, validator_of
from mai_core.errors import FetchError, Offline

__all__ = ["read_remote"]

_WINDOW = 16 << 20
_LONGEST_HEADER = 64 << 20
_ATTEMPTS = 3
_DELAY = 0.3
# Bytes to be skipped that take longer to arrive than an answer to another request.
_WORTH_ASKING_AGAIN = 4 << 20


async def read_remote(
    client: httpx.AsyncClient,
    url: str,
    *,
    name: str = "",
    headers: Mapping[str, str] | None = None,
    size: int = 0,
    deadline: float = 30.0,
) -> Header:
    """The header of the file at ``url``, of which no more is read than that, within ``deadline`` seconds.

    ``client`` follows redirects; ``headers`` are sent with every request and, as httpx does it, an Authorization never
    to another host. ``name`` is for messages. ``size`` is that of the whole file in bytes, where somebody published it.
    What the header says of its size is what the server says, else what was published, else 0.

    Raises ``ModelFileError`` for what is not a GGUF file that could be whole, ``Offline`` when the server cannot be
    reached or is too slow, ``FetchError`` when it refuses, or answers with something else than what it was asked for.
    """
    reading = _Reading(url, name or url.rpartition("/")[2], dict(headers or {}), size)
    try:
        async with asyncio.timeout(deadline):
            return await reading.header(client)
    except TimeoutError as error:
        raise Offline(
            f"{host_of(url)} did not send the header of {reading.name} within {deadline:g} s", remedy="try again later"
        ) from error


class _Finished(Exception):
    """The parser has what it wanted."""

    def __init__(self, header: Header) -> None:
        self.header = header


class _Reading:
    """What has arrived of a file and is not parsed yet, and what is asked for next."""

    def __init__(self, url: str, name: str, headers: dict[str, str], size: int) -> None:
        self.name = name
        self._url = url
        self._headers = headers
        self._size = size
        self._validator = ""
        self._parsing: Parsing | None = None
        self._need = Need(0, 1)
        self._held = bytearray()
        self._base = 0
        self._received = 0

    async def header(self, client: httpx.AsyncClient) -> Header:
        fruitless, why = 0, "it sends nothing"
        while fruitless < _ATTEMPTS:
            before = self._received
            try:
                await self._request(client)
            except _Finished as finished:
                return finished.header
            except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects) as error:
                raise FetchError(f"{host_of(self._url)} cannot be read: {error}", remedy="check the source") from error
            except httpx.TransportError as error:
                why = str(error) or type(error).__name__
                await asyncio.sleep(_DELAY)
            fruitless = 0 if self._received > before else fruitless + 1
        raise unreachable(self._url, ConnectionError(why))

    async def _request(self, client: httpx.AsyncClient) -> None:
        """One request, for the bytes from the first that is needed and not here. Returns when no more come of it."""
        if not self._held:
            self._base = self._need.start
        first = self._base + len(self._held)
        headers = self._headers | {"Range": f"bytes={first}-{first + _WINDOW - 1}"}
        if first and self._validator:
            headers["If-Range"] = self._validator
        async with client.stream("GET", self._url, headers=headers) as response:
            position = self._begin(response, first)
            whole = response.status_code == 200
            async for piece in response.aiter_raw():
                self._received += len(piece)
                if self._received > _LONGEST_HEADER:
                    raise FetchError(
                        f"the header of {self.name} is longer than {_LONGEST_HEADER >> 20} MiB",
                        remedy="choose another source",
                    )
                self._take(piece, position)
                position += len(piece)
                if not whole and self._need.start - position > _WORTH_ASKING_AGAIN:
                    return
            if response.status_code != 206:
                # There is no more: the parser says what is missing.
                self._advance(bytes(self._held))

    def _begin(self, response: httpx.Response, first: int) -> int:
        """The position at which the body starts. The first time it settles how large the file is, and its version."""
        require_encrypted(response, self._url)
        status, (start, total) = response.status_code, extent_of(response)
        if status in PASSING:
            raise httpx.RemoteProtocolError(str(refused(response)))
        if status == 416:
            start = first
        elif status not in (200, 206):
            raise refused(response)
        elif status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {first}-"):
            raise FetchError(
                f"{host_of(self._url)} sent another part of {self.name} than it was asked for",
                remedy="try again later, or another source",
            )
        if self._parsing is None:
            self._size, self._validator = total or self._size, validator_of(response)
            known = 0 if status == 416 else self._size or None
            self._parsing = parse(self.name, known, remedy="choose another source")
            self._need = next(self._parsing)
        elif status != 416 and (total != self._size or validator_of(response) != self._validator):
            raise FetchError(f"{self.name} was changed while it was read", remedy="try again")
        return start

    def _take(self, piece: bytes, position: int) -> None:
        """Add what arrived from ``position`` on to what is held, and let the parser have as much as it takes."""
        here = self._base + len(self._held)
        if position + len(piece) <= here:
            return
        self._held += piece[max(0, here - position) :]
        self._let_go()
        while len(self._held) >= self._need.length:
            self._advance(bytes(self._held))
            self._let_go()

    def _let_go(self) -> None:
        """Forget what lies before what is needed, or, of what is to be skipped, all of it."""
        done = min(self._need.start - self._base, len(self._held))
        del self._held[:done]
        self._base += done

    def _advance(self, window: bytes) -> None:
        assert self._parsing is not None
        try:
            self._need = self._parsing.send(window)
        except StopIteration as end:
            raise _Finished(end.value) from None
