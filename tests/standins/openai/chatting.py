"""One reply, chunk by chunk, in the dialect of its flavour."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.standins.faults import Fault
from tests.standins.openai.http import Exchange
from tests.standins.openai.models import IMAGE_TOKENS, Flavour, StandInModel, images_of, text_of, tokens_of
from tests.standins.openai.refusals import blind, overflow

__all__ = ["TOKENS_BEFORE_TROUBLE", "Chat"]

TOKENS_BEFORE_TROUBLE = 3
HUGE = 100 * 2**20


class Chat:
    """A reply of ``model`` to the body of a request."""

    def __init__(self, flavour: Flavour, model: StandInModel, body: dict[str, Any], fault: Fault | None) -> None:
        self._flavour = flavour
        self._model = model
        self._body = body
        self._fault = fault

    async def write(self, exchange: Exchange, trouble: Callable[[Fault], Awaitable[None]]) -> None:
        """All of it, or until ``trouble`` comes, which is called with the fault of mid-stream."""
        messages = [m for m in self._body.get("messages", []) if isinstance(m, dict)]
        prompt = [token for message in messages for token in tokens_of(text_of(message))]
        images = [image for message in messages for image in images_of(message)]
        if images and not self._model.vision:
            await exchange.json(500, blind(self._flavour))
            return
        prompt += ["image"] * IMAGE_TOKENS * len(images)
        if len(prompt) >= self._model.context:
            await exchange.json(400, overflow(self._flavour, self._model, len(prompt)))
            return
        reply, stop = self._cut(tokens_of(self._text(messages)), self._model.context - len(prompt))
        if not self._body.get("stream"):
            message = {"role": "assistant", "content": "".join(reply)}
            choice = {"index": 0, "message": message, "finish_reason": stop}
            await exchange.json(200, {"choices": [choice], "usage": self._usage(prompt, reply)})
            return
        await exchange.start()
        await exchange.event(self._chunk({"role": "assistant", "content": None}))
        if self._fault is Fault.HANGS_AT_FIRST_TOKEN:
            await _hang(exchange)
        if self._body.get("return_progress"):
            await exchange.event({"choices": [], "prompt_progress": {"total": len(prompt), "processed": len(prompt)}})
        for token in tokens_of(self._model.thoughts):
            await exchange.event(self._chunk({self._thinking: token}))
        if self._model.calls and self._body.get("tools"):
            reply, stop = [], "tool_calls"
            await self._call(exchange)
        for number, token in enumerate(reply):
            if number == TOKENS_BEFORE_TROUBLE:
                await self._meet(exchange, trouble)
            await asyncio.sleep(self._model.token_seconds)
            await exchange.event(self._chunk({"content": token}))
        await self._finish(exchange, prompt, reply, stop)

    @property
    def _thinking(self) -> str:
        return "reasoning" if self._flavour is Flavour.VLLM else "reasoning_content"

    def _text(self, messages: list[dict[str, Any]]) -> str:
        """A last message of the assistant is gone on with where the server does that, and as it asks for it."""
        text = self._model.answer(messages)
        last = messages[-1] if messages else {}
        asked = self._flavour is Flavour.LLAMA_SERVER or (
            self._flavour is Flavour.VLLM and bool(self._body.get("continue_final_message"))
        )
        return text.removeprefix(text_of(last)) if last.get("role") == "assistant" and asked else text

    def _cut(self, reply: list[str], room: int) -> tuple[list[str], str]:
        limit = self._body.get("max_tokens") or self._body.get("max_completion_tokens") or len(reply)
        most = min(limit if limit > 0 else len(reply), room)
        return (reply, "stop") if most >= len(reply) else (reply[:most], "length")

    async def _call(self, exchange: Exchange) -> None:
        """The arguments come in pieces, the name and the id once."""
        for index, (name, arguments) in enumerate(self._model.calls):
            first = {"index": index, "id": f"call-{index}", "type": "function", "function": {"name": name}}
            await exchange.event(self._chunk({"tool_calls": [first]}))
            for at in range(0, len(arguments), 5):
                piece = {"index": index, "function": {"arguments": arguments[at : at + 5]}}
                await exchange.event(self._chunk({"tool_calls": [piece]}))

    async def _meet(self, exchange: Exchange, trouble: Callable[[Fault], Awaitable[None]]) -> None:
        fault = self._fault
        if fault is Fault.HANGS_MID_STREAM:
            await _hang(exchange)
        elif fault is Fault.OUT_OF_MEMORY_GENERATING:
            said = "CUDA out of memory. Tried to allocate 2.00 GiB."
            await exchange.event({"error": {"message": said, "type": "InternalServerError", "code": 500}})
            await exchange.end()
            raise ConnectionResetError
        elif fault is Fault.INVALID_UTF8:
            await exchange.raw(b'data: {"choices": [{"index": 0, "delta": {"content": " na\xefve \xf0\x9f"}}]}\n\n')
        elif fault is Fault.UNKNOWN_FIELDS:
            chunk = {**self._chunk({"content": " odd", "mood": {"calm": 1}}), "padding": [None, {}]}
            await exchange.raw(b"event: message\nid: 7\nretry: 10\n: a comment\nflavour: none\n")
            await exchange.event(chunk)
        elif fault is Fault.HUGE_LINE:
            await exchange.raw(b"data: ")
            for _ in range(HUGE // 2**20):
                await exchange.raw(b"x" * 2**20)
        elif fault in (Fault.DROPS_THE_SOCKET, Fault.RESTARTS_MID_STREAM, Fault.UNLOADS_MID_STREAM):
            await trouble(fault)

    async def _finish(self, exchange: Exchange, prompt: list[str], reply: list[str], stop: str) -> None:
        await exchange.event(self._chunk({}, finish=stop))
        if (self._body.get("stream_options") or {}).get("include_usage"):
            chunk: dict[str, Any] = {"choices": [], "usage": self._usage(prompt, reply)}
            if self._flavour is Flavour.LLAMA_SERVER:
                chunk["timings"] = {
                    "cache_n": 0,
                    "prompt_n": len(prompt),
                    "prompt_ms": 10.0,
                    "predicted_n": len(reply),
                    "predicted_ms": 20.0,
                }
            await exchange.event(chunk)
        await exchange.raw(b"data: [DONE]\n\n")
        await exchange.end()

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": self._model.key, "choices": [choice]}

    def _usage(self, prompt: list[str], reply: list[str]) -> dict[str, Any]:
        return {
            "prompt_tokens": len(prompt),
            "completion_tokens": len(reply),
            "total_tokens": len(prompt) + len(reply),
            "prompt_tokens_details": {"cached_tokens": min(2, len(prompt))},
        }


async def _hang(exchange: Exchange) -> None:
    """Silence but for comments that keep the connection alive, until the client has enough."""
    while True:
        await exchange.raw(b": ping\n\n")
        await asyncio.sleep(0.05)
