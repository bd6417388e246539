"""What the settings of an LM Studio backend may say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["Gpu", "LMStudioOptions"]

Gpu = Literal["auto", "max", "off"] | Annotated[float, Field(ge=0.0, le=1.0)]

_Seconds = Annotated[float, Field(gt=0.0, le=3600.0)]


class LMStudioOptions(BaseModel):
    """Options under ``backends.NAME``. Times are seconds.

    url               where the server is, such as ``192.168.1.5:1234``; without it, this machine is searched
    home              the folder LM Studio keeps its own files in; ``lms`` is then looked for below it and nowhere else
    autostart         whether to start LM Studio when it is installed and not running
    autostart_after   how long a session lasts before a server is started for it; at once when a model of it is wanted
    start_timeout     how long LM Studio may take to come up
    start_wait        how long a turn that wants one of its models waits for that, before another model answers
    ttl_seconds       idle time after which LM Studio unloads a model Mai loaded; 0 or null for never
    api_token         where its API token is: ``env:NAME`` or ``keyring:SERVICE/USER``, else ``env:LM_API_TOKEN``; only
                      the SDK's pre-releases can show one: ``pip install --upgrade --pre lmstudio``
    gpu               share of a model that goes to the GPU where a plan leaves that open; ``auto``: LM Studio's choice
    connect_timeout   how long a connection, its greeting and its authentication may take
    rpc_timeout       how long it may take to answer a question
    load_timeout      how long a load may show no progress while the server is there
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = ""
    home: Path | None = None
    autostart: bool = True
    autostart_after: Annotated[float, Field(ge=0.0, le=86400.0)] = 10.0
    start_timeout: _Seconds = 90.0
    start_wait: _Seconds = 5.0
    ttl_seconds: Annotated[int, Field(ge=0)] | None = 3600
    api_token: str = ""
    gpu: Gpu = "auto"
    connect_timeout: _Seconds = 5.0
    rpc_timeout: _Seconds = 8.0
    load_timeout: _Seconds = 60.0

    @field_validator("gpu", mode="before")
    @classmethod
    def _a_share(cls, gpu: object) -> object:
        is_share = isinstance(gpu, int | float) and not isinstance(gpu, bool) and 0.0 <= gpu <= 1.0
        if gpu not in ("auto", "max", "off") and not is_share:
            raise ValueError("write auto, max, off, or a share from 0 to 1")
        return gpu

    @field_validator("url")
    @classmethod
    def _understood(cls, url: str) -> str:
        from mai_backends.lmstudio.discovery import address_of

        if url:
            address_of(url)
        return url

    @property
    def ttl(self) -> int | None:
        """The time to live as the SDK wants it: never 0, which the server does not answer."""
        return self.ttl_seconds or None
