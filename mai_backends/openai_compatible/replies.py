"""A reply from a server: asked for in its dialect, retried while nothing was shown, its failures classified."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx

from mai_backends.openai_compatible.failures import BUSY, refused, window_told
from mai_backends.openai_compatible.retrying import pause, retry_after
from mai_backends.openai_compatible.seam import Seam, ask_to_go_on
from mai_backends.openai_compatible.served import ServedModel
from mai_backends.openai_compatible.server import Server
from mai_backends.wire.errors import BrokeOff, Refusal, Refused, Silent, Unreadable
from mai_backends.wire.request import chat_request
from mai_backends.wire.stream import stream_reply
from mai_core.errors import (
    BackendError,
    BackendUnavailable,
    ContextExceeded,
    GenerationError,
    ModelCrashed,
    ModelStalled,
)
from mai_core.plugin.interfaces import GenerationEvent
from mai_core.policy.messages import GenerationOptions, Message, ReasoningDelta, ReplyEnd, Role, TextDelta, ToolCall

__all__ = ["stream"]

RETURN_SECONDS = 2.0
"""From a lost connection to the news whether the server is still there."""

_OPTIONAL = ("stream_options", "seed", "temperature", "top_p", "stop", "chat_template_kwargs", "return_progress")
_REFUSED_FIELD = re.compile(
    r"unsupported|unrecognized|unknown|unexpected|extra|not permitted|not supported|not support"
)
_COMPLETION = re.compile(r"max_(completion_|new_)?tokens|in the completion|output tokens")
_TOO_MANY = re.compile(r"too large|maximum context length|context window|exceed")


@dataclass(slots=True)
class _Try:
    """One reply asked for, perhaps more than once, with ``left`` retries.

    ``shown`` as soon as anything of it came; ``unbounded`` when the window leaves no room for ``max_tokens``, so that
    what is left of it is the bound.
    """

    deadline: float
    left: int
    number: int = 0
    shown: bool = False
    unbounded: bool = False


async def stream(
    server: Server,
    name: str,
    model: ServedModel,
    messages: Sequence[Message],
    options: GenerationOptions,
    *,
    retries: int,
) -> AsyncGenerator[GenerationEvent, None]:
    """A reply, event by event, up to its one ``ReplyEnd``.

    A last message of the assistant is continued, in words where the server does not do it by itself. Raises
    ``ModelStalled``, ``ModelCrashed``, ``ContextExceeded``, ``OutOfMemory``, ``GenerationError`` or
    ``BackendUnavailable``.
    """
    given = messages[-1].content if messages and messages[-1].role is Role.ASSISTANT else ""
    in_words = bool(given) and not model.continues
    seam = Seam(given if in_words else "")
    asked = ask_to_go_on(messages) if in_words else list(messages)
    written: list[str] = []
    async with aclosing(_attempts(server, name, model, asked, options, retries)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                written.append(event.text)
                if shown := seam.feed(event.text):
                    yield TextDelta(shown)
                continue
            if isinstance(event, ReasoningDelta):
                written.append(event.text)
            elif rest := seam.close():
                yield TextDelta(rest)
            if isinstance(event, ToolCall):
                written.append(event.name + event.arguments)
            yield _counted(event, model, asked, written, options) if isinstance(event, ReplyEnd) else event


async def _attempts(
    server: Server,
    name: str,
    model: ServedModel,
    messages: Sequence[Message],
    options: GenerationOptions,
    retries: int,
) -> AsyncGenerator[GenerationEvent, None]:
    now = asyncio.get_running_loop().time()
    http = await server.client(seconds=options.first_token_deadline)
    attempt = _Try(deadline=now + options.first_token_deadline, left=retries)
    while True:
        bounds = replace(options, max_tokens=0) if attempt.unbounded else options
        request = server.chat(http, _body(model, messages, bounds))
        try:
            async with aclosing(stream_reply(http, request, options, deadline=attempt.deadline)) as events:
                async for event in events:
                    attempt.shown = True
                    yield event
            return
        except Refused as error:
            if not attempt.shown and _asked_differently(attempt, model, error.refusal, bounds):
                continue
            wait = _again(attempt, error.refusal)
            if wait is None:
                raise _judged(server, name, model, error.refusal) from error
        except Silent as error:
            raise ModelStalled(f"{model.id} gave no token for {error.seconds:g} s") from error
        except Unreadable as error:
            raise GenerationError(f"{model.id} sent what cannot be read: {error}") from error
        except RuntimeError as error:
            if not server.closed:
                raise
            raise await _lost(server, name, model, error) from error
        except (BrokeOff, httpx.TransportError, httpx.StreamError) as error:
            wait = _again(attempt, None)
            if wait is None:
                raise await _lost(server, name, model, error) from error
        attempt.number += 1
        await asyncio.sleep(wait)


def _body(model: ServedModel, messages: Sequence[Message], options: GenerationOptions) -> dict[str, Any]:
    request = chat_request(messages, options, model=model.id)
    request["stream_options"] = {"include_usage": True}
    if model.kind.llama:
        request["return_progress"] = True
    if messages and messages[-1].role is Role.ASSISTANT:
        if model.kind.llama:
            # Templates that open a block of thoughts refuse to continue an answer.
            request["chat_template_kwargs"] = {"enable_thinking": False}
        else:
            request |= {"continue_final_message": True, "add_generation_prompt": False}
    if "max_tokens" in model.without and "max_tokens" in request:
        request["max_completion_tokens"] = request["max_tokens"]
    return {field: value for field, value in request.items() if field not in model.without}


def _asked_differently(attempt: _Try, model: ServedModel, refusal: Refusal, options: GenerationOptions) -> bool:
    """Whether the refusal is about something the request can do without; a field is left out from now on."""
    if refusal.status not in (400, 422):
        return False
    said = refusal.message.lower()
    if options.max_tokens and _COMPLETION.search(said) and _TOO_MANY.search(said):
        attempt.unbounded = True
        return True
    named = {str(refusal.fields.get("param") or ""), *re.findall(r"[a-z_]+", said)}
    if not _REFUSED_FIELD.search(said):
        return False
    for optional in (*_OPTIONAL, "max_tokens"):
        if optional in named and optional not in model.without:
            model.without.add(optional)
            return True
    return False


def _again(attempt: _Try, refusal: Refusal | None) -> float | None:
    """Seconds to wait before it is asked for again; None when it is not to be.

    Never once something was shown, and never when the wait would outlast the deadline of the first token.
    """
    if attempt.shown or attempt.left <= 0 or (refusal is not None and refusal.status not in BUSY):
        return None
    asked_for = retry_after(refusal.headers, datetime.now(UTC)) if refusal is not None else None
    wait = pause(attempt.number, asked_for)
    if asyncio.get_running_loop().time() + wait >= attempt.deadline:
        return None
    attempt.left -= 1
    return wait


def _judged(server: Server, name: str, model: ServedModel, refusal: Refusal) -> BackendError:
    """The class of a refusal; what a server repeats of a secret is struck out."""
    refusal = replace(refusal, message=server.scrub(refusal.message))
    server.check(refusal)
    asked_for = retry_after(refusal.headers, datetime.now(UTC))
    if refusal.status in BUSY and asked_for is not None:
        return BackendUnavailable(
            f"{name}: {server.where} asks to come back in {asked_for:.0f} s", remedy="wait, or use another model"
        )
    error = refused(model.id, refusal, server=server.where)
    if isinstance(error, ContextExceeded):
        model.window = window_told(refusal) or model.window
    return error


async def _lost(server: Server, name: str, model: ServedModel, error: Exception) -> BackendError:
    """What a lost connection means: the same model may go on where the server is still there, or there again."""
    reached = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    if reached and await server.answers(within=RETURN_SECONDS):
        return ModelCrashed(
            f"{model.id} broke off: {server.where} dropped the connection", detail=server.scrub(repr(error))
        )
    if server.closed:
        return ModelCrashed(f"{name} was closed while {model.id} answered")
    return server.unreachable(error)


def _counted(
    end: ReplyEnd, model: ServedModel, messages: Sequence[Message], written: list[str], options: GenerationOptions
) -> ReplyEnd:
    """The end with estimates where the server did not count; where it did, the estimate learns from it."""
    usage = end.usage
    if usage.prompt_tokens:
        # Tools and calls are tokens of the prompt and no characters of its messages.
        if not options.tools and not any(message.tool_calls for message in messages):
            model.estimate.learn(sum(len(message.content) for message in messages), usage.prompt_tokens)
    else:
        prompt = sum(model.estimate.count(message.content) for message in messages)
        usage = replace(usage, prompt_tokens=prompt)
    if not usage.completion_tokens and written:
        tokens = model.estimate.count("".join(written))
        usage = replace(usage, completion_tokens=min(tokens, options.max_tokens or tokens))
    return ReplyEnd(end.stop, usage)
