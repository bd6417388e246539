"""What can go wrong with an engine, in one vocabulary for all stand-ins, tests and the table in docs/backends.md."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mai_core.errors import MaiError

__all__ = ["Fault", "Row"]

NOISE_SECONDS = 4.0


class Fault(StrEnum):
    """The value is the wording of the table."""

    NOT_INSTALLED = "not installed"
    NOT_RUNNING = "not running"
    STARTS_SLOWLY = "starts slowly"
    WRONG_TOKEN = "wrong token"
    HANGS_AT_CONNECT = "hangs at connect"
    HANGS_AT_AUTH = "hangs at authentication"
    HANGS_AT_LISTING = "hangs at listing"
    HANGS_AT_LOAD = "hangs at load"
    HANGS_AT_FIRST_TOKEN = "hangs before the first token"
    HANGS_MID_STREAM = "hangs in mid-stream"
    DROPS_THE_SOCKET = "drops the socket in mid-stream"
    RESTARTS_MID_STREAM = "restarts in mid-stream"
    UNLOADS_MID_STREAM = "unloads the model in mid-stream"
    OUT_OF_MEMORY_AT_LOAD = "out of memory at load"
    OUT_OF_MEMORY_GENERATING = "out of memory while generating"
    UNKNOWN_FIELDS = "unknown fields"
    MALFORMED_ROWS = "malformed rows"
    INVALID_UTF8 = "invalid UTF-8"
    HUGE_LINE = "a line of 100 MB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What Mai does about one fault of one engine.

    does      in words, for the table
    error     the class the backend raises; None when it goes on as if nothing were
    noticed   after how long with default settings, in words
    seconds   what it takes on a free machine, with the deadlines the test sets
    """

    does: str
    error: type[MaiError] | None
    noticed: str
    seconds: float

    @property
    def bound(self) -> float:
        """Seconds a test holds it to: machines that run tests are shared, and what hangs takes for ever."""
        return self.seconds + NOISE_SECONDS
