"""What Mai does about everything that can go wrong with Ollama.

``HANGS_AT_AUTH`` cannot exist: Ollama has no step of authentication, a key is checked, by a proxy in front of it, with
each request.
"""

from __future__ import annotations

from collections.abc import Mapping

from mai_core.errors import (
    AccessDenied,
    BackendUnavailable,
    EngineAbsent,
    GenerationError,
    ModelCrashed,
    ModelLoadError,
    ModelStalled,
    OutOfMemory,
)
from tests.standins.faults import Fault, Row

__all__ = ["FAILURES"]

FAILURES: Mapping[Fault, Row] = {
    Fault.NOT_INSTALLED: Row(
        does="goes on without it and says nothing, unless its url is in the settings: then its models are out",
        error=EngineAbsent,
        noticed="at once",
        seconds=1.0,
    ),
    Fault.NOT_RUNNING: Row(
        does="its models are out; Mai does not start it, and finds it when it runs",
        error=BackendUnavailable,
        noticed="at once, and again every 30 s",
        seconds=1.0,
    ),
    Fault.STARTS_SLOWLY: Row(
        does="its models are out until it listens, then they are there",
        error=BackendUnavailable,
        noticed="at once",
        seconds=1.0,
    ),
    Fault.WRONG_TOKEN: Row(
        does="its models are out, and the person is told to set the key",
        error=AccessDenied,
        noticed="with the first answer",
        seconds=1.0,
    ),
    Fault.HANGS_AT_CONNECT: Row(
        does="its models are out, and the person is told that something listens there and does not answer",
        error=BackendUnavailable,
        noticed="0.5 s on this machine, 3 s on another or when it has answered before",
        seconds=1.0,
    ),
    Fault.HANGS_AT_LISTING: Row(
        does="its models are out",
        error=BackendUnavailable,
        noticed="10 s (listing_timeout)",
        seconds=1.5,
    ),
    Fault.HANGS_AT_LOAD: Row(
        does="hangs up, which ends the load, makes sure that nothing stays in memory, and takes the next model",
        error=ModelLoadError,
        noticed="300 s (load_timeout)",
        seconds=2.5,
    ),
    Fault.HANGS_AT_FIRST_TOKEN: Row(
        does="hangs up, which ends the reply, and takes the next model",
        error=ModelStalled,
        noticed="120 s (the deadline of the first token)",
        seconds=1.5,
    ),
    Fault.HANGS_MID_STREAM: Row(
        does="keeps what was said, hangs up, and lets the next model go on",
        error=ModelStalled,
        noticed="30 s (the deadline between tokens)",
        seconds=1.5,
    ),
    Fault.DROPS_THE_SOCKET: Row(
        does="keeps what was said and lets the same model go on, once",
        error=ModelCrashed,
        noticed="at once",
        seconds=1.0,
    ),
    Fault.RESTARTS_MID_STREAM: Row(
        does="keeps what was said, loads the model again, once, and lets it go on",
        error=ModelCrashed,
        noticed="at once",
        seconds=1.0,
    ),
    Fault.UNLOADS_MID_STREAM: Row(
        does="keeps what was said, loads the model again, once, and lets it go on",
        error=ModelCrashed,
        noticed="at once",
        seconds=1.0,
    ),
    Fault.OUT_OF_MEMORY_AT_LOAD: Row(
        does="halves the context down to the minimum, then takes the next model",
        error=OutOfMemory,
        noticed="with Ollama's answer",
        seconds=1.0,
    ),
    Fault.OUT_OF_MEMORY_GENERATING: Row(
        does="keeps what was said, halves the context down to the minimum, then takes the next model",
        error=OutOfMemory,
        noticed="at once",
        seconds=1.0,
    ),
    Fault.UNKNOWN_FIELDS: Row(does="passes over them", error=None, noticed="never", seconds=1.5),
    Fault.MALFORMED_ROWS: Row(
        does="leaves out the row that cannot be read, or what of it cannot; the others are there",
        error=None,
        noticed="with the listing",
        seconds=1.5,
    ),
    Fault.INVALID_UTF8: Row(
        does="shows a replacement character for each byte that is none, and goes on",
        error=None,
        noticed="with the line",
        seconds=1.5,
    ),
    Fault.HUGE_LINE: Row(
        does="hangs up after 8 MB of it, keeps what was said, and lets the next model go on",
        error=GenerationError,
        noticed="as soon as 8 MB have come",
        seconds=3.0,
    ),
}
