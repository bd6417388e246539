"""Letting a server load a model that it loads on demand."""

from __future__ import annotations

from mai_backends.openai_compatible.failures import failed_load
from mai_backends.openai_compatible.server import Server
from mai_backends.wire.errors import Refused, Unreadable
from mai_core.errors import AccessDenied, BackendUnavailable, ModelLoadError

__all__ = ["warm"]

STILL_THERE_SECONDS = 1.0


async def warm(server: Server, key: str, *, seconds: float) -> None:
    """Ask ``key`` for one token; returns when it is loaded.

    Raises ``ModelFileError``, ``OutOfMemory``, ``ModelLoadError``, also when it takes longer than ``seconds``, or
    ``BackendUnavailable``.
    """
    body = {"model": key, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1, "stream": False}
    try:
        await server.ask("/v1/chat/completions", body, seconds=seconds)
    except Refused as error:
        raise failed_load(key, error.refusal, server=server.where) from error
    except Unreadable:
        return  # an answer all the same
    except AccessDenied:
        raise
    except BackendUnavailable as error:
        if not server.closed and await server.answers(within=STILL_THERE_SECONDS):
            raise ModelLoadError(
                f"{server.where} has not loaded {key} within {seconds:g} s, or dropped the connection",
                detail=str(error),
            ) from error
        raise
