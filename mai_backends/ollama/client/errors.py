"""How a call to an Ollama server can fail, before it means anything to Mai's core."""

from __future__ import annotations

__all__ = ["CALL_FAILED", "Lost", "Refused", "Unreadable"]


class Refused(Exception):
    """The server answered with an error: its HTTP status, or 200 for one told within a stream, and what it said."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{status}: {said}")
        self.status = status
        self.said = said


class Unreadable(Exception):
    """The server wrote what its protocol does not hold."""


class Lost(Exception):
    """There is no connection; ``connected`` tells whether there was one."""

    def __init__(self, why: str, *, connected: bool) -> None:
        super().__init__(why)
        self.connected = connected


CALL_FAILED = (Refused, Unreadable, Lost)
