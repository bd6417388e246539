"""What the settings of a backend for an OpenAI-compatible server may say."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mai_backends.hosts import LOCAL, host_of
from mai_backends.windows import LARGEST, SMALLEST
from mai_core.policy.models import Capability

__all__ = ["Deadlines", "ModelOptions", "OpenAICompatibleOptions", "Prices"]

_STRICT = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
_VERSION = re.compile(r"/v\d+\w*(?=/|$)")
_SECRET_SOURCES = ("env:", "keyring:")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECRET_HEADER = re.compile(r"authorization|cookie|token|secret|(^|[-_])(api)?key($|[-_])", re.IGNORECASE)
_Seconds = Annotated[float, Field(gt=0.0, le=3600.0)]
_Price = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class Prices(BaseModel):
    """Money per million tokens, read (``in``) and written (``out``)."""

    model_config = ConfigDict(**_STRICT, populate_by_name=True)

    tokens_in: _Price = Field(0.0, alias="in")
    tokens_out: _Price = Field(0.0, alias="out")


class ModelOptions(BaseModel):
    """What the person knows better about a model than its server tells.

    context       tokens of its window
    prices        money per million tokens
    capabilities  what it can do, instead of what the server says
    parameters    number of weights
    """

    model_config = _STRICT

    context: Annotated[int, Field(ge=SMALLEST, le=LARGEST)] | None = None
    prices: Prices | None = None
    capabilities: frozenset[Capability] | None = None
    parameters: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None


class Deadlines(BaseModel):
    """Seconds a server may take.

    connect   to take up a connection; None is half a second on this machine and 3 s elsewhere
    listing   to list its models
    load      to load a model on demand
    """

    model_config = _STRICT

    connect: _Seconds | None = None
    listing: _Seconds = 3.0
    load: _Seconds = 180.0


class OpenAICompatibleOptions(BaseModel):
    """Options under ``backends.NAME``.

    base_url    where the server is, with or without ``/v1``; another version in it is kept
    api_key     where its key is kept: ``env:NAME`` or ``keyring:SERVICE/USER``; empty for none
    models      the models to offer, all when empty: a list of ids, or what is known about each id
    headers     sent with every request; a value may be ``env:NAME`` or ``keyring:SERVICE/USER``
    deadlines   seconds
    retries     how often a reply that did not begin is asked for again: when the connection was refused, or the server
                said that it has too much to do (429, 503)
    continues   whether the server goes on with a last message of the assistant; ``auto`` goes by what it is
    remote      whether what is said to it leaves this machine; None goes by its address, and takes a gateway, which
                passes prompts on, for remote wherever it runs
    seek        whether a server on this machine is only looked for: nothing is amiss when it is not there, and it is
                used only when it is of a kind Mai knows
    """

    model_config = _STRICT

    base_url: str
    api_key: str = Field("", repr=False)
    models: dict[str, ModelOptions] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    deadlines: Deadlines = Deadlines()
    retries: Annotated[int, Field(ge=0, le=2)] = 2
    continues: Literal["auto", "yes", "no"] = "auto"
    remote: bool | None = None
    seek: bool = False

    @field_validator("base_url")
    @classmethod
    def _a_url(cls, url: str) -> str:
        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("should begin with http:// or https:// and name a host")
        if parts.username or parts.password:
            raise ValueError("no key or token belongs in the settings: use api_key")
        if parts.query or parts.fragment:
            raise ValueError("should end with the path")
        try:
            parts.port  # noqa: B018  # raises for what is no port
        except ValueError:
            raise ValueError("should name a port from 0 to 65535") from None
        if not url.strip().isprintable() or any(sign.isspace() for sign in url.strip()):
            raise ValueError("should have no spaces")
        # The scheme is compared with further on: one way to write it.
        return parts.geturl().rstrip("/")

    @field_validator("api_key")
    @classmethod
    def _no_key(cls, spec: str) -> str:
        if spec and not spec.startswith(_SECRET_SOURCES):
            raise ValueError("no key or token belongs in the settings: write env:NAME or keyring:SERVICE/USER")
        return spec

    @field_validator("headers")
    @classmethod
    def _no_key_in_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if value.startswith(_SECRET_SOURCES):
                continue
            if _SECRET_HEADER.search(name):
                raise ValueError(
                    "no key or token belongs in the settings: use api_key, env:NAME or keyring:SERVICE/USER"
                )
            if not (value.isascii() and value.isprintable()):
                raise ValueError("should hold printable ASCII alone")
        if not all(_HEADER.fullmatch(name) for name in headers):
            raise ValueError("should have names of letters, digits and hyphens")
        return headers

    @field_validator("models", mode="before")
    @classmethod
    def _known_models(cls, models: object) -> object:
        if isinstance(models, list | tuple):
            return {str(model): {} for model in models}
        return {key: value or {} for key, value in models.items()} if isinstance(models, dict) else models

    @property
    def v1(self) -> str:
        """The URL below which the protocol's paths are."""
        return self.base_url if _VERSION.search(self.base_url) else f"{self.base_url}/v1"

    @property
    def root(self) -> str:
        """The URL below which a server has paths of its own."""
        return _VERSION.split(self.v1)[0]

    @property
    def connect_seconds(self) -> float:
        """How long a connection may take."""
        return self.deadlines.connect or (0.5 if host_of(self.base_url) == LOCAL else 3.0)
