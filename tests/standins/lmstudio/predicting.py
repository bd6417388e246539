"""``predict``: prompt progress, fragments, tool calls, and the success that ends a stream."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.standins.faults import Fault
from tests.standins.lmstudio import problems
from tests.standins.lmstudio.conversing import answer, messages_of, prompt_of
from tests.standins.lmstudio.loading import Channel, config_of
from tests.standins.lmstudio.machine import Machine
from tests.standins.lmstudio.models import Instance, ToolUse
from tests.standins.lmstudio.quirks import Quirk
from tests.standins.lmstudio.text import pieces

__all__ = ["Severed", "predict"]

PREFILL_STEPS = 4
IMAGE_TOKENS = 256


class Severed(Exception):
    """The connection goes away in the middle of this; ``how`` is the fault or the quirk that says in which way."""

    def __init__(self, how: Fault | Quirk) -> None:
        super().__init__(how)
        self.how = how


@dataclass
class _Run:
    """One prediction at work."""

    machine: Machine
    channel: Channel
    instance: Instance
    config: dict[str, Any]
    prompt_tokens: int
    started: float = field(default_factory=time.monotonic)
    first_token: float | None = None
    predicted: int = 0
    stop: str = "eosFound"
    stop_string: str | None = None

    def limit(self) -> int | None:
        """Most tokens to predict."""
        setting = self.config.get("llm.prediction.maxPredictedTokens") or {}
        return int(setting["value"]) if setting.get("checked") else None

    def gone(self) -> bool:
        return self.machine.instances.get(self.instance.identifier) is not self.instance


async def predict(machine: Machine, channel: Channel, parameter: dict[str, Any]) -> None:
    """Answers until it is done, cancelled, or the fault of the hour strikes."""
    instance = machine.instance(parameter["modelSpecifier"], channel.domain)
    config = config_of(parameter["predictionConfigStack"])
    messages = messages_of(parameter["history"])
    afresh = Quirk.ANSWERS_AFRESH in machine.quirks
    shown = [machine.shown(identifier) for message in messages for identifier in message.get("files", ())]
    if shown and not instance.model.vision:
        raise problems.blind()
    prompt_tokens = IMAGE_TOKENS * len(shown) + len(pieces(prompt_of(messages, open_end=not afresh)))
    overflow = config.get("llm.prediction.contextOverflowPolicy", "truncateMiddle")
    if prompt_tokens > instance.context:
        if overflow == "stopAtLimit":
            raise problems.context_too_small(prompt_tokens, instance.context)
        prompt_tokens = instance.context
    said = answer(instance.model, messages, config.get("llm.prediction.structured") or {}, afresh=afresh)
    run = _Run(machine, channel, instance, config, prompt_tokens)
    machine.generating += 1
    instance.predictions += 1
    try:
        await _prefill(run)
        if isinstance(said, ToolUse):
            await _text(run, said.before)
            if run.stop == "eosFound":
                await _tool(run, said)
        else:
            await _text(run, said)
    finally:
        machine.generating -= 1
        instance.predictions -= 1
        instance.touch()
    if channel.cancelled.is_set():
        await machine.held(Fault.HANGS_AT_FIRST_TOKEN, Fault.HANGS_MID_STREAM)
    await channel.send(_success(run))


async def _prefill(run: _Run) -> None:
    """Works through the prompt, telling of it; a cancel ends it between two steps."""
    for step in range(PREFILL_STEPS + 1):
        done = run.prompt_tokens * step // PREFILL_STEPS
        await run.channel.send(
            {
                "type": "promptProcessingProgress",
                "progress": step / PREFILL_STEPS,
                "details": {
                    "cachedTokenCount": 0,
                    "totalPromptTokenCount": run.prompt_tokens,
                    "processedPromptTokenCount": done,
                    "unprocessedPromptTokenCount": run.prompt_tokens - done,
                },
            }
        )
        await _while_working(run, run.instance.model.prefill_seconds / PREFILL_STEPS)
        while run.machine.fault is Fault.HANGS_AT_FIRST_TOKEN and not run.channel.cancelled.is_set():
            await asyncio.sleep(0.01)
        if run.channel.cancelled.is_set():
            run.stop = "userStopped"
            return


async def _while_working(run: _Run, seconds: float) -> None:
    if seconds <= 0:
        await asyncio.sleep(0)
        return
    try:
        await asyncio.wait_for(run.channel.cancelled.wait(), seconds)
    except TimeoutError:
        return


async def _text(run: _Run, text: str) -> None:
    """One fragment for each token, with reasoning between its tags marked as such."""
    if run.stop != "eosFound":
        return
    text, run_out = _cut_at_stop_string(run, text)
    limit = run.limit()
    marked = list(_marked(text))
    strikes_at = min(run.machine.after_pieces, len(marked) - 1)
    for number, (piece, reasoning) in enumerate(marked):
        if limit is not None and run.predicted >= limit:
            run.stop = "maxPredictedTokensReached"
            return
        if run.prompt_tokens + run.predicted >= run.instance.context and (
            run.config.get("llm.prediction.contextOverflowPolicy") == "stopAtLimit"
        ):
            run.stop = "contextLengthReached"
            return
        if number == strikes_at:
            await _strike(run)
        if run.channel.cancelled.is_set():
            run.stop = "userStopped"
            return
        if run.gone():
            run.stop = "modelUnloaded"
            return
        if run.stop != "eosFound":
            return
        await _fragment(run, piece, reasoning)
        await _while_working(run, run.instance.model.token_seconds)
    if run_out is not None:
        run.stop, run.stop_string = "stopStringFound", run_out


def _cut_at_stop_string(run: _Run, text: str) -> tuple[str, str | None]:
    found = [(text.find(stop), stop) for stop in run.config.get("llm.prediction.stopStrings") or [] if stop in text]
    if not found:
        return text, None
    at, stop = min(found)
    return text[:at], stop


def _marked(text: str) -> Iterator[tuple[str, str]]:
    """Pieces of the text, each with its ``reasoningType``."""
    before, start, rest = text.partition("<think>")
    if not start:
        yield from ((piece, "none") for piece in pieces(text))
        return
    inside, end, after = rest.partition("</think>")
    yield from ((piece, "none") for piece in pieces(before))
    yield start, "reasoningStartTag"
    yield from ((piece, "reasoning") for piece in pieces(inside))
    if end:
        yield end, "reasoningEndTag"
    yield from ((piece, "none") for piece in pieces(after))


async def _fragment(run: _Run, content: str, reasoning: str = "none", *, structural: bool = False) -> None:
    if run.first_token is None:
        run.first_token = time.monotonic()
    run.predicted += 1
    fragment: dict[str, Any] = {
        "content": content,
        "tokensCount": 1,
        "containsDrafted": False,
        "reasoningType": reasoning,
    }
    if Quirk.LACKS_IS_STRUCTURAL not in run.machine.quirks:
        fragment["isStructural"] = structural
    await run.channel.send({"type": "fragment", "fragment": fragment})


async def _strike(run: _Run) -> None:
    """What goes wrong in mid-stream."""
    machine = run.machine
    while machine.fault is Fault.HANGS_MID_STREAM and not run.channel.cancelled.is_set():
        await asyncio.sleep(0.01)
    if Quirk.NEWER_PACKET in machine.quirks:
        await run.channel.send({"type": "quantumProgress", "amount": 0.5})
    if Quirk.CLOSES_THE_SOCKET in machine.quirks:
        raise Severed(Quirk.CLOSES_THE_SOCKET)
    if Quirk.CLOSES_WITHOUT_SUCCESS in machine.quirks:
        raise Severed(Quirk.CLOSES_WITHOUT_SUCCESS)
    if Quirk.CRASHES_MID_STREAM in machine.quirks:
        machine.instances.pop(run.instance.identifier, None)
        raise problems.engine_crashed()
    if Quirk.STOPS_AS_FAILED in machine.quirks:
        run.stop = "failed"
    for fault in (Fault.DROPS_THE_SOCKET, Fault.RESTARTS_MID_STREAM):
        if machine.strikes(fault):
            raise Severed(fault)
    if machine.spoils == "predict":
        for fault in (Fault.INVALID_UTF8, Fault.HUGE_LINE):
            if machine.strikes(fault):
                await run.channel.spoil(fault)
    if machine.strikes(Fault.OUT_OF_MEMORY_GENERATING):
        machine.instances.pop(run.instance.identifier, None)
        raise problems.out_of_memory_generating()
    if machine.strikes(Fault.UNLOADS_MID_STREAM):
        machine.instances.pop(run.instance.identifier, None)


async def _tool(run: _Run, use: ToolUse) -> None:
    """A call as it is generated: its start, its name, its arguments bit by bit, and the whole."""
    written = json.dumps(dict(use.arguments)) if use.arguments is not None else '{"broken": '
    raw = f'<tool_call>{{"name": "{use.name}", "arguments": {written}}}</tool_call>'
    start: dict[str, Any] = {"type": "toolCallGenerationStart"}
    if use.id is not None:
        start["toolCallId"] = use.id
    await run.channel.send(start)
    await run.channel.send({"type": "toolCallGenerationNameReceived", "name": use.name})
    for piece in pieces(written):
        if run.channel.cancelled.is_set():
            run.stop = "userStopped"
            return
        run.predicted += 1
        await run.channel.send({"type": "toolCallGenerationArgumentFragmentGenerated", "content": piece})
        await _while_working(run, run.instance.model.token_seconds)
    if use.arguments is None:
        error = problems.Problem("Failed to parse tool call: Unexpected end of JSON input").packet
        await run.channel.send({"type": "toolCallGenerationFailed", "error": error, "rawContent": raw})
    else:
        request = {"type": "function", "name": use.name, "arguments": dict(use.arguments)}
        if use.id is not None:
            request["id"] = use.id
        await run.channel.send({"type": "toolCallGenerationEnd", "toolCallRequest": request, "rawContent": raw})
    run.stop = "toolCalls"


def _success(run: _Run) -> dict[str, Any]:
    total = time.monotonic() - run.started
    stats: dict[str, Any] = {
        "stopReason": run.stop,
        "numGpuLayers": -1,
        "totalTimeSec": total,
        "promptTokensCount": run.prompt_tokens,
        "predictedTokensCount": run.predicted,
        "totalTokensCount": run.prompt_tokens + run.predicted,
    }
    if run.stop_string is not None:
        stats["stopString"] = run.stop_string
    if run.first_token is not None:
        writing = time.monotonic() - run.first_token
        stats["timeToFirstTokenSec"] = run.first_token - run.started
        if writing > 0:
            stats["tokensPerSecond"] = run.predicted / writing
    load_config = run.instance.load_config()
    if Quirk.NEWER_CONFIG_VALUE in run.machine.quirks:
        load_config["fields"].append({"key": "llm.load.llama.flashAttention", "value": "auto"})
    return {
        "type": "success",
        "stats": stats,
        "modelInfo": run.instance.row(),
        "loadModelConfig": load_config,
        "predictionConfig": {"fields": [{"key": key, "value": value} for key, value in run.config.items()]},
    }
