"""What the lines of a streamed chat mean. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mai_backends.ollama.client.fields import NANOSECONDS, mapping, number, text
from mai_core.plugin.interfaces import GenerationEvent
from mai_core.policy.messages import (
    GenerationOptions,
    ReasoningDelta,
    ReplyEnd,
    StopReason,
    TextDelta,
    ToolCall,
    Usage,
)

__all__ = ["ReplyReader"]

_SAME_PIECES = 30


class ReplyReader:
    """Reads one reply, line by line."""

    def __init__(self, options: GenerationOptions) -> None:
        self._options = options
        self._calls = 0
        self._last_piece = ""
        self._same_pieces = 0

    @property
    def cut_for_repeating(self) -> bool:
        """Whether a stream that just ends did so because Ollama gives up after so many equal pieces in a row."""
        return self._same_pieces >= _SAME_PIECES

    def read(self, line: Mapping[str, Any]) -> list[GenerationEvent]:
        """The events of one line; the last line's end with ``ReplyEnd``."""
        message = mapping(line, "message")
        events: list[GenerationEvent] = []
        if thought := text(message, "thinking"):
            events.append(ReasoningDelta(thought))
        if piece := text(message, "content"):
            events.append(TextDelta(piece, _logprob(line)))
            self._count(piece.strip())
        calls = message.get("tool_calls")
        events += [call for one in (calls if isinstance(calls, list) else ()) if (call := self._call(one))]
        if line.get("done") is True:
            usage = _usage(line)
            events.append(ReplyEnd(self._stop(text(line, "done_reason"), usage), usage))
        return events

    def _count(self, piece: str) -> None:
        self._same_pieces = self._same_pieces + 1 if piece == self._last_piece else 0
        self._last_piece = piece

    def _call(self, one: object) -> ToolCall | None:
        function = mapping(one, "function") if isinstance(one, dict) else {}
        name = text(function, "name")
        if not name or not isinstance(one, dict):
            return None
        self._calls += 1
        arguments = json.dumps(mapping(function, "arguments"), ensure_ascii=False)
        return ToolCall(id=text(one, "id") or f"call_{self._calls}", name=name, arguments=arguments)

    def _stop(self, reason: str, usage: Usage) -> StopReason:
        """Ollama calls it ``length``, too, when the window is full before the tokens asked for were written."""
        if reason == "length":
            asked_for = 0 < self._options.max_tokens <= usage.completion_tokens
            return StopReason.LENGTH if asked_for else StopReason.CONTEXT
        return StopReason.TOOLS if self._calls else StopReason.STOP


def _logprob(line: Mapping[str, Any]) -> float | None:
    """The log-probability of the one token of a line; of several, and of a server that tells none, nothing."""
    tokens = line.get("logprobs")
    if not isinstance(tokens, list) or len(tokens) != 1 or not isinstance(tokens[0], dict):
        return None
    value = tokens[0].get("logprob")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value <= 0 else None


def _usage(line: Mapping[str, Any]) -> Usage:
    """Ollama counts the whole prompt, its cached part included, and leaves out a count of 0."""
    return Usage(
        prompt_tokens=number(line, "prompt_eval_count"),
        completion_tokens=number(line, "eval_count"),
        prompt_seconds=number(line, "prompt_eval_duration") / NANOSECONDS,
        completion_seconds=number(line, "eval_duration") / NANOSECONDS,
    )
