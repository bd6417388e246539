"""Reading the small text files a kernel tells its state in."""

from __future__ import annotations

import errno
from pathlib import Path

__all__ = ["FAULTS", "Lie", "keyed", "number", "text", "whole"]


class Lie(ValueError):
    """A sensor told something that cannot be."""


FAULTS = (OSError, ValueError, LookupError, ArithmeticError, AttributeError, NotImplementedError, RuntimeError)
"""What a sensor that is missing, forbidden or broken ends in."""


def text(file: Path) -> str | None:
    """A file's content, None when this kernel or group has no such file, or is built or started without what it tells.

    Other failures raise ``OSError``.
    """
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENODEV):
            return None
        raise


def number(file: Path) -> int | None:
    """The one number a file holds; None when there is no such file or no bound (``max``). Raises ``Lie``."""
    said = text(file)
    if said is None or said.strip() == "max":
        return None
    return whole(said, file.name)


def whole(said: str, name: str) -> int:
    """A number that counts something, so never below 0. Raises ``Lie``."""
    try:
        value = int(said)
    except ValueError:
        raise Lie(f"{name} says {said.strip()[:40]!r}") from None
    if value < 0:
        raise Lie(f"{name} says {value}")
    return value


def keyed(said: str, wanted: frozenset[str]) -> dict[str, int]:
    """The lines ``name number`` or ``name: number kB`` of the wanted names; kB are bytes of 1024."""
    values: dict[str, int] = {}
    for line in said.splitlines():
        name, _, rest = line.replace(":", " ", 1).partition(" ")
        if name in wanted:
            amount, *unit = rest.split() or [""]
            values[name] = whole(amount, name) * (1024 if unit == ["kB"] else 1)
    return values
