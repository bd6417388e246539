"""AsyncMai: a conversation with whichever local model serves best."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
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
from mai_core.policy.outcomes import Sign
from mai_core.policy.triggers import WatchRules
from mai_core.runtime.answering import Answering, Emit
from mai_core.runtime.anticipating import Anticipating
from mai_core.runtime.assembly import assemble, limits_of, rules_of
from mai_core.runtime.calibrating import Calibrating, Calibration
from mai_core.runtime.catalog import Catalog
from mai_core.runtime.decider import Decider
from mai_core.runtime.judging import Judging
from mai_core.runtime.learning import Learning
from mai_core.runtime.manager import ModelManager
from mai_core.runtime.metering import Metering
from mai_core.runtime.monitor import Monitor
from mai_core.runtime.observing import Observing
from mai_core.runtime.outcomes import Outcomes
from mai_core.runtime.pool import Pool
from mai_core.runtime.presence import Presence, ProcessState, others
from mai_core.runtime.prompting import Prompter
from mai_core.runtime.recording import Recorder
from mai_core.runtime.spending import Spending
from mai_core.runtime.status import ModelRow, Status
from mai_core.runtime.store import Store
from mai_core.runtime.turn import Explanation, Reply, TurnEnd, TurnEvent
from mai_core.runtime.turns import Turns, refuse_nonsense
from mai_core.runtime.watching import Watching

if TYPE_CHECKING:
    from mai_core.settings.layers import LoadedSettings

__all__ = ["AsyncMai"]

log = logging.getLogger("mai")

Work = Callable[[Emit], Awaitable[Reply]]


def cut_off() -> MaiError:
    """What whoever listens to an answer is told when Mai ends before it."""
    return MaiError("Mai was shut down in the middle of the answer", remedy="what was said is kept")


class AsyncMai:
    """The assistant. Use it as an async context manager, or call ``open`` and ``shutdown``.

    Opening is cheap: no model is loaded before it is needed. One conversation is in use at a time, unless a call
    names another; turns of one conversation follow each other, turns of several may run at once.
    """

    def __init__(self, loaded: LoadedSettings, paths: Paths, registry: PluginRegistry, store: Store) -> None:
        from mai_core.settings import load_catalogue

        settings = loaded.settings
        known = load_catalogue(paths)
        parts = assemble(settings, registry, paths, known)
        limits = limits_of(settings)
        self.loaded = loaded
        self.paths = paths
        self.registry = registry
        self.store = store
        self.conversation: str | None = None
        self._backends = parts.backends
        self._strategies = parts.strategies
        self._monitor = Monitor(parts.probes, settings.monitor, limits)
        self._catalog = Catalog(parts.backends, known)
        recorder = Recorder(store, self._catalog, registry)
        observing = Observing(store, parts.backends, self._monitor.latest)
        self._pool = Pool(
            parts.backends,
            snapshot=lambda: asyncio.to_thread(self._monitor.refresh),
            limits=limits,
            predict=observing.predict,
            own=self._catalog.own,
            known_as=self._catalog.known_as,
            on_load=recorder.loaded,
            idle_seconds=settings.memory.idle_seconds,
        )
        prompter = Prompter(parts.transfer, settings.context, store, sees=self._catalog.sees)
        rules = rules_of(settings)
        metering = Metering(store)
        spending = Spending(store, per_day=settings.cost.budget_day, per_month=settings.cost.budget_month)
        learning = Learning(store, arbiter=settings.selection.arbiter, seconds_value=rules.seconds_value)
        self._outcomes = Outcomes(
            store,
            learning,
            enabled=settings.learning.outcomes,
            half_life=settings.learning.half_life_days * 86_400.0,
            now=time.time,
        )
        decider = Decider(
            catalog=self._catalog,
            pool=self._pool,
            monitor=self._monitor,
            strategies=parts.strategies,
            store=store,
            observing=observing,
            learning=learning,
            spending=spending,
            metering=metering,
            outcomes=self._outcomes,
            limits=limits,
            rules=rules,
            arbiter=settings.selection.arbiter,
            now=time.time,
        )
        self.manager = ModelManager(
            backends=parts.backends,
            catalog=self._catalog,
            pool=self._pool,
            monitor=self._monitor,
            decider=decider,
            answering=Answering(
                backends=parts.backends,
                pool=self._pool,
                prompter=prompter,
                decider=decider,
                spending=spending,
                minimum_context=settings.context.minimum,
            ),
            anticipating=Anticipating(
                backends=parts.backends,
                pool=self._pool,
                prompter=prompter,
                store=store,
                rules=rules,
                options=GenerationOptions(**settings.generation.model_dump()),
                on_battery=settings.preload.on_battery,
                on_change=self._note_soon,
            ),
            store=store,
            spending=spending,
            limits=limits,
            fetch_starter=settings.starter.fetch == "auto",
            unavailable=parts.unavailable,
        )
        self._calibrating = Calibrating(
            backends=parts.backends,
            catalog=self._catalog,
            pool=self._pool,
            decider=decider,
            observing=observing,
            store=store,
        )
        self._watching = Watching(
            latest=self._monitor.latest,
            interval=settings.monitor.interval_seconds,
            rules=WatchRules(limits=limits, pressure_full=settings.monitor.pressure_full),
            relieve=lambda host: self._pool.relieve(host, spare=self.manager.current),
            give_way=self.manager.give_way,
            prepare=self.prepare,
        )
        self._presence: Presence | None = None
        self._turns = Turns(
            manager=self.manager,
            catalog=self._catalog,
            pool=self._pool,
            store=store,
            recorder=recorder,
            observing=observing,
            learning=learning,
            metering=metering,
            monitor=self._monitor,
            outcomes=self._outcomes,
            judging=Judging(),
            instructions=settings.context.system_prompt,
            note=self._note,
        )
        self._beginning = asyncio.Lock()
        self._lasting = False
        self._running: set[asyncio.Task[Reply]] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._ahead: asyncio.Task[None] | None = None

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
        mai._monitor.start()
        mai._pool.start()
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
            return await self._turns.run(message, options, name, emit)

        async with aclosing(self._streamed(turn)) as events:
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
            return await self._turns.again(options, name, emit, text=text)

        async with aclosing(self._streamed(turn)) as events:
            async for event in events:
                yield event

    async def _streamed(self, work: Work) -> AsyncGenerator[TurnEvent, None]:
        # Everything of a turn runs in one task. The queue needs no bound: a reply is no longer than its window.
        events: asyncio.Queue[TurnEvent | None] = asyncio.Queue()
        turn = asyncio.create_task(self._turn(work, events.put_nowait))
        self._running.add(turn)
        turn.add_done_callback(self._running.discard)
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
        reply = next((m for m in reversed(history.messages) if m.role is Role.ASSISTANT and m.model), None)
        if reply is None:
            raise MaiError("there is no reply to rate", remedy="ask something first")
        if not self.loaded.settings.learning.outcomes:
            raise MaiError("nothing is learnt from outcomes", remedy="mai config set learning.outcomes true")
        if not await asyncio.to_thread(self._outcomes.told, history.id, reply, Sign.RATED, float(good)):
            raise MaiError("it is not known any more how that reply came about", remedy="rate a newer one")
        return reply.model

    async def learnt(self) -> tuple[Lesson, ...]:
        """What this person's own outcomes taught of models."""
        return await asyncio.to_thread(self._outcomes.lessons)

    async def get_status(self) -> Status:
        """The state of everything, the other Mai processes of this person included."""
        status = await self.manager.get_current_model_status()
        notes = await asyncio.to_thread(lambda: tuple(others(self._notes)))
        return replace(status, processes=notes)

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
            decision = await self.manager.select_best_model(self._turns.features(asked, before), explain=True)
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
        await self._note()
        async with aclosing(
            self._calibrating.run(keys, seconds=seconds, keep_all=keep_all, progress=progress)
        ) as found:
            async for one in found:
                await self._note()
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
        self._lasting = True
        self._watching.start()
        if not self.loaded.settings.preload.enabled or self._turns.running:
            return
        if self._ahead is not None and not self._ahead.done():
            if not typed and not images:
                return
            self._ahead.cancel()  # that looked ahead from less than is known now
        self._ahead = self._in_background(self._anticipate(typed, tuple(images)))

    async def _anticipate(self, typed: str, images: tuple[Image, ...]) -> None:
        messages = (await self.get_conversation_history()).messages
        text = typed.strip() or next((m.content for m in reversed(messages) if m.role is Role.USER), "")
        asked = Message(role=Role.USER, content=text, images=images)
        try:
            features = self._turns.features(asked, messages)
            await self.manager.anticipate(features, self.conversation or "", messages)
        except MaiError as error:
            log.info("nothing was prepared", extra={"reason": str(error)})

    def _in_background(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def shutdown(self) -> None:
        """Stop everything Mai started: turns, loads, engines, probes. Safe to call twice."""
        tasks = (*self._running, *self._background)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._watching.close()
        await self.manager.close()
        await self._catalog.close()
        await self._pool.close()
        closed = await asyncio.gather(*(b.close() for b in self._backends.values()), return_exceptions=True)
        for name, outcome in zip(self._backends, closed, strict=True):
            if isinstance(outcome, Exception):
                log.error("backend did not close", extra={"backend": name}, exc_info=outcome)
        self._monitor.close()
        self._strategies.close()
        if self._presence is not None:
            self._presence.close()
        await asyncio.to_thread(self.store.close)

    async def _turn(self, work: Work, emit: Emit) -> Reply:
        reply = await work(emit)
        if self._lasting:
            self._in_background(self.prepare())
        return reply

    def _options(self) -> GenerationOptions:
        return GenerationOptions(**self.loaded.settings.generation.model_dump())

    @property
    def _notes(self) -> Path:
        return self.paths.state / "processes"

    def _note_soon(self) -> None:
        self._in_background(self._note())

    async def _note(self, conversation: str | None = None) -> None:
        """Tell other terminals what this process is doing."""
        if self._presence is None:
            self._presence = Presence(self._notes, command=" ".join(sys.argv[:2]))
        loaded = await self._pool.loaded()
        state: ProcessState = "answering" if self._turns.running else "loading" if self.manager.preparing else "idle"
        self._presence.update(
            state=state,
            model=self.manager.current,
            conversation=conversation or self.conversation,
            loaded=loaded,
        )
