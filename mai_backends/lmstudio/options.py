"""What the settings of an LM Studio backend may say."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mai_core.errors import SettingsError

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
    ttl_seconds       idle time after which LM Studio unloads a model Mai loaded; 0 or null for never
    api_token         where its API token is: ``env:NAME`` or ``keyring:SERVICE/USER``
    gpu               share of a model that goes to the GPU where a plan leaves that open; ``auto``: LM Studio's choice
    connect_timeout   how long a connection, its greeting and its authentication may take
    rpc_timeout       how long it may take to answer a question
    load_timeout      how long a load may show no progress
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = ""
    home: Path | None = None
    autostart: bool = True
    autostart_after: Annotated[float, Field(ge=0.0, le=86400.0)] = 10.0
    start_timeout: _Seconds = 90.0
    ttl_seconds: Annotated[int, Field(ge=0)] | None = 3600
    api_token: str = ""
    gpu: Gpu = "auto"
    connect_timeout: _Seconds = 5.0
    rpc_timeout: _Seconds = 8.0
    load_timeout: _Seconds = 60.0

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

    @classmethod
    def of(cls, name: str, options: Mapping[str, Any]) -> LMStudioOptions:
        """The options of the backend ``name``. Raises ``SettingsError`` for one it does not know or understand."""
        try:
            return cls.model_validate(dict(options))
        except ValidationError as error:
            first = error.errors()[0]
            option = str(first["loc"][0])
            where = f"backends.{name}.{option}"
            if first["type"] == "extra_forbidden":
                near = difflib.get_close_matches(option, cls.model_fields, n=1)
                known = f'did you mean "{near[0]}"?' if near else f"there are: {', '.join(cls.model_fields)}"
                raise SettingsError(f"{where}: LM Studio has no such option", remedy=known) from None
            said = first["msg"].removeprefix("Value error, ")
            raise SettingsError(f"{where}: {said[:1].lower()}{said[1:]}") from None
