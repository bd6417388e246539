"""An Ollama server that may be there or not: reached, identified, and asked with a deadline."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar

from mai_backends.hosts import LOCAL, host_of, listens
from mai_backends.ollama.client.errors import Lost, Refused, Unreadable
from mai_backends.ollama.client.rows import Running, running
from mai_backends.ollama.failures import denied
from mai_backends.ollama.options import OllamaOptions
from mai_backends.wire.secrecy import Secrets
from mai_core.errors import BackendUnavailable, EngineAbsent

if TYPE_CHECKING:
    from mai_backends.ollama.client.api import Api

__all__ = ["Server"]

T = TypeVar("T")

FIRST_SIGN = 0.5
"""Seconds this machine's own server has to say that it is one; a busy one that was seen before has more."""
SIGN = 3.0
LISTING_MEMORY = 1.0
REFUSES_LONG_PROMPTS = (0, 12, 6)
"""Since this version ``truncate: false`` is understood in a chat; before, it is ignored."""


class Server:
    """The server of a backend called ``name``. The connection is made with the first call.

    ``secrets`` learns what it is shown then, for whoever words errors.
    """

    def __init__(self, name: str, options: OllamaOptions, secrets: Secrets) -> None:
        self.url = options.address()
        self.host = host_of(self.url)
        self.version = ""
        self._name = name
        self._options = options
        self._secrets = secrets
        self._api: Api | None = None
        self._opening = asyncio.Lock()

    @property
    def label(self) -> str:
        """What it is called in errors."""
        return "Ollama" if self.host == LOCAL else f"Ollama on {self.host}"

    @property
    def refuses_long_prompts(self) -> bool:
        """Whether a prompt that is too long is refused. A version built by hand, 0.0.0, counts as new."""
        numbers = tuple(int(part) for part in re.findall(r"\d+", self.version)[:3])
        return not numbers or numbers == (0, 0, 0) or numbers >= REFUSES_LONG_PROMPTS

    async def api(self) -> Api:
        """The client. Raises ``SettingsError`` when a key it needs cannot be read."""
        async with self._opening:
            if self._api is None:
                self._api = await asyncio.to_thread(self._connection)
            return self._api

    async def find(self) -> Api:
        """The client of a server that answers.

        Raises ``EngineAbsent``, ``AccessDenied`` or ``BackendUnavailable``.
        """
        first = self.host == LOCAL and not self.version
        try:
            if first and not await listens(self.url, within=FIRST_SIGN):
                raise self._missing(f"{self.label} does not answer at {self.url}")
        except TimeoutError as error:
            raise self._silent(FIRST_SIGN) from error
        api = await self.api()
        seconds = FIRST_SIGN if first else SIGN
        try:
            async with asyncio.timeout(seconds):
                self.version = await api.version() or "0.0.0"
        except Refused as error:
            if error.status in (401, 403):
                raise denied(self.label, error.said) from error
            raise self._missing(f"what answers at {self.url} is not Ollama", str(error)) from error
        except Unreadable as error:
            raise self._missing(f"what answers at {self.url} is not Ollama", str(error)) from error
        except TimeoutError as error:
            raise self._silent(seconds) from error
        except Lost as error:
            raise self._missing(f"{self.label} {self._no_answer} at {self.url}", str(error)) from error
        return api

    async def running(self, seconds: float = LISTING_MEMORY) -> list[Running]:
        """What is in its memory. Raises ``BackendUnavailable``."""
        api = await self.api()
        return running(await self.ask(api.running(), seconds))

    async def ask(self, question: Awaitable[T], seconds: float) -> T:
        """The answer to what has nothing to do with one model. Raises ``BackendUnavailable``."""
        try:
            async with asyncio.timeout(seconds):
                return await question
        except Refused as error:
            if error.status in (401, 403):
                raise denied(self.label, error.said) from error
            raise BackendUnavailable(f"{self.label} refuses to answer", detail=str(error)) from error
        except Unreadable as error:
            raise BackendUnavailable(f"{self.label} sent {error}") from error
        except TimeoutError as error:
            raise self._silent(seconds) from error
        except Lost as error:
            raise BackendUnavailable(f"{self.label} {self._no_answer} at {self.url}", detail=str(error)) from error

    async def close(self) -> None:
        """Close all connections."""
        api, self._api = self._api, None
        if api is not None:
            await api.hang_up()

    def _connection(self) -> Api:
        """Takes a while: a keyring may ask the person to unlock it, and the official client is slow to import."""
        from mai_backends.ollama.client.api import Api

        headers = self._options.credentials(self._name)
        self._secrets.learn(value for header, value in headers.items() if header in self._options.secret_headers)
        # A proxy has no business on the loopback.
        return Api(self.url, headers=headers, secrets=self._secrets, through_proxies=self.host != LOCAL)

    @property
    def _no_answer(self) -> str:
        return "stopped answering" if self.version else "does not answer"

    def _silent(self, seconds: float) -> BackendUnavailable:
        """Somebody listens, who stands still: no matter for a start, and quiet where nobody asked for a server."""
        if self.version:
            said = f"{self.label} stopped answering at {self.url}: nothing came within {seconds:g} s"
            return BackendUnavailable(said, remedy="restart it")
        if self.host != LOCAL:  # whose connection may be what never came about
            return self._missing(f"{self.label} does not answer at {self.url} within {seconds:g} s")
        kind = BackendUnavailable if self._options.url is not None else EngineAbsent
        return kind(
            f"something listens at {self.url} but does not answer within {seconds:g} s",
            remedy="restart it, if it is Ollama",
        )

    def _missing(self, message: str, detail: str = "") -> BackendUnavailable:
        """A server nobody asked for, and that never was there, is no fault."""
        if self._options.url is not None or self.version:
            remedy = "run: ollama serve" if self.host == LOCAL else "start it there, or correct the url"
            return BackendUnavailable(message, remedy=remedy, detail=detail)
        if self.host == LOCAL and shutil.which("ollama") is None:
            return EngineAbsent("Ollama is not installed", detail=detail)
        if self.host == LOCAL:
            return EngineAbsent("Ollama is installed but not running", remedy="run: ollama serve", detail=detail)
        return EngineAbsent(message, remedy="OLLAMA_HOST says it should be there", detail=detail)
