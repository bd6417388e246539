"""One answer: down the ranking until a model finishes it, each going on where the one before stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from mai_core.errors import (
    BackendUnavailable,
    BudgetExceeded,
    ContextExceeded,
    GenerationError,
    MaiError,
    ModelCrashed,
    ModelStalled,
    ModelStruggles,
    OutOfMemory,
    PluginError,
)
from mai_core.plugin.interfaces import Backend
from mai_core.policy.context import TransferPlan
from mai_core.policy.fallback import Attempt, Cause, Chain, Failure
from mai_core.policy.messages import GenerationOptions, Message, StopReason
from mai_core.policy.models import LoadedModel, ModelProfile
from mai_core.policy.selection import Decision
from mai_core.policy.struggle import Struggle, patience
from mai_core.runtime.decider import Decider
from mai_core.runtime.evicting import NoRoom
from mai_core.runtime.listening import Answer, AnswerInProgress, Emit, Listening
from mai_core.runtime.outcomes import sign_of
from mai_core.runtime.pool import Pool
from mai_core.runtime.prompting import Prompter
from mai_core.runtime.spending import Spending
from mai_core.runtime.turn import FellBack, Loading

__all__ = ["Answer", "Answering", "Emit"]


class Answering:
    """Walks down a decision's ranking; what a failure leads to is in ``policy.fallback``."""

    def __init__(
        self,
        *,
        backends: Mapping[str, Backend],
        pool: Pool,
        prompter: Prompter,
        decider: Decider,
        spending: Spending,
        minimum_context: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backends = backends
        self._pool = pool
        self._prompter = prompter
        self._decider = decider
        self._spending = spending
        self._minimum = minimum_context
        self._listening = Listening(backends, clock)

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
        turn = AnswerInProgress(
            answer=answer,
            conversation=conversation,
            messages=messages,
            decision=decision,
            options=options,
            emit=emit,
            chain=Chain.of(decision, models, self._minimum),
        )
        with self._decider.admissions() as admits:
            while (attempt := turn.chain.next) is not None:
                if not admits(attempt.key):
                    turn.chain = turn.chain.without(attempt)
                elif await self._answered(turn, attempt, models[attempt.key]):
                    return
        if turn.whole is None or not answer.text.strip():
            raise _summary(turn.failed)
        answer.stop, answer.model = turn.whole
        if answer.parts:
            answer.model = answer.parts[-1][1]  # another may have gone on for a while before it failed

    async def _answered(self, turn: AnswerInProgress, attempt: Attempt, model: ModelProfile) -> bool:
        """Whether an attempt brought the answer to its end; where not, the chain says what comes next."""
        try:
            await self._attempt(turn, attempt, model)
        except PluginError:
            raise
        except MaiError as error:
            turn.failed.append((attempt.key, error))
            if (sign := sign_of(error)) is not None:
                turn.answer.troubles += ((attempt.key, sign),)
            await self._learn(model, error)
            borrowed = attempt.key in turn.borrowed
            turn.chain = turn.chain.after(attempt, _cause(error), borrowed=borrowed, heirs=turn.heirs)
            turn.heirs = ()
            turn.emit(FellBack(attempt.key, error, following.key if (following := turn.chain.next) else None))
            return False
        if turn.answer.stop is StopReason.REPEATED:
            self._decider.struggled(attempt.key)
        else:
            await self._decider.worked(attempt.key)
        return True

    async def _learn(self, model: ModelProfile, error: MaiError) -> None:
        """A model is well whose window is full or too small, that is on a busy machine, or that cannot be paid."""
        if isinstance(error, BudgetExceeded | NoRoom):
            return
        struggle = error.struggle if isinstance(error, ModelStruggles) else None
        if struggle in (Struggle.LOOPED, Struggle.UNSURE):
            self._decider.struggled(model.key)
        elif struggle in (None, Struggle.EMPTY) and not isinstance(error, ContextExceeded):
            await self._decider.failed(model.key, model.backend, error)

    async def _attempt(self, turn: AnswerInProgress, attempt: Attempt, model: ModelProfile) -> None:
        answer = turn.answer
        answer.stop, answer.tool_calls = None, ()
        if turn.options.json_schema is not None:
            turn.retract(0)  # an engine that keeps to a schema keeps to it from its first token on
        loading = False

        def progress(share: float) -> None:
            nonlocal loading
            loading = True
            turn.emit(Loading(model.key, share))

        try:
            leased = self._pool.acquire(
                model,
                attempt.plan,
                conversation=turn.conversation,
                progress=progress,
                optional=turn.may_do_without(attempt),
            )
            async with leased as instance:
                if loading:
                    turn.emit(Loading(model.key, 1.0))
                if not instance.owned:
                    turn.borrowed.add(model.key)
                prompt = await self._prompt(turn, attempt, instance)
                answer.model, answer.receipt = model.key, prompt.receipt
                async with self._spending.paying(model, prompt.messages, turn.remaining) as tab:
                    await self._listening.listen(turn, attempt, instance, prompt, tab)
        except MaiError:
            raise
        except Exception as error:  # a third party's backend; the next model goes on
            raise GenerationError(f"the backend {model.backend} failed: {type(error).__name__}: {error}") from error
        if answer.stop is None:
            raise GenerationError(f"{model.key} stopped without an end")
        if not answer.text.strip() and not answer.tool_calls:
            turn.retract(0)
            answer.stop = None
            raise ModelStruggles(f"{model.key} answered nothing", Struggle.EMPTY)

    async def _prompt(self, turn: AnswerInProgress, attempt: Attempt, instance: LoadedModel) -> TransferPlan:
        limit = patience(turn.candidate(attempt.key), turn.options, turn.decision.features).first
        try:
            async with asyncio.timeout(limit):
                return await self._prompter.prompt(
                    turn.conversation,
                    turn.messages,
                    instance,
                    self._backends[instance.backend],
                    shown=turn.answer.text,
                    shrink=attempt.shrink,
                )
        except TimeoutError as error:
            raise ModelStalled(f"{attempt.key} did not count the tokens of its prompt within {limit:.0f} s") from error


def _cause(error: MaiError) -> Cause:
    """What the next step depends on."""
    match error:
        case ModelStruggles():
            return error.struggle
        case ModelCrashed():
            return Failure.CRASHED
        case NoRoom():
            return Failure.NO_ROOM
        case OutOfMemory():
            return Failure.OUT_OF_MEMORY
        case ContextExceeded():
            return Failure.TOO_LONG
        case BackendUnavailable():
            return Failure.BACKEND_GONE
    return Failure.OTHER


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
