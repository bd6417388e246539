"""A reply from a server: asked for in its dialect, retried while nothing was shown, its failures classified."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil
from typing import Any

import httpx

from mai_backends.openai_compatible.failures import BUSY, refused, window_told
from mai_backends.openai_compatible.retrying import MOST_REQUESTS, pause, retry_after
from mai_backends.openai_compatible.seam import Seam, ask_to_go_on
from mai_backends.openai_compatible.served import ServedModel
from mai_backends.openai_compatible.server import Server
from mai_backends.wire.errors import BrokeOff, Refusal, Refused, Silent, Unreadable
from mai_backends.wire.request import certainty, chat_request
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
from mai_core.policy.images import image_tokens
from mai_core.policy.messages import GenerationOptions, Message, ReasoningDelta, ReplyEnd, Role, TextDelta, ToolCall

__all__ = ["stream"]

log = logging.getLogger("mai.openai-compatible")

RETURN_SECONDS = 2.0
"""From a lost connection to the news whether the server is still there."""

WORTH_TELLING = 1.0
"""Seconds. Longer waits are told, as a person watches nothing happen."""

_OVERLOADED = frozenset({429, 503})
"""What is said before anything was done. Behind a 502 or 504 somebody may be at work on the answer."""

_DECORATION = ("stream_options", "seed", "temperature", "top_p", "chat_template_kwargs", "return_progress", "logprobs")
_OPTIONAL = (*_DECORATION, "stop")
_REFUSED_FIELD = re.compile(
    r"unsupported|unrecognized|unknown|unexpected|extra|not permitted|not supported|not support"
)
_COMPLETION = re.compile(r"max_(completion_|new_)?tokens|in the completion|output tokens")
_TOO_MANY = re.compile(r"too large|maximum context length|context window|exceed")


@dataclass(slots=True)
class _Try:
    """One reply asked for, perhaps more than once, with ``left`` retries after ``sent`` requests.

    ``shown`` as soon as anything of it came; ``unbounded`` when the window leaves no room for ``max_tokens``, so that
    what is left of it is the bound; ``picky`` once a field was refused, ``dropped`` once a connection was.
    """

    deadline: float
    left: int
    sent: int = 0
    number: int = 0
    shown: bool = False
    unbounded: bool = False
    picky: bool = False
    dropped: bool = False

    @property
    def may_go_on(self) -> bool:
        """Whether there may be one request more."""
        return not self.shown and self.sent < MOST_REQUESTS


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
                    yield event if shown == event.text else TextDelta(shown)
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
        attempt.sent += 1
        reply = stream_reply(http, request, options, deadline=attempt.deadline, again=False, scrub=server.secrets.scrub)
        try:
            async with aclosing(reply) as events:
                async for event in events:
                    attempt.shown = True
                    yield event
            return
        except Refused as error:
            if not attempt.shown and _asked_differently(attempt, model, error.refusal, bounds) and attempt.may_go_on:
                continue
            asked_for = _asked_to_wait(server, name, model, error.refusal)
            wait = _pause(attempt, asked_for) if error.refusal.status in _OVERLOADED else None
            if wait is None:
                raise _judged(server, name, model, error.refusal, asked_for) from error
        except Silent as error:
            raise ModelStalled(f"{model.id} gave no token for {error.seconds:g} s") from error
        except Unreadable as error:
            raise GenerationError(f"{model.id} sent what cannot be read: {error}") from error
        except RuntimeError as error:
            if not server.closed:
                raise
            raise await _lost(server, name, model, error) from error
        except (BrokeOff, httpx.TransportError, httpx.StreamError) as error:
            wait = _pause(attempt, None) if _was_not_heard(attempt, model, error) else None
            if wait is None:
                raise await _lost(server, name, model, error) from error
        attempt.number += 1
        await asyncio.sleep(wait)


def _body(model: ServedModel, messages: Sequence[Message], options: GenerationOptions) -> dict[str, Any]:
    request = chat_request(messages, options, model=model.id)
    request["stream_options"] = {"include_usage": True}
    if model.kind.llama:
        request["return_progress"] = True
    if model.kind.continues and "logprobs" not in model.without:
        request |= certainty(options)
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
            # Who refuses a second field would refuse a third: there are too few requests to find them one by one.
            model.without.update((optional, *_DECORATION) if attempt.picky else (optional,))
            attempt.picky = True
            return True
    return False


def _was_not_heard(attempt: _Try, model: ServedModel, error: Exception) -> bool:
    """Whether the server cannot have begun to answer.

    It was not reached; or it is llama.cpp's, which now and then (1 in 100) closes a new connection in place of one
    whose client has hung up.
    """
    if isinstance(error, httpx.ConnectError):
        return True
    again = model.kind.llama and not attempt.dropped
    attempt.dropped = True
    return again and isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError)


def _asked_to_wait(server: Server, name: str, model: ServedModel, refusal: Refusal) -> float | None:
    """Seconds an overloaded server asks for; a longer wait is told, be it waited for or not."""
    if refusal.status not in BUSY:
        return None
    asked_for = retry_after(refusal.headers, datetime.now(UTC))
    if asked_for is not None and asked_for > WORTH_TELLING:
        server.asked_to_wait(asked_for)
        told = {"backend": name, "model": model.id, "status": refusal.status, "seconds": round(asked_for, 1)}
        log.info("server asks to wait", extra=told)
    return asked_for


def _pause(attempt: _Try, asked_for: float | None) -> float | None:
    """Seconds to wait before it is asked for again; None when it is not to be.

    Never once something was shown, and never when the wait would outlast the deadline of the first token.
    """
    if not attempt.may_go_on or attempt.left <= 0:
        return None
    wait = pause(attempt.number, asked_for)
    if asyncio.get_running_loop().time() + wait >= attempt.deadline:
        return None
    attempt.left -= 1
    return wait


def _judged(server: Server, name: str, model: ServedModel, refusal: Refusal, asked_for: float | None) -> BackendError:
    """The class of a refusal."""
    server.check(refusal)
    if asked_for is not None:
        return BackendUnavailable(
            f"{name}: {server.where} asks to come back in {ceil(asked_for)} s", remedy="wait, or use another model"
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
            f"{model.id} broke off: {server.where} dropped the connection", detail=server.secrets.describe(error)
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
        # Tools, calls and images are tokens of the prompt and no characters of its messages.
        if not options.tools and not any(message.tool_calls or message.images for message in messages):
            model.estimate.learn(sum(len(message.content) for message in messages), usage.prompt_tokens)
    else:
        prompt = sum(model.estimate.count(message.content) for message in messages)
        prompt += sum(image_tokens(image) for message in messages for image in message.images)
        usage = replace(usage, prompt_tokens=prompt)
    if not usage.completion_tokens and written:
        tokens = model.estimate.count("".join(written))
        usage = replace(usage, completion_tokens=min(tokens, options.max_tokens or tokens))
    return ReplyEnd(end.stop, usage)
