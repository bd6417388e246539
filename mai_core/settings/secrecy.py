"""Which values in the settings are secrets, and how they are kept out of sight.

A key or token belongs where others cannot read it; the settings say where that is. Only options have room for one:
what a backend, a probe, a strategy or a transfer is given is free, everything else has a name of Mai's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from mai_core.settings.document import Where

__all__ = ["MASK", "NO_SECRET", "WAYS", "exposed", "masked", "points_elsewhere"]

MASK = "***"
NO_SECRET = "no key or token belongs in the settings"
WAYS = "write env:NAME or keyring:SERVICE/USER, and keep the secret itself there"

# How many names lead to options; the last of them is what people call a backend or strategy.
_DEPTHS = {"backends": 2, "probes": 2, "selection": 3, "context": 3}
_POINTER = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|keyring:.+/.+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORD = re.compile(r"[a-z0-9]+")

_IS_SECRET = re.compile(
    "apikeys?|auth|authorization|bearer|cookies?|credentials?|pass|passphrase|passwd|passwords?|pwd|secrets?|token"
)
_IS_SECRET_IN_HEADERS = re.compile(f"{_IS_SECRET.pattern}|key|session")
# What goes before `key`, and before a token of text: an engine's option, or what something costs.
_LOCKS = re.compile("access|account|api|auth|master|private|secret|signing|subscription")
_OF_TEXT = re.compile("bos|cls|end|eos|first|image|mask|next|pad|per|sep|special|start|stop|unk")
_USUAL = ("api_key", "api_token", "authorization", "password")
_SPELT_NEARLY = 0.85

# With a scheme, or with a password and nothing but an address behind it.
_USER_IN_URL = re.compile(r"(?<=://)[^/?#\s]*@|^[^/?#\s:@]+:[^/?#\s]+@(?=[^/?#\s@]+$)")
_QUERY_IN_URL = re.compile(r"(?<=[?&])([^=&#\s]+)=[^&#\s]+")


def points_elsewhere(value: object) -> bool:
    """Whether this says where a secret is kept, ``env:NAME`` or ``keyring:SERVICE/USER``, and so is none."""
    return isinstance(value, str) and _POINTER.fullmatch(value) is not None


def masked(value: Any, where: Where = ()) -> Any:
    """The value at ``where`` in the settings as anyone may see it: every secret in it has become ``MASK``.

    A setting counts as a secret by its name, which may be misspelt, and as none where it points elsewhere. The user and
    the secrets in a URL are masked too.
    """
    if _secret(where):
        if isinstance(value, list | tuple):
            return [masked(item, where) for item in value]
        return value if _harmless(value) else MASK
    if isinstance(value, Mapping):
        return {name: masked(item, (*where, name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item, (*where, index)) for index, item in enumerate(value)]
    return _open(value) if isinstance(value, str) and _options(where) else value


def exposed(value: Any, where: Where = ()) -> Iterator[Where]:
    """The settings that hold a secret themselves, in the value at ``where``."""
    if found := _secret(where):
        if not _harmless(value):
            yield found
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from exposed(item, (*where, name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from exposed(item, (*where, index))
    elif isinstance(value, str) and _options(where) and _open(value) != value:
        yield where


def _harmless(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(_harmless(item) for item in value)
    return value is None or isinstance(value, bool) or value in ("", {}) or points_elsewhere(value)


def _options(where: Where) -> Where:
    """The part of a place that lies within free options; empty outside of them."""
    return where[_DEPTHS.get(str(where[0]), len(where)) :] if where else ()


def _secret(where: Where) -> Where:
    """The name, with all above it, that makes a secret of what stands here; empty when none does."""
    names = _options(where)
    for index, name in enumerate(names):
        above = names[index - 1] if index else ""
        if isinstance(name, str) and above != "models" and _conceals(name, in_headers=above == "headers"):
            return where[: len(where) - len(names) + index + 1]
    return ()


def _conceals(name: str, *, in_headers: bool) -> bool:
    words = _WORD.findall(_HUMP.sub("_", name).lower())
    if not words:
        return False
    if in_headers and any(map(_IS_SECRET_IN_HEADERS.fullmatch, words)):
        return True
    before, last = " ".join(words[-2:-1]), words[-1]
    if last in ("key", "keys"):
        return bool(_LOCKS.fullmatch(before)) or words == ["key"]
    if last == "token" and _OF_TEXT.fullmatch(before):
        return False
    return bool(_IS_SECRET.fullmatch(last)) or bool(
        get_close_matches("_".join(words), _USUAL, n=1, cutoff=_SPELT_NEARLY)
    )


def _open(text: str) -> str:
    """An address without what only its owner should know."""
    if ("://" not in text and "@" not in text) or points_elsewhere(text):
        return text
    return _QUERY_IN_URL.sub(
        lambda found: f"{found[1]}={MASK}" if _conceals(found[1], in_headers=True) else found[0],
        _USER_IN_URL.sub(f"{MASK}@", text),
    )
