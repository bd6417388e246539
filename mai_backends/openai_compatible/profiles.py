"""From what a server offers and the settings add to the models shown to a person."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

from mai_backends.openai_compatible.listing import Listing
from mai_backends.openai_compatible.offers import Offer
from mai_backends.openai_compatible.options import ModelOptions
from mai_core.policy.models import ModelProfile, Tier

__all__ = ["UNTOLD_CONTEXT", "chosen", "context_of", "name_in", "profile"]

_SNAPSHOT = re.compile(r"models--[^/]*?--([^/]+)/snapshots/[0-9a-f]{40}$")
"""Where the Hugging Face tools keep a model, which servers take for its id when they were started with it."""

UNTOLD_CONTEXT = 8192
"""Tokens of a window no server, person or refusal has told: what nearly every model served today has at least."""


def chosen(listing: Listing, named: Mapping[str, ModelOptions]) -> list[tuple[Offer, str]]:
    """The offers the settings name, all when they name none, each with what is wrong with it.

    A gateway may list a pattern, such as ``openai/*``, for all it passes on: then a named model counts as offered.
    """
    patterns = [key for key in listing.offers if "*" in key]
    if not named:
        return [(offer, "") for key, offer in listing.offers.items() if key not in patterns]
    found = []
    for key in named:
        offer = listing.offers.get(key)
        passed_on = any(fnmatchcase(key, pattern) for pattern in patterns)
        found.append((offer or Offer(id=key), "" if offer or passed_on else "its server does not list it"))
    return found


def context_of(offer: Offer, known: ModelOptions | None, *, window: int) -> int:
    """Tokens of its window: as the person says, as was found out (``window``), as listed, or what most have."""
    return (known.context if known else None) or window or offer.context or UNTOLD_CONTEXT


def name_in(identifier: str) -> str:
    """The model's own name in an id that is a path, or has a publisher, a provider or a folder in front."""
    path = identifier.replace("\\", "/").rstrip("/")
    if found := _SNAPSHOT.search(path):
        return found[1]
    name = path.rpartition("/")[2]
    return (name[:-5] if name.lower().endswith(".gguf") else name) or identifier


def profile(offer: Offer, placed: ModelProfile, known: ModelOptions | None, *, window: int, fault: str) -> ModelProfile:
    """The profile of an offer; ``placed`` says which backend and host it belongs to."""
    known = known or ModelOptions()
    parameters = known.parameters or offer.parameters
    return replace(
        placed,
        key=offer.id,
        location=offer.id,
        name=offer.name or name_in(offer.id),
        size_bytes=offer.size_bytes,
        parameters=parameters,
        quantisation=offer.quantisation,
        max_context=context_of(offer, known, window=window),
        capabilities=offer.capabilities if known.capabilities is None else known.capabilities,
        tier=Tier.of_parameters(parameters) if parameters else placed.tier,
        price_in=known.prices.tokens_in if known.prices else offer.price_in,
        price_out=known.prices.tokens_out if known.prices else offer.price_out,
        fault=fault,
    )
