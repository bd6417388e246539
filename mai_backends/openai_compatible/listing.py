"""What a server offers now, with what its own interfaces add to ``/v1/models``."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from mai_backends.openai_compatible.kinds import Kind, kind_of
from mai_backends.openai_compatible.offers import Offer, read_offer
from mai_backends.openai_compatible.server import LIST, Server
from mai_backends.wire.errors import Refused, Unreadable, WireError
from mai_core.errors import BackendError, BackendUnavailable

__all__ = ["Listing", "list_models", "props_of", "props_path"]

log = logging.getLogger("mai.openai-compatible")

MORE_SECONDS = 1.0
"""For what is worth knowing but not worth waiting for."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The offers of a server by id, and what kind of server it is; ``whole`` when all was told that was asked for."""

    kind: Kind = Kind.UNKNOWN
    offers: Mapping[str, Offer] = field(default_factory=dict)
    whole: bool = True

    def updated(self, newer: Listing) -> Listing:
        """A newer listing that is brief or not whole, with what this one knows besides."""
        offers = {key: _updated(self.offers.get(key), offer) for key, offer in newer.offers.items()}
        return Listing(newer.kind, offers)


async def list_models(
    name: str, server: Server, *, seconds: float, brief: bool = False, assumed: Iterable[str] = ()
) -> Listing:
    """Ask the server. ``brief`` leaves out what does not change while it runs.

    Rows that are no models are left out and counted in the log. A server that has no list is taken to have what is
    ``assumed``. Raises ``BackendUnavailable`` or ``AccessDenied``.
    """
    try:
        answer = await server.ask(LIST, seconds=seconds)
    except Refused as error:
        if error.refusal.status in (404, 405) and (ids := tuple(assumed)):
            return Listing(offers={key: Offer(id=key) for key in ids})
        raise _no_list(name, server, error) from error
    except Unreadable as error:
        raise BackendUnavailable(
            f"{name}: what answers at {server.where} is no OpenAI-compatible server: its list of models is {error}",
            remedy="check base_url",
        ) from error
    rows = _rows(answer.content)
    if rows is None:
        raise BackendUnavailable(
            f"{name}: what answers at {server.where} is no OpenAI-compatible server: it lists no models",
            remedy="check base_url",
        )
    mappings = [row for row in rows if isinstance(row, dict)]
    kind = kind_of(mappings, answer.headers)
    more: Mapping[str, Mapping[str, Any]] = {}
    whole = True
    if not brief or kind is Kind.LM_STUDIO:
        try:
            more = await _more(server, kind)
        except BackendError:
            whole = False
    offers: dict[str, Offer] = {}
    for row in rows:
        key = row.get("id") if isinstance(row, dict) else None
        added = more.get(key, more.get("", {})) if isinstance(key, str) else {}
        offer = read_offer({**row, **added} if added else row, kind)
        if offer is not None and offer.chat:
            offers.setdefault(offer.id, offer)
    if unreadable := sum(read_offer(row, kind) is None for row in rows):
        log.warning("rows of the model list cannot be read", extra={"backend": name, "rows": unreadable})
    return Listing(kind, offers, whole)


async def props_of(server: Server, path: str) -> Mapping[str, Any]:
    """What llama.cpp's server says of itself at ``path``, as fields of a row; nothing when nobody does."""
    try:
        return await _props(server, path)
    except BackendError:
        return {}


async def _props(server: Server, path: str) -> Mapping[str, Any]:
    content = await _ask(server, path)
    settings = content.get("default_generation_settings")
    if not isinstance(settings, dict):
        return {}
    found: dict[str, Any] = {"served_context": settings.get("n_ctx")}
    reads, can = content.get("modalities"), content.get("chat_template_caps")
    if isinstance(reads, dict) and reads.get("vision") is True:
        found["supports_vision"] = True
    if isinstance(can, dict) and can.get("supports_tools") is True:
        found["supports_function_calling"] = True
    return found


def props_path(kind: Kind, model: str) -> str:
    """Where llama.cpp's server speaks for itself, behind a router for ``model``; empty when there is none."""
    if kind is Kind.LLAMA_SERVER:
        return "/props"
    if kind is Kind.LLAMA_ROUTER:
        return f"/props?model={quote(model, safe='')}"
    return f"/upstream/{quote(model)}/props" if kind is Kind.LLAMA_SWAP else ""


async def _more(server: Server, kind: Kind) -> dict[str, Mapping[str, Any]]:
    """Fields to add to rows, by model id; those under the empty id belong to all others. Raises ``BackendError``."""
    if kind is Kind.LLAMA_SERVER:
        return {"": await _props(server, "/props")}
    if kind is Kind.LM_STUDIO:
        rows = _rows(await _ask(server, "/api/v0/models")) or []
        return {row["id"]: row for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)}
    if kind is Kind.LITELLM:
        found: dict[str, Mapping[str, Any]] = {}
        for row in _rows(await _ask(server, "/model/info")) or []:
            info = row.get("model_info") if isinstance(row, dict) else None
            if isinstance(info, dict) and isinstance(row.get("model_name"), str):
                told = {field: value for field, value in info.items() if value is not None and field != "id"}
                found.setdefault(row["model_name"], told)
        return found
    return {}


async def _ask(server: Server, path: str) -> Mapping[str, Any]:
    try:
        content = (await server.ask(path, seconds=MORE_SECONDS)).content
    except WireError:
        return {}
    return content if isinstance(content, dict) else {}


def _updated(known: Offer | None, newer: Offer) -> Offer:
    if known is None:
        return newer
    context, served = (newer.context, True) if newer.served else (known.context, known.served)
    return replace(known, loaded=newer.loaded, context=context, served=served)


def _rows(content: object) -> list[Any] | None:
    """The list, however it is wrapped."""
    if isinstance(content, dict):
        content = next((content[name] for name in ("data", "models") if isinstance(content.get(name), list)), None)
    return content if isinstance(content, list) else None


def _no_list(name: str, server: Server, error: Refused) -> BackendUnavailable:
    refusal = error.refusal
    said = refusal.message
    if refusal.status == 503 and "loading" in said.lower():
        return BackendUnavailable(f"{name}: {server.where} is still loading its model", remedy="wait a little")
    if refusal.status == 404:
        return BackendUnavailable(f"{name}: {server.where} has no /v1/models", remedy="check base_url")
    return BackendUnavailable(f"{name}: {server.where} cannot list its models ({refusal.status}): {said}".rstrip(": "))
