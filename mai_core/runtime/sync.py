"""Mai: the same assistant for code that does not await, over one event-loop thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from mai_core.paths import Paths
from mai_core.plugin.interfaces import FetchProgress
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.messages import Conversation
from mai_core.policy.models import ModelProfile
from mai_core.runtime.mai import AsyncMai
from mai_core.runtime.status import ModelRow, Status
from mai_core.runtime.turn import Explanation, Reply, TurnEvent

if TYPE_CHECKING:
    from mai_core.settings.layers import LoadedSettings

__all__ = ["Mai"]

T = TypeVar("T")


class Mai:
    """The blocking face of ``AsyncMai``.

    All calls run on one event loop in one thread of its own, so a ``Mai`` may be used from several threads, and
    from a thread pool of a program that has a running loop. Use it as a context manager, or call ``shutdown``.
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
        self._closed = threading.Lock()
        try:
            self._mai = self._wait(AsyncMai.open(loaded, paths=paths, environment=environment, registry=registry))
        except BaseException:
            self._end_loop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def process_message(self, text: str, *, conversation: str | None = None) -> Reply:
        """Answer ``text`` and return the whole reply; see ``AsyncMai.process_message``."""
        return self._wait(self._mai.process_message(text, conversation=conversation))

    def stream(self, text: str, *, conversation: str | None = None) -> Iterator[TurnEvent]:
        """Answer ``text``, event by event. Closing the iterator stops the model; see ``AsyncMai.stream``."""
        events = self._mai.stream(text, conversation=conversation)
        try:
            while True:
                try:
                    yield self._wait(_next(events))
                except StopAsyncIteration:
                    return
        finally:
            self._wait(events.aclose())

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
        """Stop everything Mai started and end its thread. Safe to call twice."""
        if not self._closed.acquire(blocking=False):
            return
        try:
            self._wait(self._mai.shutdown())
        finally:
            self._end_loop()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed() or threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("this Mai is shut down" if self._loop.is_closed() else "Mai cannot wait for itself")
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _next(events: AsyncIterator[TurnEvent]) -> TurnEvent:
    return await anext(events)
