"""What can go wrong on the wire. What it means for a model is for its backend to say.

WireError
├── Refused        the server answered with an error
├── BrokeOff       the reply ended before its end
├── Silent         nothing came for longer than allowed
└── Unreadable     what came is too long, or not what the protocol says
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mai_backends.wire.bodies import parse_json

__all__ = ["BrokeOff", "Refusal", "Refused", "Silent", "Unreadable", "WireError"]

_LONGEST_MESSAGE = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error as a server tells it.

    status     HTTP status; 0 when it came within a stream
    message    its first line, cut to a length a person reads
    type, code as far as the server gives them, as text
    fields     the error object as it came, but for its texts
    headers    of the response, names in lower case

    Both ways to make one take a function that strikes secrets out of texts, before any is cut.
    """

    status: int
    message: str
    type: str = ""
    code: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_body(
        cls,
        status: int,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        scrub: Callable[[str], str] = str,
    ) -> Refusal:
        """From the body of a response: any shape in use, or the text itself."""
        try:
            content = parse_json(body)
        except ValueError:
            content = body.decode("utf-8", "replace")
        return cls.of(content, status=status, headers=headers, scrub=scrub)

    @classmethod
    def of(
        cls,
        content: object,
        *,
        status: int = 0,
        headers: Mapping[str, str] | None = None,
        scrub: Callable[[str], str] = str,
    ) -> Refusal:
        """From ``{"error": {...}}``, ``{"error": "..."}``, ``{"message": ...}``, ``{"detail": ...}`` or a text.

        Of a list the first counts.
        """
        fields: Mapping[str, Any]
        if isinstance(content, list) and content and isinstance(content[0], dict):
            content = content[0]
        error = content.get("error", content) if isinstance(content, dict) else content
        if isinstance(error, dict):
            fields = error
            said = error.get("message") or _detail(error.get("detail"))
        else:
            fields, said = {}, error
        message = _line(said, scrub)
        return cls(
            status=status,
            message=message,
            type=_line(fields.get("type"), scrub),
            code=_line(fields.get("code"), scrub),
            fields={
                **{name: scrub(value) if isinstance(value, str) else value for name, value in fields.items()},
                "message": message,
            },
            headers={name.lower(): scrub(value) for name, value in (headers or {}).items()},
        )


class WireError(Exception):
    """The conversation with a server did not go as the protocol says."""


class Refused(WireError):
    """The server answered with an error."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class BrokeOff(WireError):
    """The reply ended before its end."""


class Silent(WireError):
    """Nothing came for ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no token for {seconds:g} s")
        self.seconds = seconds


class Unreadable(WireError, ValueError):
    """What came is too long, or not what the protocol says."""


def _detail(detail: object) -> object:
    """Servers that validate list what is wrong, with the input beside it: only the place and the reason are taken."""
    first = detail[0] if isinstance(detail, list) and detail else detail
    if isinstance(first, dict):
        place = first.get("loc")
        where = ".".join(str(part) for part in place) if isinstance(place, list) else ""
        return f"{where}: {first.get('msg', '')}".strip(": ")
    return first


def _line(said: object, scrub: Callable[[str], str]) -> str:
    if said is None or isinstance(said, dict | list):
        return ""
    lines = str(said).strip().splitlines()
    return scrub(lines[0])[:_LONGEST_MESSAGE] if lines else ""
