"""Carries out turns: keeps the message, has it answered, keeps the answer and what was learnt of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from mai_core.errors import MaiError, NothingFits
from mai_core.policy.feasibility import Situation
from mai_core.policy.features import TaskFeatures, turn_features
from mai_core.policy.messages import GenerationOptions, Message, Role, StopReason
from mai_core.policy.models import Capability
from mai_core.policy.outcomes import Sign
from mai_core.runtime.answering import Answer, Emit
from mai_core.runtime.catalog import Catalog
from mai_core.runtime.judging import Judging
from mai_core.runtime.learning import Learning
from mai_core.runtime.manager import ModelManager
from mai_core.runtime.metering import Metering
from mai_core.runtime.monitor import Monitor
from mai_core.runtime.observing import Observing
from mai_core.runtime.outcomes import Outcomes
from mai_core.runtime.pool import Pool
from mai_core.runtime.recording import Recorder
from mai_core.runtime.sight import nobody_sees
from mai_core.runtime.store import Store
from mai_core.runtime.turn import Reply

__all__ = ["Turns", "refuse_nonsense"]

ASKING = (Role.USER, Role.TOOL)
SECONDS_METERED = 5.0
"""What lasted so long, a reply or quiet, filled the last look at the machine's power."""

ANEW = "(An earlier answer to this was not what was wanted. Answer it anew, in another way.)"
"""What a model that replaces a reply is told below the question; it is not kept."""


@dataclass(frozen=True, slots=True)
class _Asking:
    """What is to be answered after what came ``before``, since when, and the reply that the answer ``replaces``."""

    asked: Message
    before: tuple[Message, ...]
    started: float
    replaces: Message | None = None

    @property
    def shown(self) -> Message:
        """The message as models get to see it."""
        return replace(self.asked, content=f"{self.asked.content}\n\n{ANEW}") if self.replaces else self.asked


class Turns:
    """Turns of one conversation follow each other, those of several may run at once.

    ``instructions`` is the system prompt; ``note`` tells other processes that a turn of a conversation begins or ends.
    """

    def __init__(
        self,
        *,
        manager: ModelManager,
        catalog: Catalog,
        pool: Pool,
        store: Store,
        recorder: Recorder,
        observing: Observing,
        learning: Learning,
        metering: Metering,
        monitor: Monitor,
        outcomes: Outcomes,
        judging: Judging,
        instructions: str,
        note: Callable[[str], Awaitable[None]],
    ) -> None:
        self._manager = manager
        self._catalog = catalog
        self._pool = pool
        self._store = store
        self._recorder = recorder
        self._observing = observing
        self._learning = learning
        self._metering = metering
        self._monitor = monitor
        self._outcomes = outcomes
        self._judging = judging
        self._instructions = instructions
        self._note = note
        self._of: dict[str, asyncio.Lock] = {}
        self.running = 0
        self._quiet_since = float("-inf")

    async def run(self, message: Message, options: GenerationOptions, conversation: str, emit: Emit) -> Reply:
        """Answer ``message``, which is on disk before anything else happens.

        Raises the ``MaiError`` that says why there is no answer; what was written until then is kept.
        """
        started = time.monotonic()
        asked = await asyncio.to_thread(self._store.append, conversation, message)
        async with self._turn_in(conversation):
            stored = (await asyncio.to_thread(self._store.conversation, conversation)).messages
            # Messages that came in meanwhile have their own turn after this one.
            before = tuple(m for m in stored if m.id < asked.id or m.role not in ASKING)
            return await self._carried_out(_Asking(asked, before, started), options, conversation, emit)

    async def again(
        self, options: GenerationOptions, conversation: str, emit: Emit, *, text: str | None = None
    ) -> Reply:
        """Answer what was asked last once more, or ``text`` in its place.

        The reply there was speaks against the model that wrote it. It stays until another is whole; with ``text`` it
        goes with the message it answered, at once. Raises ``MaiError`` as ``run`` does, and where nothing was asked.
        """
        started = time.monotonic()
        async with self._turn_in(conversation):
            stored = (await asyncio.to_thread(self._store.conversation, conversation)).messages
            asked, reply = asked_last(stored, ASKING if text is None else (Role.USER,))
            before = tuple(m for m in stored if m.id < asked.id)
            if reply is not None:
                sign = Sign.RETRIED if text is None else Sign.EDITED
                await asyncio.to_thread(self._outcomes.told, conversation, reply, sign, sign.verdict)
            if text is not None:
                asked = replace(asked, content=text)
                asked = await asyncio.to_thread(self._store.supersede, conversation, asked.id, asked)
                reply = None
            asking = _Asking(asked, before, started, replaces=reply)
            return await self._carried_out(asking, options, conversation, emit)

    def _turn_in(self, conversation: str) -> asyncio.Lock:
        return self._of.setdefault(conversation, asyncio.Lock())

    async def _carried_out(self, asking: _Asking, options: GenerationOptions, conversation: str, emit: Emit) -> Reply:
        previous, answer = self._manager.current, Answer()
        await self._meter(busy=False)
        self.running += 1
        try:
            await self._note(conversation)
            situation = await self._answer(answer, asking, options, conversation, emit)
        finally:
            self.running -= 1
            self._quiet_since = time.monotonic()
            await asyncio.shield(self._note(conversation))
        seconds = time.monotonic() - asking.started
        if answer.usage.completion_seconds >= SECONDS_METERED:
            await self._meter(busy=True)
        first = (answer.first_token or time.monotonic()) - asking.started
        written = await asyncio.to_thread(self._recorder.keep_text, conversation, answer, asking.replaces)
        answer.decision = await self._manager.explained(situation)
        await asyncio.to_thread(self._recorder.keep_decision, conversation, asking.asked, answer)
        reply = Reply(
            message=written,
            conversation=conversation,
            usage=answer.usage,
            decision=answer.decision,
            receipt=answer.receipt,
            first_token_seconds=first,
            seconds=seconds,
        )
        await asyncio.to_thread(self._recorder.measured, reply)
        await asyncio.to_thread(self._learning.answered, reply)
        await asyncio.to_thread(self._outcomes.answered, reply, answer.troubles)
        await self._observe(written.model)
        self._recorder.tell(previous, reply)
        return reply

    def features(
        self, asked: Message, before: Sequence[Message], options: GenerationOptions | None = None
    ) -> TaskFeatures:
        """What ``asked`` asks for as the next message after ``before``."""
        current = self._manager.current
        return turn_features(
            asked,
            before,
            instructions=self._instructions,
            current=current,
            sees=self._catalog.sees(current),
            tools=bool(options and options.tools),
            json_schema=bool(options and options.json_schema is not None),
            model=self._judging.model,
        )

    async def _answer(
        self,
        answer: Answer,
        asking: _Asking,
        options: GenerationOptions,
        conversation: str,
        emit: Emit,
    ) -> Situation:
        """Have a message answered; the situation it was decided in.

        Whatever ends that early, what there is of the answer is kept.
        """
        asked, messages = asking.asked, (*asking.before, asking.shown)
        features = self.features(asked, asking.before, options)
        try:
            return await self._manager.generate_response(answer, conversation, messages, features, options, emit)
        except BaseException as error:
            if answer.stop is None:
                cancelled = isinstance(error, asyncio.CancelledError)
                answer.stop = StopReason.CANCELLED if cancelled else StopReason.FAILED
            await asyncio.shield(asyncio.to_thread(self._recorder.keep, conversation, asked, answer, asking.replaces))
            if isinstance(error, MaiError):
                await asyncio.to_thread(self._outcomes.went_wrong, answer.decision, answer.troubles)
                await asyncio.to_thread(self._learning.failed, answer.decision)
            if isinstance(error, NothingFits) and Capability.VISION in features.capabilities:
                raise nobody_sees(error, answer.decision, self._catalog.models) from error
            raise

    async def _meter(self, *, busy: bool) -> None:
        """Look at the power this machine draws: while nothing is asked of it, or at the end of a reply's work."""
        quiet = not (self.running or self._manager.preparing) and (
            time.monotonic() - self._quiet_since >= SECONDS_METERED
        )
        if busy or quiet:
            await asyncio.to_thread(lambda: self._metering.look(self._monitor.latest(), busy=busy))

    async def _observe(self, key: str) -> None:
        """Learn from what the model that answered takes by now."""
        model = next((m for m in self._catalog.models if m.key == key), None)
        if model is not None:
            for loaded, filled in await self._pool.filled(model):
                await self._observing.observe(model, loaded, filled)


def asked_last(messages: Sequence[Message], roles: Sequence[Role]) -> tuple[Message, Message | None]:
    """The last message of one of ``roles``, and the last reply after it. Raises ``MaiError`` where there is none."""
    asked = next((m for m in reversed(messages) if m.role in roles), None)
    if asked is None:
        raise MaiError("nothing was asked yet", remedy="say something")
    replies = [m for m in messages if m.id > asked.id and m.role is Role.ASSISTANT]
    return asked, replies[-1] if replies else None


def refuse_nonsense(message: Message) -> None:
    """Raises ``MaiError`` for a message nobody could answer."""
    if message.role not in ASKING:
        raise MaiError(f"a message of the role {message.role} cannot be answered", remedy="ask as user or tool")
    if message.images and message.role is not Role.USER:
        raise MaiError("only a message of the person can show images", remedy="send them as user")
    if not message.content.strip() and not message.images and message.role is Role.USER:
        raise MaiError("there is nothing to answer", remedy="say something")
