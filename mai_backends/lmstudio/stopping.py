"""Has the server stop what it does on a channel: nobody who leaves a channel is missed by it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

from lmstudio import LMStudioError

from mai_backends.lmstudio.client import Channel

__all__ = ["stop", "undisturbed"]

T = TypeVar("T")


async def stop(channel: Channel, *, seconds: float) -> Mapping[str, Any] | None:
    """Cancel what a channel does and wait for its end, but no longer than ``seconds``.

    Returns the last packet, empty where there was none; None when the server has not ended it in time.
    """
    last: Mapping[str, Any] = {}
    try:
        async with asyncio.timeout(seconds):
            await channel.cancel()
            async for packet in channel.rx_stream():
                last = packet or last
    except TimeoutError:
        return None
    except LMStudioError:
        return last  # an error, or the loss of the socket, ends a channel, too
    return last


async def undisturbed(work: Awaitable[T]) -> T:
    """Finish ``work`` also when the caller is cancelled meanwhile; it must be bounded in time."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
