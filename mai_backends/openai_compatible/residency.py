"""What is in the memory of a server now, as far as it can be known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mai_backends.openai_compatible.kinds import Kind
from mai_backends.openai_compatible.listing import Listing
from mai_backends.openai_compatible.server import Server
from mai_backends.wire.errors import WireError

__all__ = ["Resident", "known", "residents"]


_FOR_EVER = 1e9
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Resident:
    """A model in memory; ``expires_in`` seconds of idleness its server unloads it."""

    id: str
    expires_in: float | None = None


def known(listing: Listing) -> bool:
    """Whether such a server can tell at all: of one that cannot, nothing is claimed."""
    kind = listing.kind
    return kind.resident or kind.loads or any(offer.loaded is not None for offer in listing.offers.values())


async def residents(server: Server, listing: Listing, *, seconds: float) -> list[Resident]:
    """The models of a fresh listing that are in memory. Raises ``BackendUnavailable``."""
    if listing.kind.resident:
        return [Resident(key) for key in listing.offers]
    if listing.kind is Kind.LLAMA_SWAP:
        running = await _running(server, seconds)
        if running is not None:
            return [resident for resident in running if resident.id in listing.offers]
    return [Resident(key) for key, offer in listing.offers.items() if offer.loaded]


async def _running(server: Server, seconds: float) -> list[Resident] | None:
    """What llama-swap has running; None of a version that does not tell."""
    try:
        content = (await server.ask("/running", seconds=seconds)).content
    except WireError:
        return None
    rows = content.get("running") if isinstance(content, dict) else None
    return [_resident(row) for row in rows if _is_ready(row)] if isinstance(rows, list) else None


def _is_ready(row: object) -> bool:
    return isinstance(row, dict) and isinstance(row.get("model"), str) and row.get("state") == "ready"


def _resident(row: Mapping[str, Any]) -> Resident:
    ttl = row.get("ttl")
    if isinstance(ttl, int | float) and not isinstance(ttl, bool) and 0 < ttl < _FOR_EVER:
        return Resident(row["model"], float(ttl))
    return Resident(row["model"])
