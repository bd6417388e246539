"""What Mai does about everything that can go wrong with an OpenAI-compatible server.

Left out: NOT_INSTALLED, as such a backend exists only where a person wrote down its address, and what is installed
there is not to be seen from here; HANGS_AT_AUTH, as the key comes with every request and is no step of its own, so that
a server that hangs over it hangs at listing.

The words are for a person: docs/backends.md is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from mai_core.errors import (
    AccessDenied,
    BackendUnavailable,
    GenerationError,
    ModelCrashed,
    ModelLoadError,
    ModelStalled,
    OutOfMemory,
)
from tests.standins.faults import Fault, Row

__all__ = ["FAILURES"]

FAILURES: Mapping[Fault, Row] = {
    Fault.NOT_RUNNING: Row(
        does="Offers none of its models and says that nothing answers at that address; asks again every 30 s.",
        error=BackendUnavailable,
        noticed="at once; 3 s when another machine is off",
        seconds=1.0,
    ),
    Fault.STARTS_SLOWLY: Row(
        does="Says that the server is still loading its model; offers it as soon as it lists.",
        error=BackendUnavailable,
        noticed="at once",
        seconds=1.0,
    ),
    Fault.WRONG_TOKEN: Row(
        does="Offers none of its models and says where the key it refuses comes from, never the key.",
        error=AccessDenied,
        noticed="at once",
        seconds=1.0,
    ),
    Fault.HANGS_AT_CONNECT: Row(
        does="Offers none of its models, and says that something listens there and does not answer; asks again every "
        "30 s.",
        error=BackendUnavailable,
        noticed="0.5 s, from another machine 3 s",
        seconds=1.5,
    ),
    Fault.HANGS_AT_LISTING: Row(
        does="Offers none of its models; a turn waits 1 s at most to hear what is in memory.",
        error=BackendUnavailable,
        noticed="3 s",
        seconds=1.5,
    ),
    Fault.HANGS_AT_LOAD: Row(
        does="Where a server loads on demand: gives up on that model and takes the next.",
        error=ModelLoadError,
        noticed="180 s",
        seconds=3.0,
    ),
    Fault.HANGS_AT_FIRST_TOKEN: Row(
        does="Hangs up and takes the next model; signs that only keep the connection alive do not count.",
        error=ModelStalled,
        noticed="120 s, the deadline of the first token",
        seconds=2.0,
    ),
    Fault.HANGS_MID_STREAM: Row(
        does="Hangs up; the next model goes on where the answer stopped.",
        error=ModelStalled,
        noticed="30 s, the deadline between tokens",
        seconds=2.5,
    ),
    Fault.DROPS_THE_SOCKET: Row(
        does="Looks whether the server is there; if so, the same model goes on where the answer stopped, once.",
        error=ModelCrashed,
        noticed="at once",
        seconds=1.5,
    ),
    Fault.RESTARTS_MID_STREAM: Row(
        does="Waits up to 2 s for the server; when it is back the same model goes on where the answer stopped, else "
        "another backend's.",
        error=ModelCrashed,
        noticed="as soon as it is back, 2 s at most",
        seconds=2.5,
    ),
    Fault.UNLOADS_MID_STREAM: Row(
        does="Lets the server load the model again and goes on where the answer stopped, once.",
        error=ModelCrashed,
        noticed="at once",
        seconds=1.5,
    ),
    Fault.OUT_OF_MEMORY_AT_LOAD: Row(
        does="Takes the next model: the size of the window is the server's to choose.",
        error=OutOfMemory,
        noticed="at once",
        seconds=1.5,
    ),
    Fault.OUT_OF_MEMORY_GENERATING: Row(
        does="The next model goes on where the answer stopped.",
        error=OutOfMemory,
        noticed="at once",
        seconds=1.5,
    ),
    Fault.UNKNOWN_FIELDS: Row(does="Passes over them.", error=None, noticed="never", seconds=2.0),
    Fault.MALFORMED_ROWS: Row(
        does="Leaves those rows out, with their number in the log, and offers the others.",
        error=None,
        noticed="at once",
        seconds=1.0,
    ),
    Fault.INVALID_UTF8: Row(
        does="Shows a replacement character in their place.", error=None, noticed="at once", seconds=2.0
    ),
    Fault.HUGE_LINE: Row(
        does="Hangs up after 4 MB of a line, or before the first byte of a longer response; the next model goes on.",
        error=GenerationError,
        noticed="at once",
        seconds=3.0,
    ),
}
