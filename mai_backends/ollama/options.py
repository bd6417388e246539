"""What the settings of an Ollama backend may say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mai_backends.ollama.address import DEFAULT_URL, server_url
from mai_backends.secrets import read_secret

__all__ = ["OllamaOptions"]

Seconds = Annotated[float, Field(gt=0.0)]
_SECRET = ("env:", "keyring:")
_CREDENTIALS = ("authorization", "proxy-authorization", "cookie", "x-api-key")


class OllamaOptions(BaseModel):
    """Options under ``backends.NAME``.

    url              where the server listens; else what ``OLLAMA_HOST`` says, read as Ollama does, or its usual port
    api_key          for a server behind one that wants a key: ``env:NAME`` or ``keyring:SERVICE/USER``
    headers          more headers; one that holds a secret is written like ``api_key``
    keep_alive       seconds of idleness after which Ollama may unload what Mai loaded, which also holds when Mai was
                     killed before it could do so; negative for never
    cloud            offer the models this server passes on to ollama.com, and only those, as a remote backend
    load_timeout     seconds after which a load has failed
    listing_timeout  seconds a list of models may take
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = None
    api_key: str | None = None
    headers: Mapping[str, str] = Field(default_factory=dict)
    keep_alive: float = 1800.0
    cloud: bool = False
    load_timeout: Seconds = 300.0
    listing_timeout: Seconds = 10.0

    @field_validator("url")
    @classmethod
    def _an_address(cls, url: str | None) -> str | None:
        return None if url is None else server_url(url)

    @field_validator("keep_alive")
    @classmethod
    def _not_at_once(cls, seconds: float) -> float:
        if seconds == 0 or seconds != seconds:
            raise ValueError("0 would unload a model after every reply; write seconds, or -1 for never")
        return seconds

    @field_validator("headers")
    @classmethod
    def _no_secrets(cls, headers: Mapping[str, str]) -> Mapping[str, str]:
        for name, value in headers.items():
            if not (f"{name}{value}".isascii() and f"{name}{value}".isprintable()):
                raise ValueError("a header holds printable ASCII only")
            if name.lower() in _CREDENTIALS and not value.startswith(_SECRET):
                raise ValueError(f"{name} holds a secret: write env:NAME or keyring:SERVICE/USER, and keep it there")
        return headers

    @property
    def secret_headers(self) -> frozenset[str]:
        """The names, in lower case, of the headers that hold a secret."""
        found = {header.lower() for header, value in self.headers.items() if value.startswith(_SECRET)}
        return frozenset(found | ({"authorization"} if self.api_key is not None else set()))

    def address(self) -> str:
        """The server's URL. An ``OLLAMA_HOST`` nobody can read as an address counts as not set."""
        if self.url is not None:
            return self.url
        try:
            return server_url(os.environ.get("OLLAMA_HOST", "") or DEFAULT_URL)
        except ValueError:
            return DEFAULT_URL

    def credentials(self, name: str) -> dict[str, str]:
        """The headers to send, with their secrets; a keyring may keep the caller waiting. Raises ``SettingsError``."""
        sent = {
            header.lower(): read_secret(value, who=f"backends.{name}.headers.{header}")
            if value.startswith(_SECRET)
            else value
            for header, value in self.headers.items()
        }
        if self.api_key is not None:
            sent["authorization"] = f"Bearer {read_secret(self.api_key, who=f'backends.{name}.api_key')}"
        return sent
