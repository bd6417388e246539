"""Summaries the loaded model writes when nobody waits for it.

The prompt of the last turn is continued by its reply and a request for the summary, so the engine has all but the end
of it in its cache already, and finds it there again in the next turn. The summary is used by the next compression;
no prompt changes before that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing

from mai_core.errors import MaiError
from mai_core.plugin.interfaces import Backend
from mai_core.policy.context import SummaryWanted
from mai_core.policy.digests import accepted
from mai_core.policy.messages import GenerationOptions, Message, ReplyEnd, Role, StopReason, TextDelta
from mai_core.policy.models import LoadedModel
from mai_core.runtime.store import Store

__all__ = ["improve"]

log = logging.getLogger("mai.summaries")

SECONDS = 60.0


async def improve(
    conversation: str,
    wanted: SummaryWanted | None,
    instance: LoadedModel,
    backend: Backend,
    store: Store,
    *,
    seconds: float = SECONDS,
) -> bool:
    """Let a loaded model write the summary ``wanted`` after a turn, and keep it; says whether it did.

    The caller holds a lease on ``instance``, which answered that turn and is idle otherwise, and cancels this as soon
    as somebody speaks: the engine stops at once. It never loads a model, never asks one that is not on this person's
    own machines, and takes ``seconds`` at most. What goes wrong is logged and costs nothing but the summary.
    """
    if wanted is None or backend.remote:
        return False
    told = {"model": instance.key, "conversation": conversation}
    try:
        messages = (await asyncio.to_thread(store.conversation, conversation)).messages
        replies = tuple(m for m in messages if m.id > wanted.covers)
        if not _is_one_reply(replies):
            return False
        prompt = (*wanted.messages, *replies, Message(role=Role.USER, content=wanted.instruction))
        async with asyncio.timeout(seconds):
            text, stop = await _written(backend, instance, prompt, wanted.tokens, seconds)
        digest = accepted(text, "\n".join(m.content for m in prompt[:-1]), is_whole=stop is StopReason.STOP)
        if digest:
            await asyncio.to_thread(store.save_digest, conversation, digest, replies[-1].id)
        log.info("summary written" if digest else "summary refused", extra={**told, "characters": len(digest)})
        return bool(digest)
    except TimeoutError:
        log.info("no summary was written in time", extra=told)
    except MaiError as error:
        log.info("no summary was written", extra={**told, "reason": str(error)})
    except Exception as error:  # noqa: BLE001 - a third party's backend; it is named, and only the summary is lost
        fault = {"backend": backend.name, "error": f"{type(error).__name__}: {error}"}
        log.warning("no summary was written", extra={**told, **fault})
    return False


def _is_one_reply(messages: Sequence[Message]) -> bool:
    """Whether the turn ended with an answer, and nothing was said since."""
    return len(messages) == 1 and messages[0].role is Role.ASSISTANT and not messages[0].tool_calls


async def _written(
    backend: Backend, instance: LoadedModel, prompt: Sequence[Message], tokens: int, seconds: float
) -> tuple[str, StopReason]:
    options = GenerationOptions(
        max_tokens=tokens, temperature=0.0, first_token_deadline=seconds, token_deadline=seconds
    )
    text = ""
    async with aclosing(backend.generate(instance.instance, prompt, options)) as stream:
        async for event in stream:
            if isinstance(event, TextDelta):
                text += event.text
            elif isinstance(event, ReplyEnd):
                return text, event.stop
    return text, StopReason.FAILED
