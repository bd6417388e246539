"""The connection to a server: made when it is needed, given up when it broke or fell silent, and made anew.

The only module that opens the SDK's clients. Its asynchronous API has no deadlines, so every wait here has one. A
client whose socket broke stays broken for ever: it is retired, and closed when the last who uses it is done.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

from lmstudio import AsyncClient, LMStudioError
from lmstudio.json_api import ChannelEndpoint

from mai_backends.lmstudio import failures
from mai_backends.lmstudio.access import Access
from mai_backends.lmstudio.discovery import Address
from mai_backends.lmstudio.failures import ConnectionLost
from mai_backends.lmstudio.proxies import keep_direct
from mai_core.errors import BackendUnavailable

__all__ = ["Channel", "Connection", "Link", "Parameter"]

log = logging.getLogger("mai.lmstudio")

CLOSE_SECONDS = 2.0

# The SDK logs under the bare names of its classes, lost connections as errors and with what models wrote in them.
_LOGGERS = (
    "AsyncWebsocketHandler",
    "_AsyncLMStudioWebsocket",
    "AsyncRemoteCall",
    "RemoteCallHandler",
    "ChannelHandler",
    "ChatResponseEndpoint",
    "LoadModelEndpoint",
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a remote call is told, as it goes over the wire: the SDK has classes for some calls only."""

    fields: Mapping[str, Any]

    def to_dict(self) -> Mapping[str, Any]:
        """As the SDK asks its own classes."""
        return self.fields


class Channel(Protocol):
    """What is used of the SDK's channels: packets as they come, and a way to have the server stop."""

    def rx_stream(self) -> AsyncIterator[Mapping[str, Any] | None]:
        """The packets up to the end of the channel."""
        ...

    async def cancel(self) -> None:
        """Ask the server to stop; it still ends the channel itself."""
        ...


class Link:
    """A connected client. ``users`` work with it; once ``retired`` it gets no new ones.

    ``files`` are what the server was given over it, by the SHA-256 of their content.
    """

    def __init__(self, client: AsyncClient, address: Address) -> None:
        self.address = address
        self.users = 0
        self.retired = False
        self.files: dict[str, Mapping[str, Any]] = {}
        self._client = client

    async def call(self, namespace: str, endpoint: str, parameter: Parameter | None = None) -> Any:
        """One remote call, without a deadline. Raises what the SDK raises."""
        return await getattr(self._client, namespace).remote_call(endpoint, cast("Any", parameter))

    def channel(self, endpoint: ChannelEndpoint[Any, Any, Any]) -> AbstractAsyncContextManager[Channel]:
        """A stream of packets, opened when entered.

        The SDK's public way to one parses every packet: a value it does not know yet would cost the whole reply. It
        also offers no way to stop a load.
        """
        return cast("AbstractAsyncContextManager[Channel]", self._client.llm._create_channel(endpoint))

    async def close(self) -> None:
        """Close the sockets; never takes long."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._client.aclose()
        except Exception as error:  # noqa: BLE001 - whatever state the SDK is in, nobody needs this client any more
            log.info("client not closed in order", extra={"error": failures.describe(error)})


class Connection:
    """The way to a server that ``locate`` finds. ``connect_timeout`` and ``rpc_timeout`` are seconds.

    ``locate`` raises ``BackendUnavailable`` where there is none; ``token`` is asked for before connecting, and
    ``token_option`` is the setting that says where it is.
    """

    def __init__(
        self,
        locate: Callable[[], Awaitable[Address]],
        *,
        token: Callable[[], Awaitable[str]],
        token_option: str,
        connect_timeout: float,
        rpc_timeout: float,
    ) -> None:
        self._locate = locate
        self._token = token
        self._token_option = token_option
        self._connect_timeout = connect_timeout
        self._rpc_timeout = rpc_timeout
        self._link: Link | None = None
        self._opening: asyncio.Task[Link] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def open(self) -> bool:
        """Whether there is a link, as far as is known."""
        return self._link is not None

    @asynccontextmanager
    async def link(self) -> AsyncGenerator[Link, None]:
        """A link that stays open while it is used. Raises ``BackendUnavailable`` or ``AccessDenied``."""
        link = self._link or await self._opened()
        link.users += 1
        try:
            yield link
        finally:
            link.users -= 1
            self._close_unused(link)

    def retire(self, link: Link) -> None:
        """Give a link to nobody any more: it broke, or what is behind it fell silent."""
        link.retired = True
        if self._link is link:
            self._link = None
        self._close_unused(link)

    async def call(
        self,
        namespace: str,
        endpoint: str,
        parameter: Mapping[str, Any] | None = None,
        *,
        seconds: float = 0.0,
        may_be_unknown: bool = False,
    ) -> Any:
        """The answer to a remote call, asked again once on a new link where the first one broke.

        ``seconds`` is another deadline than usual. An older server says nothing to what ``may_be_unknown`` to it; any
        other silence costs the link. Raises ``BackendUnavailable``, or ``LMStudioError`` for what the server says.
        """
        limit = seconds or self._rpc_timeout
        given = None if parameter is None else Parameter(parameter)
        lost: Exception = ConnectionLost()
        for _ in range(2):
            async with self.link() as link:
                try:
                    async with asyncio.timeout(limit):
                        return await link.call(namespace, endpoint, given)
                except TimeoutError:
                    if not may_be_unknown:
                        self.retire(link)
                    raise failures.silent(str(link.address), f"answer {endpoint}", limit) from None
                except LMStudioError as error:
                    if not failures.is_lost(error):
                        raise
                    self.retire(link)
                    lost = error
        raise failures.connecting(lost, str(link.address)) from lost

    async def close(self) -> None:
        """Close every link; streams that still run lose theirs."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._link is not None:
            link, self._link = self._link, None
            await link.close()
        await asyncio.gather(*self._closing)

    async def _opened(self) -> Link:
        """One attempt for all who want a link at the same time."""
        if self._closed:
            raise BackendUnavailable("the connection to LM Studio is closed")
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(), name="lmstudio-connect")
            self._opening.add_done_callback(self._was_opened)
        return await asyncio.shield(self._opening)

    def _was_opened(self, task: asyncio.Task[Link]) -> None:
        self._opening = None
        if not task.cancelled() and task.exception() is None:
            self._link = task.result()

    async def _open(self) -> Link:
        address = await self._locate()
        token = await self._token()
        keep_direct(address.host)
        client = None
        try:
            client = _client(address, token)
            async with asyncio.timeout(self._connect_timeout):
                await client.__aenter__()
        except BaseException as error:
            if client is not None:
                await Link(client, address).close()
            if not isinstance(error, Exception):
                raise
            access = Access(self._token_option, token=bool(token), shows=_shows_tokens())
            raise failures.entering(error, str(address), access) from error
        log.info("connected to LM Studio", extra={"address": str(address)})
        return Link(client, address)

    def _close_unused(self, link: Link) -> None:
        if link.retired and not link.users:
            task = asyncio.create_task(link.close(), name="lmstudio-close")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def _client(address: Address, token: str) -> AsyncClient:
    for name in _LOGGERS:
        logging.getLogger(name).disabled = True
    client: Callable[..., AsyncClient] = AsyncClient
    if token and _shows_tokens():
        return client(str(address), api_token=token)
    return client(str(address))


def _shows_tokens() -> bool:
    return "api_token" in inspect.signature(AsyncClient).parameters
