"""A reply as events, from the packets of a prediction.

Packets are read as they come off the wire. The SDK would check each against what it knew when it was made: one new
value in the last of them would cost a reply that is already there.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from types import MappingProxyType
from typing import Any

from lmstudio import (
    Chat,
    ChatHistoryData,
    LlmPredictionConfig,
    LMStudioChannelClosedError,
    LMStudioError,
    LMStudioServerError,
)
from lmstudio.json_api import ChatResponseEndpoint

from mai_backends.lmstudio import failures
from mai_backends.lmstudio.client import Channel, Link
from mai_backends.lmstudio.images import uploaded
from mai_backends.lmstudio.stopping import stop, undisturbed
from mai_core.errors import ContextExceeded, GenerationError, ModelCrashed
from mai_core.plugin.interfaces import GenerationEvent
from mai_core.policy.messages import (
    GenerationOptions,
    Image,
    Message,
    ReasoningDelta,
    ReplyEnd,
    Role,
    StopReason,
    TextDelta,
    Tool,
    ToolCall,
    Usage,
)

__all__ = ["prediction", "stream"]

log = logging.getLogger("mai.lmstudio")

STOP_SECONDS = 1.0
STALLED_STOP_SECONDS = 0.2
LONGEST_PIECE = 1_000_000

_STOPS = {
    "eosFound": StopReason.STOP,
    "stopStringFound": StopReason.STOP,
    "toolCalls": StopReason.TOOLS,
    "maxPredictedTokensReached": StopReason.LENGTH,
    "contextLengthReached": StopReason.CONTEXT,
    "userStopped": StopReason.CANCELLED,
}


Files = Mapping[Image, Mapping[str, Any]]
"""The parts of messages that stand for images the server has been given."""


async def stream(
    link: Link, instance: str, key: str, messages: Sequence[Message], options: GenerationOptions
) -> AsyncGenerator[GenerationEvent, None]:
    """The reply of ``instance``; closing the iterator stops the server. ``key`` names the model in errors.

    Progress with the prompt counts as a sign of life. Raises ``ModelStalled``, ``ContextExceeded``, ``ModelCrashed``,
    and what the SDK raises.
    """
    clock = asyncio.get_running_loop().time
    limit = options.first_token_deadline
    deadline = clock() + limit
    reply = _Reply(key, clock())
    patience = STOP_SECONDS
    try:
        async with asyncio.timeout_at(deadline):
            files = {image: await uploaded(link, image) for message in messages for image in message.images}
    except TimeoutError as error:
        raise failures.too_long(key, limit) from error
    async with link.channel(prediction(instance, messages, options, files)) as channel:
        unfinished = True
        try:
            async with aclosing(_packets(channel)) as packets:
                while True:
                    async with asyncio.timeout_at(deadline):
                        packet = await anext(packets)
                    unfinished = packet.get("type") != "success"
                    for event in reply.read(packet, clock()):
                        yield event
                    if not unfinished:
                        return
                    if reply.began or reply.progressed:
                        limit = options.token_deadline if reply.began else options.first_token_deadline
                        deadline = clock() + limit
        except TimeoutError as error:
            patience = STALLED_STOP_SECONDS
            raise failures.too_long(key, limit) from error
        except LMStudioError:
            unfinished = False
            raise
        finally:
            if unfinished:
                await undisturbed(stop(channel, seconds=patience))


def prediction(
    instance: str, messages: Sequence[Message], options: GenerationOptions, files: Files = MappingProxyType({})
) -> ChatResponseEndpoint:
    """The request. A last message of the assistant is continued by LM Studio itself."""
    history = {"messages": [_message(message, files) for message in messages]}
    structured = None if options.json_schema is None or options.tools else options.json_schema
    endpoint = ChatResponseEndpoint(
        instance,
        Chat.from_history(ChatHistoryData.from_dict(history)),  # type: ignore[arg-type]  # checked when it is made
        {"type": "json", "jsonSchema": structured} if structured is not None else None,
        LlmPredictionConfig(
            max_tokens=options.max_tokens or None,
            temperature=options.temperature,
            top_p_sampling=options.top_p,
            stop_strings=list(options.stop) or None,
            # The default would cut the middle out of a prompt without a word.
            context_overflow_policy="stopAtLimit",
        ),
    )
    config: Any = endpoint.creation_params["predictionConfigStack"]["layers"][0]["config"]
    # The SDK's classes have no seed for a prediction, and leave out what they do not know of a tool's schema.
    if options.seed is not None:
        config["fields"].append({"key": "llm.prediction.seed", "value": {"checked": True, "value": options.seed}})
    if options.tools:
        tools = {"type": "toolArray", "tools": [_tool(tool) for tool in options.tools]}
        config["fields"].append({"key": "llm.prediction.tools", "value": tools})
    return endpoint


class _Reply:
    """What is known of a reply so far. ``progressed`` tells whether the last packet showed progress with the prompt."""

    def __init__(self, key: str, started: float) -> None:
        self.began = False
        self.progressed = False
        self._key = key
        self._started = started
        self._first: float | None = None
        self._wrote = False
        self._called = 0
        self._tokens = 0
        self._prompt_share = -1.0
        self._prompt: Mapping[str, Any] = {}

    def read(self, packet: Mapping[str, Any], now: float) -> list[GenerationEvent]:
        """The events a packet brings; packets of kinds nobody knows bring none."""
        self.progressed = False
        match packet:
            case {"type": "promptProcessingProgress", "progress": int() | float() as share}:
                self.progressed = share > self._prompt_share
                self._prompt_share = max(share, self._prompt_share)
                details = packet.get("details")
                self._prompt = details if isinstance(details, Mapping) else self._prompt
            case {"type": "fragment", "fragment": {"content": str(content)} as fragment}:
                self._begin(now)
                if len(content) > LONGEST_PIECE:
                    raise GenerationError(
                        f"{self._key} wrote a piece of {len(content) / 1e6:.0f} MB, which is no answer"
                    )
                self._tokens += _count(fragment, "tokensCount")
                return self._text(content, fragment)
            case {"type": "toolCallGenerationEnd", "toolCallRequest": {"name": str(name)} as request}:
                self._begin(now)
                self._called += 1
                arguments = json.dumps(request.get("arguments") or {}, ensure_ascii=False)
                return [ToolCall(id=str(request.get("id") or f"call-{self._called}"), name=name, arguments=arguments)]
            case {"type": "toolCallGenerationFailed"}:
                raise GenerationError(f"{self._key} asked for a tool in a way LM Studio could not read")
            case {"type": str(kind)} if kind.startswith("toolCallGeneration"):
                self._begin(now)
            case {"type": "error", "error": Mapping() as error}:
                raise LMStudioServerError.from_details("Prediction error", error)
            case {"type": "success"}:
                stats = packet.get("stats")
                return [self._ended(stats if isinstance(stats, Mapping) else {}, now)]
            case _:
                log.debug("packet of an unknown kind", extra={"kind": str(packet.get("type"))[:80]})
        return []

    def _begin(self, now: float) -> None:
        self.began = True
        self._first = self._first or now

    def _text(self, content: str, fragment: Mapping[str, Any]) -> list[GenerationEvent]:
        kind = fragment.get("reasoningType", "none")
        if not content or kind in ("reasoningStartTag", "reasoningEndTag") or fragment.get("isStructural") is True:
            return []
        self._wrote = True
        return [ReasoningDelta(content) if kind == "reasoning" else TextDelta(content)]

    def _ended(self, stats: Mapping[str, Any], now: float) -> ReplyEnd:
        reason = stats.get("stopReason")
        if reason == "modelUnloaded":
            raise ModelCrashed(f"{self._key} was unloaded in LM Studio while it answered")
        if reason == "failed":
            raise ModelCrashed(f"{self._key} failed in LM Studio while it answered")
        if reason == "contextLengthReached" and not self._wrote:
            raise ContextExceeded(f"the prompt leaves {self._key} no room for an answer", remedy="shorten it")
        stop = _STOPS.get(str(reason), StopReason.STOP)
        return ReplyEnd(StopReason.TOOLS if self._called and stop is StopReason.STOP else stop, self._usage(stats, now))

    def _usage(self, stats: Mapping[str, Any], now: float) -> Usage:
        """As the server counts it, else as it was seen from here."""
        first = self._first or now
        reading = _amount(stats, "timeToFirstTokenSec") or first - self._started
        written = _count(stats, "predictedTokensCount") or self._tokens
        pace = _amount(stats, "tokensPerSecond")
        return Usage(
            prompt_tokens=_count(stats, "promptTokensCount") or _count(self._prompt, "totalPromptTokenCount"),
            cached_tokens=_count(self._prompt, "cachedTokenCount"),
            completion_tokens=written,
            prompt_seconds=reading,
            completion_seconds=written / pace if pace else now - first,
        )


async def _packets(channel: Channel) -> AsyncGenerator[Mapping[str, Any], None]:
    """The packets of a channel that is not to end before it says so."""
    async for packet in channel.rx_stream():
        if packet is not None:
            yield packet
    raise LMStudioChannelClosedError("Server failed to complete prediction.")


def _message(message: Message, files: Files) -> dict[str, Any]:
    if message.role is Role.TOOL:
        result = {"type": "toolCallResult", "content": _plain(message.content), "toolCallId": message.tool_call_id}
        return {"role": "tool", "content": [result]}
    calls = [{"type": "toolCallRequest", "toolCallRequest": _request(call)} for call in message.tool_calls]
    text = {"type": "text", "text": _plain(message.content)}
    images = [dict(files[image]) for image in message.images]
    return {"role": message.role.value, "content": [*images, text, *calls]}


def _request(call: ToolCall) -> dict[str, Any]:
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        arguments = {}
    request = {"type": "function", "name": call.name, "arguments": arguments if isinstance(arguments, dict) else {}}
    return request | ({"id": call.id} if call.id else {})


def _tool(tool: Tool) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {}, **tool.parameters}
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": parameters},
    }


def _plain(text: str) -> str:
    """Text every parser takes: half a surrogate pair, which a paste may hold, becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _count(numbers: Mapping[str, Any], field: str) -> int:
    return int(_amount(numbers, field))


def _amount(numbers: Mapping[str, Any], field: str) -> float:
    value = numbers.get(field)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15
    return float(value) if usable and value is not None else 0.0
