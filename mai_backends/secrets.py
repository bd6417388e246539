"""Keys and tokens, read from where secrets are kept and from nowhere else."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from mai_core.errors import SettingsError
from mai_core.settings.secrecy import NO_SECRET, WAYS, points_elsewhere

__all__ = ["read_secret"]


def read_secret(spec: str, *, who: str) -> str:
    """The secret that ``spec`` points to: ``env:NAME`` or ``keyring:SERVICE/USER``; ``who`` wants it, in errors.

    What is returned is a plain string: hand it to the client that needs it and keep it in no other place. No error
    raised here shows a secret, not even one that was written into the settings by mistake. A keyring may ask the person
    to unlock it, so this can take a while: call it from a thread.

    Raises ``SettingsError`` when the spec is anything else, or points to nothing.
    """
    if not points_elsewhere(spec):
        raise SettingsError(f"{who}: {NO_SECRET}", remedy=WAYS)
    source, _, place = spec.partition(":")
    if source == "env":
        found, name = os.environ.get(place), f"the environment variable {place}"
        remedy = f"export {place} before Mai is started"
    else:
        service, _, user = place.rpartition("/")
        found, name = _from_keyring(service, user, who=who), f"the keyring's {service}/{user}"
        remedy = f"store it: keyring set {service} {user}"
    secret = (found or "").strip()
    if not secret:
        raise SettingsError(f"{who}: {name} is not set", remedy=remedy)
    if not (secret.isascii() and secret.isprintable()):
        # It could not be sent in a header, and the refusal of the HTTP client would quote it.
        raise SettingsError(f"{who}: {name} holds characters no key or token has", remedy="store it anew")
    return secret


def _from_keyring(service: str, user: str, *, who: str) -> str | None:
    try:
        keyring: Any = import_module("keyring")
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{who}: the keyring cannot be read, for the package keyring is not installed",
            remedy='pip install "mai[keyring]"',
        ) from error
    try:
        found: str | None = keyring.get_password(service, user)
    except import_module("keyring.errors").KeyringError as error:
        raise SettingsError(
            f"{who}: the keyring cannot be read: {type(error).__name__}", remedy="unlock it, or use env:NAME"
        ) from error
    return found
