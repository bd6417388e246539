"""A turn as a stream of events, carried out in one task that ends with its stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from mai_core.errors import MaiError
from mai_core.runtime.answering import Emit
from mai_core.runtime.background import BackgroundTasks
from mai_core.runtime.turn import Reply, TurnEnd, TurnEvent

__all__ = ["Work", "cut_off", "streamed"]

Work = Callable[[Emit], Coroutine[Any, Any, Reply]]
"""A turn that tells what happens in it as it happens."""


async def streamed(work: Work, background: BackgroundTasks) -> AsyncGenerator[TurnEvent, None]:
    """What ``work`` tells, then the reply it ends with as ``TurnEnd``.

    Closing this cancels the work. Raises what the work raises, and ``cut_off`` when ``background`` was called off.
    """
    # Everything of a turn runs in one task. The queue needs no bound: a reply is no longer than its window.
    events: asyncio.Queue[TurnEvent | None] = asyncio.Queue()
    turn = background.start(work(events.put_nowait))
    turn.add_done_callback(lambda _: events.put_nowait(None))
    try:
        while (event := await events.get()) is not None:
            yield event
        if turn.cancelled():
            raise cut_off()
        yield TurnEnd(await turn)
    finally:
        turn.cancel()
        await asyncio.gather(turn, return_exceptions=True)


def cut_off() -> MaiError:
    """What whoever listens to an answer is told when Mai ends before it."""
    return MaiError("Mai was shut down in the middle of the answer", remedy="what was said is kept")
