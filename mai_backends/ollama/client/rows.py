"""The rows of Ollama's lists. Pure; a row that cannot be read costs itself and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from mai_backends.ollama.client.fields import mapping, number, text, texts, window

__all__ = ["Installed", "Running", "installed", "running"]

_YEAR = 365 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A row of ``/api/tags``. ``digest`` is that of the manifest; ``passed_on_to`` the host a cloud model runs on."""

    name: str
    digest: str
    size: int
    family: str
    parameters: str
    quantisation: str
    context: int
    capabilities: frozenset[str] | None
    passed_on_to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A row of ``/api/ps``, sizes in bytes. ``context`` is 0 where an old server does not tell it."""

    name: str
    digest: str
    size: int
    on_devices: int
    context: int
    expires_at: datetime | None

    def expires_in(self, now: datetime) -> float | None:
        """Seconds until it is unloaded unless somebody uses it; None for never."""
        if self.expires_at is None:
            return None
        seconds = (self.expires_at - now).total_seconds()
        return None if seconds > 10 * _YEAR else max(0.0, seconds)


def installed(rows: Iterable[Any]) -> list[Installed]:
    """The models on disk, each name once."""
    found = {row.name: row for one in rows if isinstance(one, dict) and (row := _installed(one)) is not None}
    return list(found.values())


def running(rows: Iterable[Any]) -> list[Running]:
    """The models in memory, each name once."""
    found = {row.name: row for one in rows if isinstance(one, dict) and (row := _running(one)) is not None}
    return list(found.values())


def _installed(row: dict[str, Any]) -> Installed | None:
    name = _name(row)
    if not name:
        return None
    details = mapping(row, "details")
    capabilities = texts(row, "capabilities")
    return Installed(
        name=name,
        digest=text(row, "digest"),
        size=number(row, "size"),
        family=text(details, "family"),
        parameters=text(details, "parameter_size"),
        quantisation=text(details, "quantization_level"),
        context=window(details, "context_length"),
        capabilities=None if capabilities is None else frozenset(capabilities),
        passed_on_to=_passed_on_to(row, name),
    )


def _running(row: dict[str, Any]) -> Running | None:
    name = _name(row)
    if not name:
        return None
    size = number(row, "size")
    return Running(
        name=name,
        digest=text(row, "digest"),
        size=size,
        on_devices=min(size, number(row, "size_vram")),
        context=window(row, "context_length"),
        expires_at=_moment(text(row, "expires_at")),
    )


def _name(row: dict[str, Any]) -> str:
    return (text(row, "model") or text(row, "name")).strip()


def _passed_on_to(row: dict[str, Any], name: str) -> str:
    """Whatever hints at another machine counts: what is typed to such a model leaves this one."""
    tag = name.rpartition(":")[2]
    if host := text(row, "remote_host"):
        return urlsplit(host if "//" in host else f"//{host}").hostname or host
    return "ollama.com" if row.get("remote_model") or tag == "cloud" or tag.endswith("-cloud") else ""


def _moment(written: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
