"""AsyncMai: a conversation with whichever local model serves best."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mai_core.errors import MaiError
from mai_core.paths import Paths
from mai_core.plugin.interfaces import FetchProgress
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.appraisal import Appraisal, Asked
from mai_core.policy.lessons import Lesson
from mai_core.policy.messages import Conversation, GenerationOptions, Image, Message, Role, Tool
from mai_core.policy.models import ModelProfile
from mai_core.runtime.answering import Emit
from mai_core.runtime.background import BackgroundTasks
from mai_core.runtime.calibrating import Calibration
from mai_core.runtime.composition import compose
from mai_core.runtime.status import ModelRow, Status
from mai_core.runtime.store import Store
from mai_core.runtime.streaming import streamed
from mai_core.runtime.turn import Explanation, Reply, TurnEnd, TurnEvent
from mai_core.runtime.turns import refuse_nonsense

if TYPE_CHECKING:
    from mai_core.settings.layers import LoadedSettings

__all__ = ["AsyncMai"]


class AsyncMai:
    """The assistant. Use it as an async context manager, or call ``open`` and ``shutdown``.

    Opening is cheap: no model is loaded before it is needed. One conversation is in use at a time, unless a call
    names another; turns of one conversation follow each other, turns of several may run at once.
    """

    def __init__(self, loaded: LoadedSettings, paths: Paths, registry: PluginRegistry, store: Store) -> None:
        self.loaded = loaded
        self.paths = paths
        self.registry = registry
        self.store = store
        self.conversation: str | None = None
        self._beginning = asyncio.Lock()
        self._background = BackgroundTasks()
        self._parts = compose(
            loaded.settings,
            registry,
            paths,
            store,
            background=self._background,
            in_use=lambda: self.conversation,
            history=self.get_conversation_history,
        )
        self.manager = self._parts.manager

    @classmethod
    async def open(
        cls,
        loaded: LoadedSettings | None = None,
        *,
        paths: Paths | None = None,
        environment: Mapping[str, str] | None = None,
        registry: PluginRegistry | None = None,
    ) -> AsyncMai:
        """A Mai with these settings, or with the person's own.

        Raises ``SettingsError`` for settings that cannot be read and ``StoreError`` for a database that cannot be
        opened.
        """
        from mai_core.settings import load_settings

        environment = os.environ if environment is None else environment
        paths = paths or Paths.of(environment)
        loaded = loaded or load_settings(paths, environment)
        registry = registry or PluginRegistry.discover(blocked=loaded.settings.plugins.blocked)
        store = await asyncio.to_thread(Store.open, paths.database, now=time.time)
        try:
            mai = cls(loaded, paths, registry, store)
        except BaseException:
            store.close()
            raise
        mai._parts.monitor.start()
        mai._parts.pool.start()
        return mai

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.shutdown()

    async def process_message(
        self,
        text: str | Message,
        *,
        conversation: str | None = None,
        tools: Sequence[Tool] = (),
        json_schema: dict[str, Any] | None = None,
    ) -> Reply:
        """Answer ``text`` and return the whole reply. Takes and raises what ``stream`` does."""
        turn = self.stream(text, conversation=conversation, tools=tools, json_schema=json_schema)
        async with aclosing(turn) as events:
            async for event in events:
                if isinstance(event, TurnEnd):
                    return event.reply
        raise AssertionError("a turn ends with TurnEnd or an error")

    async def stream(
        self,
        text: str | Message,
        *,
        conversation: str | None = None,
        tools: Sequence[Tool] = (),
        json_schema: dict[str, Any] | None = None,
    ) -> AsyncGenerator[TurnEvent, None]:
        """Answer ``text``, event by event; the last is ``TurnEnd``. A ``Message`` may show ``images``.

        A model that can is chosen to call ``tools`` or to keep to ``json_schema``. What a tool returned is answered by
        giving it as a message of the role ``tool``.

        The message is on disk before anything else happens. Closing the stream stops the model; what it wrote until
        then is kept. Raises the ``MaiError`` that says why there is no answer, a shutdown in the middle of it among
        the reasons: the message is kept all the same.
        """
        message = text if isinstance(text, Message) else Message(role=Role.USER, content=text)
        options = replace(self._options(), tools=tuple(tools), json_schema=json_schema)

        async def turn(emit: Emit) -> Reply:
            refuse_nonsense(message)
            async with self._beginning:
                name = conversation or self.conversation or await self.new_conversation()
            reply = await self._parts.turns.run(message, options, name, emit)
            self._parts.lookahead.turn_ended()
            return reply

        async with aclosing(streamed(turn, self._background)) as events:
            async for event in events:
                yield event

    async def retry(
        self, text: str | None = None, *, conversation: str | None = None, tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[TurnEvent, None]:
        """Have the last message answered anew, or ``text`` in its place, event by event like ``stream``.

        That speaks, mildly, against the model that wrote the reply there was; who answers is decided anew. The reply
        stays until another is whole. Raises ``MaiError`` where nothing was asked.
        """
        options = replace(self._options(), tools=tuple(tools))

        async def turn(emit: Emit) -> Reply:
            name = conversation or self.conversation
            if name is None:
                raise MaiError("nothing was asked yet", remedy="say something")
            if text is not None:
                refuse_nonsense(Message(role=Role.USER, content=text))
            reply = await self._parts.turns.again(options, name, emit, text=text)
            self._parts.lookahead.turn_ended()
            return reply

        async with aclosing(streamed(turn, self._background)) as events:
            async for event in events:
                yield event

    async def get_conversation_history(self, conversation: str | None = None) -> Conversation:
        """The conversation in use, or the one named, with all its messages."""
        wanted = conversation or self.conversation
        if wanted is None:
            return Conversation(id="")
        return await asyncio.to_thread(self.store.conversation, wanted)

    async def rate(self, good: bool, *, conversation: str | None = None) -> str:
        """Say that the last reply was good, or bad; returns the model that wrote it.

        From now on that counts when models are chosen for such tasks. Raises ``MaiError`` where there is no reply, and
        where the settings say that nothing is learnt.
        """
        history = await self.get_conversation_history(conversation)
        return await asyncio.to_thread(self._parts.outcomes.rated, history, good)

    async def learnt(self) -> tuple[Lesson, ...]:
        """What this person's own outcomes taught of models."""
        return await asyncio.to_thread(self._parts.outcomes.lessons)

    async def get_status(self) -> Status:
        """The state of everything, the other Mai processes of this person included."""
        status = await self.manager.get_current_model_status()
        return replace(status, processes=await self._parts.announcing.processes())

    async def models(self) -> tuple[ModelRow, ...]:
        """Every model and how it stands now."""
        return await self.manager.models()

    async def estimate(self, names: Sequence[str] = (), asked: Asked | None = None) -> tuple[Appraisal, ...]:
        """What models would take and how fast they would be; see ``ModelManager.estimate``."""
        return await self.manager.estimate(names, asked)

    async def explain(self, prompt: str | None = None, *, conversation: str | None = None) -> Explanation:
        """Why the last model was chosen, or with ``prompt`` which one would be, without loading any."""
        if prompt is not None:
            before = (await self.get_conversation_history(conversation)).messages
            asked = Message(role=Role.USER, content=prompt)
            decision = await self.manager.select_best_model(self._parts.turns.features(asked, before), explain=True)
            return Explanation(decision=decision, dry_run=True)
        stored = await asyncio.to_thread(self.store.last_decision, conversation or self.conversation)
        if stored is None:
            raise MaiError("no decision was made yet", remedy='ask something first, or try mai why "a question"')
        authors = await asyncio.to_thread(self.store.authors, stored.conversation, stored.message_id)
        return Explanation(decision=stored.decision, receipt=stored.receipt, made=stored.made, authors=authors)

    async def calibrate(
        self,
        keys: Sequence[str] = (),
        *,
        seconds: float = 60.0,
        keep_all: bool = False,
        progress: Callable[[str, float], None] = lambda text, share: None,
    ) -> AsyncGenerator[Calibration, None]:
        """Measure this machine with the models it has; see ``Calibrating.run``."""
        await self._parts.announcing.note()
        async with aclosing(
            self._parts.calibrating.run(keys, seconds=seconds, keep_all=keep_all, progress=progress)
        ) as found:
            async for one in found:
                await self._parts.announcing.note()
                yield one

    async def switch(self, key: str | None, *, here_only: bool = False) -> str | None:
        """Pin a model for the coming turns, or release the pin with None; see ``ModelManager.switch_model``."""
        return await self.manager.switch_model(key, here_only=here_only)

    async def fetch(
        self, source: str, *, sha256: str = "", progress: Callable[[FetchProgress], None] | None = None
    ) -> ModelProfile:
        """Bring a model to this disk."""
        return await self.manager.fetch(source, sha256=sha256, progress=progress)

    async def remove(self, key: str) -> int:
        """Delete a model that Mai put on this disk; returns the bytes freed."""
        return await self.manager.remove(key)

    async def new_conversation(self) -> str:
        """Begin a conversation and use it from now on; returns its id."""
        self.conversation = (await asyncio.to_thread(self.store.new_conversation)).id
        return self.conversation

    async def resume(self, conversation: str | None = None) -> Conversation:
        """Use an earlier conversation, the latest when none is named, and return it."""
        if conversation is not None:
            found: Conversation | None = await asyncio.to_thread(self.store.conversation, conversation)
        else:
            found = await asyncio.to_thread(self.store.latest)
        if found is None:
            raise MaiError("there is no conversation to continue", remedy="begin one: mai chat")
        self.conversation = found.id
        return found

    async def prepare(self, typed: str = "", *, images: Sequence[Image] = ()) -> None:
        """Get the model that the next turn will likely want ready in the background, while the person reads or types.

        ``typed`` is what they have written so far, to be sent with ``images``. Whoever called this once has it done
        after every turn, and whenever the machine changes: memory that runs short is given back at once. Failing here
        only costs the head start.
        """
        self._parts.watching.start()
        await self._parts.lookahead.prepare(typed, tuple(images))

    async def shutdown(self) -> None:
        """Stop everything Mai started: turns, loads, engines, probes. Safe to call twice."""
        await self._background.cancel()
        await self._parts.close()
        await asyncio.to_thread(self.store.close)

    def _options(self) -> GenerationOptions:
        return GenerationOptions(**self.loaded.settings.generation.model_dump())
