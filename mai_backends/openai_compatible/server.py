"""The HTTP side of one server: its connections, its key, and what it means when it cannot be reached."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from mai_backends.hosts import LOCAL, host_of
from mai_backends.openai_compatible.options import OpenAICompatibleOptions
from mai_backends.secrets import read_secret
from mai_backends.wire.bodies import encode, parse_json
from mai_backends.wire.errors import Refusal, Refused, Unreadable
from mai_backends.wire.secrecy import Secrets
from mai_backends.wire.stream import read_body, send
from mai_core.errors import AccessDenied, BackendUnavailable, SettingsError

__all__ = ["Answer", "Server"]

LIST = "/v1/models"
LOOK_SECONDS = 0.1
_SOURCES = ("env:", "keyring:")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said to a question: JSON, and its headers with names in lower case."""

    content: Any
    headers: Mapping[str, str]


class Server:
    """The server behind ``options.base_url``; ``name`` is the backend's, for errors.

    The key is read when it is first needed and kept in the client's headers alone. No redirect is followed: the key
    goes to the host it was meant for and to no other. ``secrets`` learns it, for whoever words errors.
    """

    def __init__(self, name: str, options: OpenAICompatibleOptions, secrets: Secrets | None = None) -> None:
        self._name = name
        self._options = options
        self._secrets = secrets or Secrets()
        self._http: httpx.AsyncClient | None = None
        self._reading: asyncio.Task[dict[str, str]] | None = None
        self._answered = False
        self._wait_ends = 0.0
        self._closed = False

    @property
    def where(self) -> str:
        """The server's address, for a person."""
        parts = urlsplit(self._options.base_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    @property
    def asks_to_wait(self) -> float:
        """Seconds it still asks to be left alone; 0 when it does not."""
        return max(0.0, self._wait_ends - time.monotonic())

    def asked_to_wait(self, seconds: float) -> None:
        """It asks to be left alone for so long."""
        self._wait_ends = max(self._wait_ends, time.monotonic() + seconds)

    async def ask(self, path: str, body: dict[str, Any] | None = None, *, seconds: float) -> Answer:
        """GET, or POST with a body: a path of the protocol, from ``/v1/`` on, or one of the server's own.

        ``seconds`` bound all of it.

        Raises ``BackendUnavailable``, ``AccessDenied``, or what the caller must judge: ``Refused`` and ``Unreadable``.
        """
        began = asyncio.get_running_loop().time()
        http = await self.client(seconds=seconds)
        method, content = ("GET", None) if body is None else ("POST", encode(body))
        below_v1 = path.startswith("/v1/")
        url = self._options.v1 + path.removeprefix("/v1") if below_v1 else self._options.root + path
        request = http.build_request(method, url, content=content)
        try:
            async with asyncio.timeout_at(began + seconds):
                response = await send(http, request)
                self._answered = True
                try:
                    received = await read_body(response)
                finally:
                    await response.aclose()
        except TimeoutError as error:
            how = "stopped answering: nothing came" if self._answered else "did not answer"
            raise BackendUnavailable(
                f"{self._name}: {self.where} {how} within {seconds:g} s", remedy="restart the server there"
            ) from error
        except (httpx.HTTPError, RuntimeError) as error:  # the latter of a client that was closed meanwhile
            raise self.unreachable(error) from error
        if not response.is_success:
            refusal = Refusal.of_body(response.status_code, received, dict(response.headers), scrub=self._secrets.scrub)
            self.check(refusal, listing=path == LIST)
            raise Refused(refusal)
        try:
            return Answer(parse_json(received), response.headers)
        except ValueError as error:
            raise Unreadable("no JSON") from error

    def chat(self, http: httpx.AsyncClient, body: dict[str, Any]) -> httpx.Request:
        """The request for a reply."""
        return http.build_request("POST", f"{self._options.v1}/chat/completions", content=encode(body))

    async def answers(self, *, within: float) -> bool:
        """Whether anything answers, be it an error, before ``within`` seconds are over."""
        clock = asyncio.get_running_loop().time
        until = clock() + within
        while not self._closed and (left := until - clock()) > 0:
            try:
                await self.ask(LIST, seconds=left)
            except (AccessDenied, Refused, Unreadable):
                return True
            except BackendUnavailable:
                await asyncio.sleep(min(LOOK_SECONDS, max(0.0, until - clock())))
            else:
                return True
        return False

    def check(self, refusal: Refusal, *, listing: bool = False) -> None:
        """Raise ``AccessDenied`` for a refused key and ``BackendUnavailable`` for an address that moved.

        403 speaks of the key only where it may not even see the list: else it is one model that it may not use.
        """
        if refusal.status == 401 or (refusal.status == 403 and listing):
            spec = self._options.api_key
            if spec:
                raise AccessDenied(
                    f"{self._name}: {self.where} refuses the key from {spec}", remedy="store one that is valid"
                )
            raise AccessDenied(
                f"{self._name}: {self.where} wants a key",
                remedy=f"keep it in a variable and set backends.{self._name}.api_key to env:NAME",
            )
        if 300 <= refusal.status < 400:
            target = host_of(refusal.headers.get("location", "")) if "location" in refusal.headers else "elsewhere"
            raise BackendUnavailable(
                f"{self._name}: {self.where} sends callers on to {target}", remedy="set base_url to where it really is"
            )

    def unreachable(self, error: Exception) -> BackendUnavailable:
        """What a failed connection means."""
        if self._closed:
            return BackendUnavailable(f"{self._name} is closed")
        said = self._secrets.describe(error)
        if "CERTIFICATE_VERIFY_FAILED" in said:
            return BackendUnavailable(
                f"{self._name}: the certificate of {self.where} cannot be verified",
                remedy="set SSL_CERT_FILE to the authority that signed it",
                detail=said,
            )
        how = "stopped answering" if self._answered else "does not answer"
        if isinstance(error, httpx.ConnectTimeout):
            how = "took up no connection"
        return BackendUnavailable(f"{self._name}: {self.where} {how}", remedy="start the server there", detail=said)

    @property
    def secrets(self) -> Secrets:
        """What it is shown, and may repeat."""
        return self._secrets

    async def client(self, *, seconds: float) -> httpx.AsyncClient:
        """The connections.

        A keyring may wait for a person to unlock it: it is asked once, and whoever needs the key waits for it so long.
        Raises ``SettingsError`` when a key cannot be read, ``BackendUnavailable`` when that takes too long.
        """
        if self._http is None and not self._closed:
            headers = await self._read(seconds)
            if self._http is None and not self._closed:
                self._http = self._open(headers)
        if self._http is None or self._closed:
            raise BackendUnavailable(f"{self._name} is closed")
        return self._http

    async def _read(self, seconds: float) -> dict[str, str]:
        if self._reading is None:
            self._reading = asyncio.create_task(asyncio.to_thread(self._headers))
        reading = self._reading
        await asyncio.wait({reading}, timeout=seconds)
        if self._closed:
            raise BackendUnavailable(f"{self._name} is closed")
        if not reading.done():
            spec = self._options.api_key or "the settings"
            raise BackendUnavailable(
                f"{self._name}: its key from {spec} has not been read within {seconds:g} s", remedy="unlock the keyring"
            )
        self._reading = None if self._reading is reading else self._reading
        return reading.result()

    async def close(self) -> None:
        """Close all connections; replies under way end."""
        self._closed = True
        if self._reading is not None:
            self._reading.cancel()  # its thread ends when the keyring answers
        if self._http is not None:
            await self._http.aclose()

    def _headers(self) -> dict[str, str]:
        options, headers, secrets = self._options, {}, []
        for name, value in options.headers.items():
            headers[name] = value
            if value.startswith(_SOURCES):
                headers[name] = read_secret(value, who=f"backends.{self._name}.headers.{name}")
                secrets.append(headers[name])
        if options.api_key:
            secrets.append(read_secret(options.api_key, who=f"backends.{self._name}.api_key"))
            headers["Authorization"] = f"Bearer {secrets[-1]}"
        self._secrets.learn(secrets)
        return {**headers, "Content-Type": "application/json", "Accept-Encoding": "identity"}

    def _open(self, headers: dict[str, str]) -> httpx.AsyncClient:
        local = host_of(self._options.base_url) == LOCAL
        try:
            return httpx.AsyncClient(
                headers=headers,
                timeout=httpx.Timeout(None, connect=self._options.connect_seconds),
                # Most engines close a connection that was idle for 5 s: it must not be taken up again just then.
                limits=httpx.Limits(max_keepalive_connections=4, keepalive_expiry=3.0 if local else 30.0),
                follow_redirects=False,
                trust_env=not local,  # a proxy has no business on the loopback
                verify=urlsplit(self._options.base_url).scheme == "https",  # loading certificates takes a while
            )
        except (ImportError, ValueError) as error:
            raise SettingsError(
                f"{self._name}: the proxy in the environment cannot be used", remedy="check HTTPS_PROXY and ALL_PROXY"
            ) from error
