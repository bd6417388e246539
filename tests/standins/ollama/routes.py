"""What the stand-in answers to each request."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from tests.standins.faults import Fault
from tests.standins.ollama.chatting import answer_pieces, example, prompt_tokens, truncated
from tests.standins.ollama.models import StandInModel
from tests.standins.ollama.refusals import NOT_FOUND, Refusal, blind, crashed, memory_while_writing, too_long
from tests.standins.ollama.scheduler import Machine, Runner
from tests.standins.ollama.wire import Exchange

__all__ = ["Dropped", "Restarted", "Routes"]

_MALFORMED: tuple[Any, ...] = (
    None,
    17,
    "a text",
    [],
    {},
    {"name": None, "model": 3},
    {"name": "odd:latest", "model": "odd:latest", "size": "much", "details": [], "digest": {}, "capabilities": 1},
)
_REPEATS = 30


class Dropped(Exception):
    """The connection is cut."""


class Restarted(Exception):
    """The server goes away and comes back."""


class Routes(Machine):
    """The handlers, each of which may raise ``Refusal``."""

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        await self.held(Fault.HANGS_AT_CONNECT)
        self.sweep()
        exchange.encode = self._encoded
        if not self._admitted(exchange):
            await exchange.answer(401, {"error": "unauthorized"})
            return
        try:
            await self._route(exchange)
        except Refusal as refusal:
            if exchange.streaming:
                await exchange.line({"error": refusal.said})
                await exchange.end()
            else:
                await exchange.answer(refusal.status, {"error": refusal.said})

    async def _route(self, exchange: Exchange) -> None:
        match exchange.method, exchange.path:
            case "GET", "/api/version":
                self.calls.append((exchange.path, {}))
                await exchange.answer(200, {"version": self.version})
            case "GET", "/api/tags":
                self.calls.append((exchange.path, {}))
                await self.held(Fault.HANGS_AT_LISTING)
                rows = [model.row() for model in self.models.values()]
                await self._list(exchange, rows)
            case "GET", "/api/ps":
                self.calls.append((exchange.path, {}))
                await asyncio.sleep(self.ps_seconds)
                rows = [self.row(runner) for runner in self.runners.values()]
                await self._list(exchange, sorted(rows, key=lambda row: str(row["expires_at"]), reverse=True))
            case "POST", "/api/show":
                model = self._model(self._body(exchange).get("model", ""))
                await exchange.answer(200, model.shown())
            case "POST", "/api/chat":
                await self._chat(exchange, self._body(exchange))
            case _:
                raise Refusal(404, "404 page not found")

    def _admitted(self, exchange: Exchange) -> bool:
        if self.fault is Fault.WRONG_TOKEN:
            return False
        return not self.api_key or exchange.headers.get("authorization") == f"Bearer {self.api_key}"

    def _body(self, exchange: Exchange) -> dict[str, Any]:
        if not exchange.body:
            raise Refusal(400, "missing request body")
        try:
            body = json.loads(exchange.body)
        except ValueError as error:
            raise Refusal(400, str(error)) from error
        if not isinstance(body, dict):
            raise Refusal(400, "json: cannot unmarshal")
        self.calls.append((exchange.path, body))
        return body

    def _model(self, name: str) -> StandInModel:
        if not name:
            raise Refusal(400, "model is required")
        found = self.models.get(name) or self.models.get(f"{name}:latest")
        if found is None:
            raise Refusal(404, NOT_FOUND.format(name))
        return found

    async def _list(self, exchange: Exchange, rows: list[Any]) -> None:
        if self.fault is Fault.MALFORMED_ROWS:
            rows = [*_MALFORMED, *rows]
        if self.fault is Fault.HUGE_LINE and self.spoils == "tags":
            rows = [{"name": "x" * self.huge_bytes}]
        await exchange.answer(200, {"models": [*rows, *self.raw_rows]})

    async def _chat(self, exchange: Exchange, body: dict[str, Any]) -> None:
        name, messages = body.get("model", ""), body.get("messages") or []
        model = self._model(name)
        if not messages and body.get("keep_alive") == 0:
            self.expire(model)
            await exchange.answer(200, self._chunk(name, done=True, done_reason="unload"))
            return
        self._check(model, body)
        runner = await self.acquire(model, body)
        try:
            if not messages:
                await exchange.answer(200, self._chunk(name, done=True, done_reason="load"))
            else:
                async with runner.turn, self._writing():
                    await self._reply(exchange, runner, model, body)
        finally:
            self.release(runner)

    def _check(self, model: StandInModel, body: dict[str, Any]) -> None:
        full = f"registry.ollama.ai/library/{model.name}"
        if model.remote_host:
            return
        if "completion" not in model.capabilities:
            raise Refusal(400, f'"{body["model"]}" does not support chat')
        if body.get("tools") and "tools" not in model.capabilities:
            raise Refusal(400, f"{full} does not support tools")
        if body.get("think") and not model.thinks:
            raise Refusal(400, f'"{body["model"]}" does not support thinking')

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[None]:
        self.generating += 1
        try:
            yield
        finally:
            self.generating -= 1

    async def _reply(self, exchange: Exchange, runner: Runner, model: StandInModel, body: dict[str, Any]) -> None:
        began, messages, old = time.monotonic(), body["messages"], not self.knows(0, 12, 6)
        if old or body.get("truncate") is not False:
            messages = truncated(messages, runner.context)
        if any(message.get("images") for message in messages) and "vision" not in model.capabilities:
            raise blind()
        prompt = prompt_tokens(messages)
        if prompt >= runner.context and messages is body["messages"]:
            raise too_long(prompt, runner.context, old=not self.knows(0, 30, 0))
        await self.held(Fault.HANGS_AT_FIRST_TOKEN)
        asked = int((body.get("options") or {}).get("num_predict", -1))
        said, reason, same, last = 0, "stop", 0, ""
        for kind, piece in self._pieces(model, body):
            if said == asked or (not runner.shift and prompt + said >= runner.context):
                reason = "length"
                break
            await asyncio.sleep(model.token_seconds)
            await self._misbehave(exchange, runner, said)
            await exchange.line(self._chunk(body["model"], **{kind: piece}))
            said += 1
            same, last = (same + 1, last) if piece.strip() == last else (0, piece.strip())
            if same > _REPEATS:
                await exchange.end()
                return
        final = self._chunk(body["model"], done=True, done_reason=reason)
        if calls := self._calls(body):
            final["message"]["tool_calls"] = calls
        seconds = time.monotonic() - began
        counts = {
            "total_duration": int(seconds * 1e9),
            "load_duration": 1_000_000,
            "prompt_eval_count": min(prompt, runner.context),
            "prompt_eval_duration": 2_000_000,
            "eval_count": said,
            "eval_duration": int(seconds * 1e9),
        }
        await exchange.line(final | {key: value for key, value in counts.items() if value})
        await exchange.end()

    def _pieces(self, model: StandInModel, body: dict[str, Any]) -> Iterator[tuple[str, str]]:
        if self._calls(body):
            return
        if model.thinks and body.get("think") is not False:
            for word in model.thoughts.split():
                yield "thinking", f"{word} "
        for piece in answer_pieces(model, body):
            yield "content", piece

    def _calls(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        if not body.get("tools") or body["messages"][-1]["role"] != "user":
            return []
        function = body["tools"][0]["function"]
        arguments = example(function.get("parameters") or {})
        return [{"id": "call_1a2b3c4d", "function": {"index": 0, "name": function["name"], "arguments": arguments}}]

    async def _misbehave(self, exchange: Exchange, runner: Runner, said: int) -> None:
        if said != self.after_pieces:
            return
        match self.fault:
            case Fault.HANGS_MID_STREAM:
                await self.held(Fault.HANGS_MID_STREAM)
            case Fault.DROPS_THE_SOCKET:
                raise Dropped
            case Fault.RESTARTS_MID_STREAM:
                raise Restarted
            case Fault.UNLOADS_MID_STREAM:
                self.runners.pop(runner.model.weights, None)
                raise crashed()
            case Fault.OUT_OF_MEMORY_GENERATING:
                for one in self.runners.values():
                    one.keep_alive = 0.0
                raise memory_while_writing()
            case Fault.HUGE_LINE if self.spoils == "chat":
                piece = b"x" * (1 << 20)
                for _ in range(self.huge_bytes // len(piece)):
                    await exchange.raw(piece)

    def _chunk(self, model: str, *, content: str = "", thinking: str = "", **fields: Any) -> dict[str, Any]:
        message = {"role": "assistant", "content": content} | ({"thinking": thinking} if thinking else {})
        created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f789Z")
        return {"model": model, "created_at": created, "message": message, "done": False, **fields}

    def _encoded(self, answer: Any) -> bytes:
        if self.fault is Fault.UNKNOWN_FIELDS:
            answer = _with_unknown_fields(answer)
        written = json.dumps(answer, ensure_ascii=False).encode()
        if self.fault is Fault.INVALID_UTF8:
            listing = '"models"' in written.decode() and b'"family"' in written
            if self.spoils == "tags" and listing:
                written = written.replace(b'"family": "', b'"family": "\xff\xfe')
            elif self.spoils == "chat" and b'"message"' in written:
                written = written.replace(b'"content": "', b'"content": "\xc3\x28')
        return written


def _with_unknown_fields(answer: Any) -> Any:
    if isinstance(answer, dict):
        known = {key: _with_unknown_fields(value) for key, value in answer.items()}
        return known if "general.architecture" in known else {**known, "from_the_future": {"and": ["more"]}}
    return [_with_unknown_fields(one) for one in answer] if isinstance(answer, list) else answer
