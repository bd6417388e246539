"""The catalogue of known models: the shipped ``models.yaml``, overlaid by the person's own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mai_core.errors import SettingsError
from mai_core.policy.catalogue import match
from mai_core.policy.models import Capability, KnownModel, Tier
from mai_core.settings.document import read_document
from mai_core.settings.layers import Layers
from mai_core.settings.model import Bytes, Form, Names, Section, Share
from mai_core.settings.problems import validated
from mai_core.settings.shipped import read_shipped

if TYPE_CHECKING:
    from mai_core.paths import Paths

__all__ = ["Entry", "load_catalogue"]

_COUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmbt]?)", re.IGNORECASE)
_COUNTS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
# What is said of one entry alone, and not of the files of its family.
_OWN = frozenset({"patterns", "sources", "sha256", "size_bytes", "starter", "chat"})


def parse_count(value: Any) -> Any:
    """A number of parameters from text as models are named: ``135M``, ``0.5B``."""
    found = _COUNT.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(found[1]) * _COUNTS[found[2].lower()] if found else value


Count = Annotated[float, BeforeValidator(parse_count), Field(ge=0.0), Form("a number such as 135M or 0.5B")]
Price = Annotated[float, Field(ge=0.0)]
Digest = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$"), Form("64 lower-case hexadecimal digits")]
Capabilities = Annotated[tuple[Literal["vision", "tools", "json"], ...], Field(strict=False)]
Kind = Literal[
    "default",
    "chat",
    "code",
    "math",
    "reasoning",
    "knowledge",
    "extraction",
    "summary",
    "translation",
    "writing",
    "tool-use",
    # Fields of knowledge and reasoning: see ``policy.kinds.FIELDS``. What math is, is both.
    "biology",
    "business",
    "chemistry",
    "computer science",
    "economics",
    "engineering",
    "health",
    "history",
    "law",
    "other",
    "philosophy",
    "physics",
    "psychology",
]


class Entry(Section):
    """What ``models.yaml`` may say of a model: see ``KnownModel``."""

    patterns: Names = ()
    name: str = ""
    tier: Literal["tiny", "small", "medium", "large"] | None = None
    parameters: Count = 0.0
    quality: dict[Kind, Share] = Field(default={})
    capabilities: Capabilities = ()
    sources: Names = ()
    sha256: Digest = ""
    size_bytes: Bytes = 0
    max_context: Annotated[int, Field(ge=0)] = 0
    licence: str = ""
    starter: bool = False
    chat: bool = True
    price_in: Price = 0.0
    price_out: Price = 0.0
    fallbacks: Names = ()


def load_catalogue(paths: Paths) -> tuple[KnownModel, ...]:
    """Every known model, most of them families of files.

    The person's ``models.yaml`` is laid over the shipped one, key by key and field by field; a starter named there
    takes the place of the shipped one. What an entry leaves out it takes from the next less specific entry that
    speaks of its key. Raises ``SettingsError`` with file and line.
    """
    shipped, own = read_shipped("models.yaml", paths.cache), read_document(paths.models_file)
    layers = Layers(dict[str, Entry])
    layers.add(shipped.data)
    layers.add_document(own)
    entries = validated(dict[str, Entry], layers.tree, layers.origins)
    starters = [key for key, entry in entries.items() if entry.starter]
    for key in starters:
        if not entries[key].sources:
            raise SettingsError(f"{layers.origins.get((key, 'starter'), key)}: the starter {key} needs `sources`")
    chosen = next((key for key in starters if (own.data.get(key) or {}).get("starter")), next(iter(starters), None))
    said = {key: entry.model_dump(exclude_unset=True) | {"starter": key == chosen} for key, entry in entries.items()}
    return tuple(_completed(said))


def _completed(said: Mapping[str, Mapping[str, Any]]) -> Iterator[KnownModel]:
    """Every entry with what it leaves out taken from the families it belongs to, the nearest first."""
    names = tuple(KnownModel(key=key, patterns=entry.get("patterns", ())) for key, entry in said.items())
    for name in names:
        values = dict(said[name.key])
        rest = tuple(other for other in names if other is not name)
        while (family := match(rest, name.key)) is not None:
            values = {k: v for k, v in said[family.key].items() if k not in _OWN} | values
            rest = tuple(other for other in rest if other is not family)
        if (tier := values.get("tier")) is not None:
            values["tier"] = Tier(tier)
        values["capabilities"] = frozenset(Capability(c) for c in values.get("capabilities", ()))
        yield KnownModel(key=name.key, **values)
