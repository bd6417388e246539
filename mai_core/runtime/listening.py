"""One model's part of an answer: what it writes is taken in until it ends, or the model is stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from mai_core.errors import MaiError, ModelStruggles
from mai_core.plugin.interfaces import Backend
from mai_core.policy.context import Receipt, TransferPlan
from mai_core.policy.doubt import FirstWords, successors
from mai_core.policy.fallback import Attempt, Chain
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
from mai_core.policy.models import LoadedModel
from mai_core.policy.outcomes import Sign
from mai_core.policy.repetition import before_loop, loop_start
from mai_core.policy.seam import Seam
from mai_core.policy.selection import Candidate, Decision
from mai_core.policy.struggle import Struggle, StruggleWatch, patience, quicker, surer
from mai_core.runtime.guarding import guarded
from mai_core.runtime.spending import Tab
from mai_core.runtime.turn import Retracted, TurnEvent

__all__ = ["Answer", "AnswerInProgress", "Emit", "Listening"]

Emit = Callable[[TurnEvent], None]


@dataclass(slots=True)
class Answer:
    """An answer as it grows; whole when ``stop`` is set. ``first_token`` is on the clock of the answering.

    ``model`` writes now, or wrote last; ``parts`` says who wrote the text from where on. ``troubles`` are the
    models that went wrong, and how.
    """

    text: str = ""
    model: str = ""
    stop: StopReason | None = None
    usage: Usage = field(default_factory=Usage)
    receipt: Receipt = field(default_factory=Receipt)
    first_token: float | None = None
    decision: Decision | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    parts: tuple[tuple[int, str], ...] = ()
    troubles: tuple[tuple[str, Sign], ...] = ()

    @property
    def earlier(self) -> tuple[str, ...]:
        """The models that wrote what comes before the part of ``model``, in order."""
        authors = tuple(author for _, author in self.parts)
        return authors[:-1] if authors[-1:] == (self.model,) else authors

    def add(self, text: str) -> None:
        """Go on with what ``model`` wrote."""
        if text.strip() and (not self.parts or self.parts[-1][1] != self.model):
            self.parts += ((len(self.text), self.model),)
        self.text += text

    def cut(self, length: int) -> None:
        """Keep so many characters, and those who wrote them."""
        self.text = self.text[:length]
        self.parts = tuple(part for part in self.parts if part[0] < length)


@dataclass(slots=True, kw_only=True)
class AnswerInProgress:
    """What one answer is made from, and what has become of it so far.

    written   tokens of the answer that are there
    borrowed  models that others loaded
    heirs     who would do better than the model that was stopped last, the best first
    whole     how the answer ends, and by which model, if nobody is left to go on with it
    held      what is held back until it is judged; None while nothing is
    """

    answer: Answer
    conversation: str
    messages: Sequence[Message]
    decision: Decision
    options: GenerationOptions
    emit: Emit
    chain: Chain
    written: float = 0.0
    borrowed: set[str] = field(default_factory=set)
    failed: list[tuple[str, MaiError]] = field(default_factory=list)
    heirs: tuple[str, ...] = ()
    whole: tuple[StopReason, str] | None = None
    held: list[tuple[str, TextDelta | None]] | None = None

    @property
    def remaining(self) -> GenerationOptions:
        """The options for what is still to be written."""
        most = self.options.max_tokens
        return replace(self.options, max_tokens=max(1, most - round(self.written))) if most else self.options

    def may_do_without(self, attempt: Attempt) -> bool:
        """Whether a model is not to be loaded where there is no room for it by now.

        So for all but the first: the decision is older than what failed since, and others may have taken the memory.
        """
        return bool(self.failed) and not attempt.regardless

    def candidate(self, key: str) -> Candidate:
        """The candidate of a key in the chain."""
        found = self.decision.candidate(key)
        assert found is not None, "a chain is made of candidates"
        return found

    def show(self, text: str, event: TextDelta | None = None) -> None:
        """Add to the answer; ``event`` is told as it is when it says just that."""
        if self.held is not None:
            self.held.append((text, event))
        elif text:
            self.answer.add(text)
            self.emit(event if event is not None and event.text == text else TextDelta(text))

    def release(self) -> None:
        """Show what was held back."""
        held, self.held = self.held, None
        for text, event in held or ():
            self.show(text, event)

    def retract(self, start: int) -> None:
        """Take back what was shown from there on."""
        if (characters := len(self.answer.text) - start) > 0:
            self.answer.cut(start)
            self.emit(Retracted(characters))


class Listening:
    """Listens to replies, and stops models that struggle where others would do better. ``clock`` never goes back."""

    def __init__(self, backends: Mapping[str, Backend], clock: Callable[[], float]) -> None:
        self._backends = backends
        self._clock = clock
        self._heard: dict[tuple[str, str], float] = {}

    async def listen(
        self,
        turn: AnswerInProgress,
        attempt: Attempt,
        instance: LoadedModel,
        prompt: TransferPlan,
        tab: Tab,
    ) -> None:
        """Take in the reply until it ends, or the model is stopped; what it took goes on the ``tab``."""
        answer, candidate, place = turn.answer, turn.candidate(attempt.key), (instance.backend, instance.instance)
        watch = StruggleWatch(expected_tps=candidate.tokens_per_second, before=answer.text)
        seam = Seam(answer.text)
        words = self._first_words(turn, attempt)
        events = guarded(
            self._backends[instance.backend].generate(instance.instance, prompt.messages, tab.options),
            patience(candidate, tab.options, turn.decision.features),
            attempt.key,
            clock=self._clock,
            busy_until=lambda: self._heard.get(place, float("-inf")),
        )
        try:
            async with aclosing(events):
                async for event, at in events:
                    self._heard[place] = at
                    if isinstance(event, ReplyEnd):
                        answer.usage = tab.usage = event.usage
                        turn.show(seam.close())
                        self._judge(turn, attempt, words)
                        answer.stop = self._end(turn, attempt, event.stop)
                        return
                    if answer.first_token is None:
                        answer.first_token = at
                    struggle = self._take(turn, event, at, watch, seam)
                    if turn.held is not None and words is not None:
                        logprob = event.logprob if isinstance(event, TextDelta) else None
                        if isinstance(event, ToolCall) or struggle is not None:
                            turn.release()
                        elif isinstance(event, TextDelta) and words.feed(logprob):
                            self._judge(turn, attempt, words)
                    if struggle is not None and self._is_over(turn, attempt, struggle, watch):
                        return
        finally:
            turn.show(seam.close())
            turn.release()
            turn.written += watch.tokens
            self._heard[place] = self._clock()

    @staticmethod
    def _first_words(turn: AnswerInProgress, attempt: Attempt) -> FirstWords | None:
        """Begin to hold back a reply that a second opinion was asked for, where somebody could give one."""
        below, decision = turn.decision.doubt_below, turn.decision
        if below is None or attempt.key != decision.choice or attempt.to_the_end or turn.answer.text:
            return None
        others = (turn.candidate(heir) for heir in turn.chain.heirs(attempt, Struggle.DOUBTED))
        if not successors(others, turn.candidate(attempt.key)):
            return None
        turn.held = []
        return FirstWords(below)

    @staticmethod
    def _judge(turn: AnswerInProgress, attempt: Attempt, words: FirstWords | None) -> None:
        """Show what was held back, or leave the answer to another: that raises ``ModelStruggles``."""
        if turn.held is None or words is None:
            return
        if not words.doubted:
            turn.release()
            return
        turn.held, turn.answer.first_token = None, None
        others = (turn.candidate(heir) for heir in turn.chain.heirs(attempt, Struggle.DOUBTED))
        turn.heirs = successors(others, turn.candidate(attempt.key))
        raise ModelStruggles(f"{attempt.key} was not sure", Struggle.DOUBTED)

    @staticmethod
    def _take(
        turn: AnswerInProgress,
        event: TextDelta | ReasoningDelta | ToolCall,
        at: float,
        watch: StruggleWatch,
        seam: Seam,
    ) -> Struggle | None:
        if isinstance(event, TextDelta):
            text = seam.feed(event.text)
            turn.show(text, event)
            return watch.feed(text, at, event.logprob)
        if isinstance(event, ToolCall):
            turn.show(seam.close())
            turn.answer.tool_calls += (event,)
        turn.emit(event)
        return watch.think(event.text, at) if isinstance(event, ReasoningDelta) else None

    def _is_over(self, turn: AnswerInProgress, attempt: Attempt, struggle: Struggle, watch: StruggleWatch) -> bool:
        """Whether the answer ends here because the model struggles. Raises ``ModelStruggles`` when another goes on."""
        mine, key = turn.candidate(attempt.key), attempt.key
        others = [turn.candidate(heir) for heir in turn.chain.heirs(attempt, struggle)]
        if struggle is Struggle.LOOPED:
            if watch.loop_start is None:
                raise ModelStruggles(f"{key} thinks in circles", struggle)
            return self._looped(turn, attempt, watch.loop_start)
        if attempt.to_the_end:
            return False
        if struggle is Struggle.UNSURE:
            turn.heirs, told = surer(others, mine), f"{key} is guessing"
        else:
            rate, reply = watch.tokens_per_second, turn.decision.features.reply_tokens
            written = turn.written + watch.tokens
            turn.heirs = quicker(others, mine, tokens_per_second=rate, written=written, reply_tokens=reply)
            told = f"{key} has slowed down to {rate:.1f} tokens a second"
        if turn.heirs:
            raise ModelStruggles(told, struggle)
        return False

    def _looped(self, turn: AnswerInProgress, attempt: Attempt, start: int) -> bool:
        """Keep a loop's first round, or nothing of it when another model goes on: that raises ``ModelStruggles``."""
        heirs = turn.chain.heirs(attempt, Struggle.LOOPED)
        # What was said before it is left in any case: it is the answer if nobody else gives one.
        turn.retract((before_loop(turn.answer.text, start) if heirs else 0) or start)
        if heirs:
            turn.whole = StopReason.REPEATED, attempt.key
            raise ModelStruggles(f"{attempt.key} went round in circles", Struggle.LOOPED)
        turn.answer.stop = StopReason.REPEATED
        return True

    def _end(self, turn: AnswerInProgress, attempt: Attempt, stop: StopReason) -> StopReason:
        """How the answer ends. Raises ``ModelStruggles`` when it ended too early and goes on."""
        text = turn.answer.text
        if stop is StopReason.REPEATED and text.strip():
            self._looped(turn, attempt, loop_start(text) or len(text))
        if stop is StopReason.CONTEXT and text.strip():
            turn.whole = stop, attempt.key
            if turn.chain.after(attempt, Struggle.WINDOW_FULL).next is not None:
                raise ModelStruggles(f"the window of {attempt.key} is full", Struggle.WINDOW_FULL)
        return stop
