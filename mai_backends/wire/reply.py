"""From the chunks of a streamed reply to its events."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mai_backends.wire.bodies import well_formed
from mai_backends.wire.calls import CallAssembly
from mai_backends.wire.errors import Refusal, Refused
from mai_core.plugin.interfaces import GenerationEvent
from mai_core.policy.messages import GenerationOptions, ReasoningDelta, ReplyEnd, StopReason, TextDelta, Usage

__all__ = ["ReplyReader"]

_THOUGHTS = ("reasoning_content", "reasoning")
"""Where servers put what a model thinks: llama.cpp, SGLang and DeepSeek the first, vLLM and OpenRouter the second."""


class ReplyReader:
    """Reads the chunks of one reply.

    finished      whether the model has said why it stopped; usage may still follow
    tokens        chunks so far that held something the model wrote, also pieces of tool calls, which are no event yet
    prompt_read   tokens of the prompt the engine has read, where it tells

    ``scrub`` strikes secrets out of errors.
    """

    def __init__(self, options: GenerationOptions, *, scrub: Callable[[str], str] = str) -> None:
        self.finished = False
        self.tokens = 0
        self.prompt_read = 0
        self._options = options
        self._scrub = scrub
        self._finish = ""
        self._usage = Usage()
        self._timed = False
        self._calls = CallAssembly()

    def read(self, chunk: Mapping[str, Any]) -> list[GenerationEvent]:
        """The events in a chunk. Raises ``Refused`` for an error in it."""
        if chunk.get("error"):
            raise Refused(Refusal.of(chunk, scrub=self._scrub))
        self._measure(chunk)
        events: list[GenerationEvent] = []
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and choice.get("index", 0) in (0, None):
                self._choose(choice, events)
        return events

    def end(self, *, prompt_seconds: float, completion_seconds: float) -> list[GenerationEvent]:
        """The last events: whole tool calls and ``ReplyEnd``. The seconds hold where the server gave none itself."""
        calls = self._calls.calls()
        usage = self._usage
        if not self._timed:
            usage = replace(usage, prompt_seconds=prompt_seconds, completion_seconds=completion_seconds)
        return [*calls, ReplyEnd(self._stop(usage, called=bool(calls)), usage)]

    def _choose(self, choice: Mapping[str, Any], events: list[GenerationEvent]) -> None:
        if choice.get("error"):
            raise Refused(Refusal.of(choice, scrub=self._scrub))
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            before = len(events)
            thought = next((text for name in _THOUGHTS if (text := _text(delta.get(name)))), "")
            if thought:
                events.append(ReasoningDelta(thought))
            if text := _text(delta.get("content")):
                events.append(TextDelta(text, _logprob(choice.get("logprobs"))))
            if self._calls.add(delta.get("tool_calls")) or len(events) > before:
                self.tokens += 1
        if isinstance(finish := choice.get("finish_reason"), str) and finish:
            self.finished, self._finish = True, finish

    def _measure(self, chunk: Mapping[str, Any]) -> None:
        if isinstance(progress := chunk.get("prompt_progress"), dict):
            self.prompt_read = max(self.prompt_read, _count(progress.get("processed")))
        if isinstance(timings := chunk.get("timings"), dict):
            self._usage, self._timed = _timed(timings), True
        elif isinstance(usage := chunk.get("usage"), dict) and not self._timed:
            self._usage = _counted(usage)

    def _stop(self, usage: Usage, *, called: bool) -> StopReason:
        """Servers call it ``length``, too, when the window is full before the tokens asked for were written."""
        if called:
            return StopReason.TOOLS
        if self._finish != "length":
            return StopReason.STOP
        written = usage.completion_tokens or self.tokens
        return StopReason.LENGTH if 0 < self._options.max_tokens <= written else StopReason.CONTEXT


def _text(content: object) -> str:
    """A text, or the text of a list of parts."""
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    return well_formed(content) if isinstance(content, str) else ""


def _logprob(told: object) -> float | None:
    """The log-probability of the one token a piece holds; of several, and where it is not told, nothing."""
    tokens = told.get("content") if isinstance(told, dict) else None
    if not isinstance(tokens, list) or len(tokens) != 1 or not isinstance(tokens[0], dict):
        return None
    value = tokens[0].get("logprob")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value <= 0 else None


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return max(0.0, float(value)) if abs(value) < 1e15 and math.isfinite(value) else 0.0


def _count(value: object) -> int:
    return int(_number(value))


def _timed(timings: Mapping[str, Any]) -> Usage:
    """What llama.cpp measures itself."""
    cached = _count(timings.get("cache_n"))
    return Usage(
        prompt_tokens=cached + _count(timings.get("prompt_n")),
        cached_tokens=cached,
        completion_tokens=_count(timings.get("predicted_n")),
        prompt_seconds=_number(timings.get("prompt_ms")) / 1000,
        completion_seconds=_number(timings.get("predicted_ms")) / 1000,
    )


def _counted(usage: Mapping[str, Any]) -> Usage:
    """What the OpenAI protocol counts; DeepSeek's cache has its own field."""
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else usage.get("prompt_cache_hit_tokens")
    return Usage(
        prompt_tokens=_count(usage.get("prompt_tokens")),
        cached_tokens=min(_count(cached), _count(usage.get("prompt_tokens"))),
        completion_tokens=_count(usage.get("completion_tokens")),
    )
