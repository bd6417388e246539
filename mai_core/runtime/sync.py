"""Mai: the same assistant for code that does not await, over one event-loop thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, wait
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from mai_core.paths import Paths
from mai_core.plugin.interfaces import FetchProgress
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.lessons import Lesson
from mai_core.policy.messages import Conversation, Message, Tool
from mai_core.policy.models import ModelProfile
from mai_core.runtime.mai import AsyncMai
from mai_core.runtime.status import ModelRow, Status
from mai_core.runtime.streaming import cut_off
from mai_core.runtime.turn import Explanation, Reply, TurnEvent

if TYPE_CHECKING:
    from mai_core.settings.layers import LoadedSettings

__all__ = ["Mai"]

T = TypeVar("T")

LAST_CALLS_SECONDS = 5.0


class Mai:
    """The blocking face of ``AsyncMai``.

    All calls run on one event loop in one thread of its own, so a ``Mai`` may be used from several threads, and
    from a thread pool of a program that has a running loop. Use it as a context manager, or call ``shutdown``. A call
    that waits while another thread shuts down ends with an error, and one made afterwards is a ``RuntimeError``.
    """

    def __init__(
        self,
        loaded: LoadedSettings | None = None,
        *,
        paths: Paths | None = None,
        environment: Mapping[str, str] | None = None,
        registry: PluginRegistry | None = None,
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mai", daemon=True)
        self._thread.start()
        self._door = threading.Lock()
        self._closed = False
        try:
            self._mai = self._wait(AsyncMai.open(loaded, paths=paths, environment=environment, registry=registry))
        except BaseException:
            self._closed = True
            self._end_loop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def process_message(
        self,
        text: str | Message,
        *,
        conversation: str | None = None,
        tools: Sequence[Tool] = (),
        json_schema: dict[str, Any] | None = None,
    ) -> Reply:
        """Answer ``text`` and return the whole reply; see ``AsyncMai.process_message``."""
        return self._wait(
            self._mai.process_message(text, conversation=conversation, tools=tools, json_schema=json_schema)
        )

    def stream(
        self,
        text: str | Message,
        *,
        conversation: str | None = None,
        tools: Sequence[Tool] = (),
        json_schema: dict[str, Any] | None = None,
    ) -> Iterator[TurnEvent]:
        """Answer ``text``, event by event. Closing the iterator stops the model; see ``AsyncMai.stream``."""
        return self._events(self._mai.stream(text, conversation=conversation, tools=tools, json_schema=json_schema))

    def _events(self, events: AsyncGenerator[TurnEvent, None]) -> Iterator[TurnEvent]:
        begun = False
        try:
            while True:
                try:
                    event = self._wait(_next(events))
                except StopAsyncIteration:
                    return
                except _ShutDown:
                    if begun:  # between two events, where the turn itself has heard of it already
                        raise cut_off() from None
                    raise
                begun = True
                yield event
        finally:
            if not self._closed:  # the shutdown has ended the turn otherwise
                self._wait(events.aclose())

    def retry(
        self, text: str | None = None, *, conversation: str | None = None, tools: Sequence[Tool] = ()
    ) -> Iterator[TurnEvent]:
        """Have the last message answered anew, or ``text`` in its place; see ``AsyncMai.retry``."""
        return self._events(self._mai.retry(text, conversation=conversation, tools=tools))

    def rate(self, good: bool, *, conversation: str | None = None) -> str:
        """Say that the last reply was good, or bad; returns the model that wrote it."""
        return self._wait(self._mai.rate(good, conversation=conversation))

    def learnt(self) -> tuple[Lesson, ...]:
        """What this person's own outcomes taught of models."""
        return self._wait(self._mai.learnt())

    def get_conversation_history(self, conversation: str | None = None) -> Conversation:
        """The conversation in use, or the one named, with all its messages."""
        return self._wait(self._mai.get_conversation_history(conversation))

    def get_status(self) -> Status:
        """The state of everything."""
        return self._wait(self._mai.get_status())

    def models(self) -> tuple[ModelRow, ...]:
        """Every model and how it stands now."""
        return self._wait(self._mai.models())

    def explain(self, prompt: str | None = None, *, conversation: str | None = None) -> Explanation:
        """Why the last model was chosen, or with ``prompt`` which one would be."""
        return self._wait(self._mai.explain(prompt, conversation=conversation))

    def switch(self, key: str | None) -> str | None:
        """Pin a model for the coming turns, or release the pin with None."""
        return self._wait(self._mai.switch(key))

    def fetch(
        self, source: str, *, sha256: str = "", progress: Callable[[FetchProgress], None] | None = None
    ) -> ModelProfile:
        """Bring a model to this disk. ``progress`` is called in Mai's thread."""
        return self._wait(self._mai.fetch(source, sha256=sha256, progress=progress))

    def new_conversation(self) -> str:
        """Begin a conversation and use it from now on; returns its id."""
        return self._wait(self._mai.new_conversation())

    def resume(self, conversation: str | None = None) -> Conversation:
        """Use an earlier conversation, the latest when none is named."""
        return self._wait(self._mai.resume(conversation))

    def shutdown(self) -> None:
        """Stop everything Mai started and end its thread. Safe to call twice, from any thread."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("Mai cannot wait for itself")
        with self._door:
            first, self._closed = not self._closed, True
        if not first:
            self._thread.join()
            return
        try:
            _result(self._begin(self._mai.shutdown()))
        finally:
            self._end_loop()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` on the loop and return what it returns.

        When the waiting is interrupted (Ctrl-C), the work is cancelled and has ended before this raises: nothing else
        that belongs to it, such as closing its generator, finds it still running.
        """
        with self._door:
            if self._closed or threading.current_thread() is self._thread:
                work.close()
                raise _ShutDown("this Mai is shut down") if self._closed else RuntimeError("Mai cannot wait for itself")
            begun = self._begin(work)
        return _result(begun)

    def _begin(self, work: Coroutine[Any, Any, T]) -> _Call[T]:
        call = _Call(self._loop, work)
        self._loop.call_soon_threadsafe(call.start)
        return call

    def _end_loop(self) -> None:
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(_last_calls(), self._loop).result(2 * LAST_CALLS_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _ShutDown(RuntimeError):
    """Asked of a Mai that takes no more work."""


class _Call(Generic[T]):
    """Work on its way from a waiting thread to the loop, and its outcome on the way back."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> None:
        self.outcome: Future[T] = Future()
        self._loop = loop
        self._work = work
        self._task: asyncio.Task[T] | None = None

    def start(self) -> None:
        """Called on the loop."""
        self._task = self._loop.create_task(self._work)
        self._task.add_done_callback(self._ended)

    def cancel(self) -> None:
        """Called from the waiting thread; comes after ``start`` on the loop."""
        self._loop.call_soon_threadsafe(lambda: self._task and self._task.cancel())

    def _ended(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.outcome.set_exception(CancelledError())
        elif (error := task.exception()) is not None:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(task.result())


def _result(call: _Call[T]) -> T:
    try:
        wait([call.outcome])
    except BaseException:
        call.cancel()
        wait([call.outcome])
        raise
    return call.outcome.result()


async def _last_calls() -> None:
    """Let calls of other threads hear that it is over; cancel what does not end by itself."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        _, late = await asyncio.wait(others, timeout=LAST_CALLS_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


async def _next(events: AsyncIterator[TurnEvent]) -> TurnEvent:
    return await anext(events)
