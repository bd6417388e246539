"""One answer: down the ranking until a model finishes it, each going on where the one before stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from mai_core.errors import (
    BackendUnavailable,
    ContextExceeded,
    GenerationError,
    MaiError,
    ModelCrashed,
    OutOfMemory,
    PluginError,
)
from mai_core.plugin.interfaces import Backend
from mai_core.policy.context import Receipt
from mai_core.policy.messages import (
    GenerationOptions,
    Message,
    ReasoningDelta,
    ReplyEnd,
    StopReason,
    TextDelta,
    ToolCall,
    Usage,
)
from mai_core.policy.models import LoadPlan, ModelProfile
from mai_core.policy.repetition import loop_start
from mai_core.policy.selection import Decision
from mai_core.runtime.decider import Decider
from mai_core.runtime.pool import Pool
from mai_core.runtime.prompting import Prompter
from mai_core.runtime.turn import FellBack, Loading, TurnEvent

__all__ = ["Answer", "Answering"]

MOST_MODELS = 5
SHRINK_AFTER_OVERFLOW = 0.8
LOOP_CHECK_CHARACTERS = 64

Emit = Callable[[TurnEvent], None]


@dataclass(slots=True)
class Answer:
    """An answer as it grows; whole when ``stop`` is set.

    ``first_token`` is on the clock of the answering. ``unchecked`` is how many characters came since the text was last
    searched for a loop. A loop ends the answer, and is left out of it but for its first round.
    """

    text: str = ""
    model: str = ""
    stop: StopReason | None = None
    usage: Usage = field(default_factory=Usage)
    receipt: Receipt = field(default_factory=Receipt)
    first_token: float | None = None
    decision: Decision | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    unchecked: int = 0


@dataclass(slots=True)
class _Attempts:
    """What is left to try, and what was learned from what failed.

    The windows of ``borrowed`` models, loaded by others, are not Mai's to make smaller.
    """

    queue: list[str]
    failed: list[tuple[str, MaiError]] = field(default_factory=list)
    plans: dict[str, LoadPlan] = field(default_factory=dict)
    shrink: dict[str, float] = field(default_factory=dict)
    reloaded: set[str] = field(default_factory=set)
    borrowed: set[str] = field(default_factory=set)


class Answering:
    """Walks down a decision's ranking; every class of failure leads to its own next step."""

    def __init__(
        self,
        *,
        backends: Mapping[str, Backend],
        pool: Pool,
        prompter: Prompter,
        decider: Decider,
        minimum_context: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backends = backends
        self._pool = pool
        self._prompter = prompter
        self._decider = decider
        self._minimum = minimum_context
        self._clock = clock

    async def answer(
        self,
        answer: Answer,
        conversation: str,
        messages: Sequence[Message],
        decision: Decision,
        models: Mapping[str, ModelProfile],
        options: GenerationOptions,
        emit: Emit,
    ) -> None:
        """Fill ``answer`` to its end.

        Raises the ``MaiError`` of the models that failed when none is left; what was shown until then is in
        ``answer``.
        """
        attempts = _Attempts(_order(decision))
        while attempts.queue and len({key for key, _ in attempts.failed}) < MOST_MODELS:
            key = attempts.queue.pop(0)
            candidate = decision.candidate(key)
            if candidate is None or key not in models:
                continue
            plan = attempts.plans.get(key, candidate.plan)
            try:
                await self._attempt(attempts, answer, conversation, messages, models[key], plan, options, emit)
            except PluginError:
                raise
            except MaiError as error:
                attempts.failed.append((key, error))
                if not isinstance(error, ContextExceeded):  # the message was too long; the model is well
                    await self._decider.failed(key, candidate.backend, error)
                self._next_step(attempts, models[key], plan, error, models)
                emit(FellBack(key, error, attempts.queue[0] if attempts.queue else None))
            else:
                await self._decider.worked(key)
                return
        raise _summary(attempts.failed)

    def _next_step(
        self,
        attempts: _Attempts,
        model: ModelProfile,
        plan: LoadPlan,
        error: MaiError,
        models: Mapping[str, ModelProfile],
    ) -> None:
        """Queue what this failure calls for; nothing that failed is ever repeated unchanged.

        A crash is reloaded once, being possibly another's doing. Too little memory halves the context, too long a
        prompt is cut further, and a backend that is gone takes all its models with it. The other placements of a model
        come before other models, unless only they leave the machine.
        """
        key = model.key
        if isinstance(error, ModelCrashed) and key not in attempts.reloaded:
            attempts.reloaded.add(key)
            attempts.queue.insert(0, key)
        elif isinstance(error, OutOfMemory) and key not in attempts.borrowed and plan.context // 2 >= self._minimum:
            attempts.plans[key] = replace(plan, context=plan.context // 2)
            attempts.queue.insert(0, key)
        elif isinstance(error, ContextExceeded) and key not in attempts.shrink:
            attempts.shrink[key] = SHRINK_AFTER_OVERFLOW
            attempts.queue.insert(0, key)
        elif isinstance(error, BackendUnavailable):
            attempts.queue = [k for k in attempts.queue if k in models and models[k].backend != model.backend]
        attempts.queue.sort(key=lambda k: k not in models or not _stands_in(models[k], model))

    async def _attempt(
        self,
        attempts: _Attempts,
        answer: Answer,
        conversation: str,
        messages: Sequence[Message],
        model: ModelProfile,
        plan: LoadPlan,
        options: GenerationOptions,
        emit: Emit,
    ) -> None:
        backend = self._backends[model.backend]
        shrink = attempts.shrink.get(model.key, 1.0)
        answer.stop, answer.tool_calls = None, ()
        loading = False

        def progress(share: float) -> None:
            nonlocal loading
            loading = True
            emit(Loading(model.key, share))

        try:
            async with self._pool.acquire(model, plan, conversation=conversation, progress=progress) as instance:
                if loading:
                    emit(Loading(model.key, 1.0))
                if not instance.owned:
                    attempts.borrowed.add(model.key)
                prompt = await self._prompter.prompt(
                    conversation, messages, instance, backend, shown=answer.text, shrink=shrink
                )
                answer.model, answer.receipt = model.key, prompt.receipt
                async with aclosing(backend.generate(instance.instance, prompt.messages, options)) as stream:
                    async for event in stream:
                        if isinstance(event, ReplyEnd):
                            answer.stop, answer.usage = event.stop, event.usage
                            break
                        self._take(answer, event, emit)
                        if answer.stop is not None:
                            break
        except MaiError:
            raise
        except Exception as error:  # a third party's backend; the next model goes on
            raise GenerationError(f"the backend {model.backend} failed: {type(error).__name__}: {error}") from error
        if answer.stop is None:
            raise GenerationError(f"{model.key} stopped without an end")
        if not answer.text.strip() and not answer.tool_calls:
            answer.text, answer.stop = "", None
            raise GenerationError(f"{model.key} answered nothing")

    def _take(self, answer: Answer, event: TextDelta | ReasoningDelta | ToolCall, emit: Emit) -> None:
        if answer.first_token is None:
            answer.first_token = self._clock()
        emit(event)
        if isinstance(event, ToolCall):
            answer.tool_calls += (event,)
        if not isinstance(event, TextDelta):
            return
        answer.text += event.text
        answer.unchecked += len(event.text)
        if answer.unchecked >= LOOP_CHECK_CHARACTERS:
            answer.unchecked = 0
            if (start := loop_start(answer.text)) is not None:
                answer.text, answer.stop = answer.text[:start], StopReason.REPEATED


def _stands_in(other: ModelProfile, model: ModelProfile) -> bool:
    """Whether ``other`` is the same model in another place, and the conversation goes no further than before."""
    return other.model == model.model and (model.remote or not other.remote)


def _order(decision: Decision) -> list[str]:
    """The ranking, then whatever else can run, the best first: better an answer nobody voted for than none."""
    others = sorted(decision.candidates, key=lambda c: (-c.quality, c.key))
    return list(dict.fromkeys([*(r.key for r in decision.ranking), *(c.key for c in others)]))


def _summary(failed: Sequence[tuple[str, MaiError]]) -> MaiError:
    """One error for all that failed: the last one when it stands alone, else all in one line."""
    if not failed:
        return GenerationError("no model of the decision is there any more", remedy="ask again")
    last_by_key = dict(failed)
    if len(last_by_key) == 1:
        return failed[-1][1]
    told = "; ".join(f"{key}: {error.message}" for key, error in last_by_key.items())
    remedy = next((e.remedy for e in last_by_key.values() if e.remedy), "mai logs shows the details")
    return GenerationError(f"every model failed: {told}", remedy=remedy)
