"""What Mai does about everything that can go wrong with its own engine.

Left out: WRONG_TOKEN and HANGS_AT_AUTH, as each worker gets its key from Mai when it starts; HANGS_AT_CONNECT, as the
system takes up connections for a worker that hangs, so that it is the first token that does not come; HANGS_AT_LISTING,
as models are listed from their files, and no engine is asked.

The words are for a person: docs/backends.md is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from mai_core.errors import (
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
    Fault.NOT_INSTALLED: Row(
        does="Lists its models, but says when one is wanted what keeps the engine from being imported, and takes those "
        "of other backends.",
        error=BackendUnavailable,
        noticed="at once, at a load",
        seconds=3.0,
    ),
    Fault.NOT_RUNNING: Row(
        does="Starts it: each loaded model has a process of its own. Where the system starts no process, it takes the "
        "models of other backends.",
        error=BackendUnavailable,
        noticed="at once, at a load",
        seconds=1.0,
    ),
    Fault.STARTS_SLOWLY: Row(
        does="Waits as long as the process writes, or takes more memory, once a minute.",
        error=None,
        noticed="never",
        seconds=10.0,
    ),
    Fault.HANGS_AT_LOAD: Row(
        does="Ends the process and takes the next model.",
        error=ModelLoadError,
        noticed="60 s without a sign of life (load_timeout)",
        seconds=4.0,
    ),
    Fault.HANGS_AT_FIRST_TOKEN: Row(
        does="Takes the next model. Progress with the prompt counts as a sign of life.",
        error=ModelStalled,
        noticed="120 s without a token or progress",
        seconds=2.0,
    ),
    Fault.HANGS_MID_STREAM: Row(
        does="The next model continues the answer.",
        error=ModelStalled,
        noticed="30 s without a token",
        seconds=2.0,
    ),
    Fault.DROPS_THE_SOCKET: Row(
        does="Waits for the news that the process is gone. If it lives, the next model continues the answer.",
        error=GenerationError,
        noticed="2 s",
        seconds=4.0,
    ),
    Fault.RESTARTS_MID_STREAM: Row(
        does="Starts a new process, loads the model once more and goes on where the answer stopped.",
        error=ModelCrashed,
        noticed="at once",
        seconds=1.5,
    ),
    Fault.UNLOADS_MID_STREAM: Row(
        does="Nobody but Mai can, and it leaves a model alone that answers. If it happens, the model is loaded once "
        "more and goes on where the answer stopped.",
        error=ModelCrashed,
        noticed="at once",
        seconds=1.5,
    ),
    Fault.OUT_OF_MEMORY_AT_LOAD: Row(
        does="Frees idle models, then halves the context, then takes a smaller model.",
        error=OutOfMemory,
        noticed="at once",
        seconds=5.0,
    ),
    Fault.OUT_OF_MEMORY_GENERATING: Row(
        does="The system ends the engine's process, which offers itself to be the first to go. Mai loads the model "
        "once more and goes on where the answer stopped, or takes a smaller one when memory is short.",
        error=ModelCrashed,
        noticed="at once",
        seconds=1.5,
    ),
    Fault.UNKNOWN_FIELDS: Row(
        does="Passes over them, in the headers of models and in what the engine says.",
        error=None,
        noticed="never",
        seconds=10.0,
    ),
    Fault.MALFORMED_ROWS: Row(
        does="Shows a model whose file is damaged as broken, with what is wrong; passes over files that are no models.",
        error=None,
        noticed="at once",
        seconds=10.0,
    ),
    Fault.INVALID_UTF8: Row(
        does="Shows a replacement character in their place.",
        error=None,
        noticed="at once",
        seconds=10.0,
    ),
    Fault.HUGE_LINE: Row(
        does="Hangs up after 4 MB of a line; the next model continues the answer.",
        error=GenerationError,
        noticed="at once",
        seconds=4.0,
    ),
}
