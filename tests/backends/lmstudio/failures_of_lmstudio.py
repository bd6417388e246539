"""What Mai does about everything that can go wrong with LM Studio. None of the faults is left out.

The words are for a person: docs/backends.md is made of them.
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
        does="Nothing: no model of it is offered, and its SDK is not even imported.",
        error=EngineAbsent,
        noticed="at once",
        seconds=0.6,
    ),
    Fault.NOT_RUNNING: Row(
        does="Starts it in the background once a session has lasted 10 s (`lms daemon up`, else `lms server start`); "
        "`status` tells of it. Nobody waits for it. It is ended again with the session unless others use it by then.",
        error=EngineAbsent,
        noticed="at once",
        seconds=0.6,
    ),
    Fault.STARTS_SLOWLY: Row(
        does="A listing does not wait. A turn that wants one of its models waits 5 s; then another model answers.",
        error=None,
        noticed="at once",
        seconds=15.0,
    ),
    Fault.WRONG_TOKEN: Row(
        does="Offers none of its models and says what is missing: the option `api_token`, an SDK that can show a token "
        "(`pip install --upgrade --pre lmstudio`), both, or another token than the one that was refused.",
        error=AccessDenied,
        noticed="at once",
        seconds=1.5,
    ),
    Fault.HANGS_AT_CONNECT: Row(
        does="Offers none of its models until it answers again; it is asked every 30 s in the background. Says that "
        "something listens there and does not answer, or has stopped answering, and starts nothing beside it.",
        error=BackendUnavailable,
        noticed="0.5 s; 3 s where the settings say where it is, or when it has answered before",
        seconds=3.5,
    ),
    Fault.HANGS_AT_AUTH: Row(
        does="Offers none of its models until it answers again.",
        error=BackendUnavailable,
        noticed="5 s",
        seconds=3.0,
    ),
    Fault.HANGS_AT_LISTING: Row(
        does="Keeps the models it listed last out of the choice, and makes a new connection for the next question.",
        error=BackendUnavailable,
        noticed="8 s; what is loaded, 2 s",
        seconds=2.5,
    ),
    Fault.HANGS_AT_LOAD: Row(
        does="Cancels the load, looks for what may become of it, unloads that, and takes the next model. A server that "
        "says nothing of a load is asked for its greeting beside: where that does not come either, all its models are "
        "out.",
        error=ModelLoadError,
        noticed="5 s without progress and without a greeting; 60 s where the greeting comes",
        seconds=5.0,
    ),
    Fault.HANGS_AT_FIRST_TOKEN: Row(
        does="Has the server stop and takes the next model. Progress with the prompt counts as a sign of life.",
        error=ModelStalled,
        noticed="120 s without a token or progress",
        seconds=2.5,
    ),
    Fault.HANGS_MID_STREAM: Row(
        does="Has the server stop; the next model continues the answer.",
        error=ModelStalled,
        noticed="30 s without a token",
        seconds=2.5,
    ),
    Fault.DROPS_THE_SOCKET: Row(
        does="Connects anew and goes on where the answer stopped; before the first token nobody sees anything of it.",
        error=ModelCrashed,
        noticed="at once",
        seconds=1.5,
    ),
    Fault.RESTARTS_MID_STREAM: Row(
        does="Connects anew, loads the model once more and goes on where the answer stopped.",
        error=ModelCrashed,
        noticed="at once",
        seconds=1.5,
    ),
    Fault.UNLOADS_MID_STREAM: Row(
        does="Loads the model once more and goes on where the answer stopped.",
        error=ModelCrashed,
        noticed="at once",
        seconds=1.5,
    ),
    Fault.OUT_OF_MEMORY_AT_LOAD: Row(
        does="Frees its idle models, then halves the context, then takes a smaller model. Where LM Studio's own "
        "estimate says so, no load is even begun.",
        error=OutOfMemory,
        noticed="at once",
        seconds=1.5,
    ),
    Fault.OUT_OF_MEMORY_GENERATING: Row(
        does="Unloads the broken instance, loads the model with half the context and goes on where the answer stopped.",
        error=OutOfMemory,
        noticed="at once",
        seconds=1.5,
    ),
    Fault.UNKNOWN_FIELDS: Row(
        does="Passes over them.",
        error=None,
        noticed="never",
        seconds=3.0,
    ),
    Fault.MALFORMED_ROWS: Row(
        does="Leaves out those rows, and lists all others. A context length no model can have counts as unknown.",
        error=None,
        noticed="at once",
        seconds=3.0,
    ),
    Fault.INVALID_UTF8: Row(
        does="The connection is of no use any more: as when the socket drops.",
        error=ModelCrashed,
        noticed="at once",
        seconds=1.5,
    ),
    Fault.HUGE_LINE: Row(
        does="Reads it, takes it for no answer, has the server stop and takes the next model.",
        error=GenerationError,
        noticed="when it has arrived",
        seconds=15.0,
    ),
}
