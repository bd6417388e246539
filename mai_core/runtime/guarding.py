"""Listens to a backend's reply so that one that never yields, or never lets go, cannot hang a turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from mai_core.errors import ModelStalled
from mai_core.plugin.interfaces import GenerationEvent
from mai_core.policy.struggle import Patience

__all__ = ["guarded"]

log = logging.getLogger("mai.answering")

CLOSING_SECONDS = 10.0
"""A backend has so long to stop its engine when a reply is no longer wanted."""


async def guarded(
    stream: AsyncGenerator[GenerationEvent, None],
    patience: Patience,
    key: str,
    *,
    clock: Callable[[], float],
    busy_until: Callable[[], float] = lambda: float("-inf"),
) -> AsyncGenerator[tuple[GenerationEvent, float], None]:
    """The events of ``stream``, each with the ``clock``'s seconds when it came. Closing it closes ``stream``.

    ``busy_until`` tells when the engine was last heard of in another turn: until its reply begins, this one may be
    waiting for that. Raises ``ModelStalled`` when ``patience`` is at its end, and whatever ``stream`` raises. A backend
    that does not let go of a closed reply is left behind after ten seconds.
    """
    events: asyncio.Queue[tuple[GenerationEvent, float] | None] = asyncio.Queue()

    async def listen() -> None:
        async with aclosing(stream) as heard:
            async for event in heard:
                events.put_nowait((event, clock()))

    listening = asyncio.create_task(listen())
    listening.add_done_callback(lambda _: events.put_nowait(None))
    began = False
    since = clock()
    try:
        while True:
            limit = patience.between if began else patience.first
            try:
                async with asyncio.timeout(max(0.0, max(since, busy_until()) + limit - clock())):
                    item = await events.get()
            except TimeoutError:
                if not began and busy_until() + limit > clock():
                    continue
                raise ModelStalled(f"{key} gave no sign of life for {limit:.0f} s") from None
            if item is None:
                await listening
                return
            began, since = True, clock()
            yield item
    finally:
        listening.cancel()
        _, late = await asyncio.wait([listening], timeout=CLOSING_SECONDS)
        if late:
            log.error("a backend does not let go of a reply", extra={"model": key})
        elif not listening.cancelled():
            listening.exception()
