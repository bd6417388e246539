"""What a real model answers when it is asked for facts of a long conversation: the last word on a context transfer."""

from __future__ import annotations

import math
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

from mai_core.bench.recall import budget_for, prompts
from mai_core.bench.talks import KINDS, Fact
from mai_core.plugin.interfaces import Backend, BackendContext, ContextTransfer
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.messages import GenerationOptions, Message, TextDelta
from mai_core.policy.models import LoadedModel, LoadPlan

__all__ = ["answers"]

OPTIONS = GenerationOptions(max_tokens=64, temperature=0.0, seed=1)


async def answers(
    registry: PluginRegistry,
    file: Path,
    transfers: Mapping[str, ContextTransfer],
    talk: Sequence[Message],
    share: float,
    backend_type: str = "embedded",
) -> None:
    """Print for each transfer, as after a switch, how many facts its prompts show and the model then answers with.

    ``file`` is an absolute path without links.
    """
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        options = {"models_dirs": [str(file.parent)], "scan_other_tools": False}
        context = BackendContext(
            name="bench", options=options, data_dir=home / "data", cache_dir=home / "cache", state_dir=home / "state"
        )
        backend = registry.backend(backend_type, context)
        try:
            profile = next(m for m in await backend.models() if Path(m.location) == file)
            # The sizes are not known before the model is loaded; characters are near enough for the window.
            window = budget_for(talk, share).window
            loaded = await backend.load(profile, LoadPlan(context=window + window // 2))
            count = await _counter(backend, loaded, talk)
            budget = budget_for(talk, share, count)
            print(f"{profile.key}, {budget.usable:,} of {sum(map(count, (m.content for m in talk))):,} tokens")
            print(f"{'':<14}{'shown':>7}{'answered':>10}{'prompt':>8}{'s/turn':>8}  " + " ".join(KINDS))
            for name, transfer in transfers.items():
                shown, answered, tokens, started = list[Fact](), list[Fact](), 0, time.perf_counter()
                asked = list(prompts(transfer, talk, budget, grown=False, count=count))
                for fact, plan in asked:
                    text = "\n".join(m.content for m in plan.messages).removesuffix(fact.question)
                    shown += [fact] * fact.known_from(text)
                    reply = await _reply(backend, loaded, plan.messages)
                    answered += [fact] * _says(reply, fact)
                    tokens += plan.tokens
                seconds = (time.perf_counter() - started) / len(asked)
                kinds = " ".join(f"{sum(f.kind == kind for f in answered):>{len(kind)}}" for kind in KINDS)
                percent = (100 * len(found) / len(asked) for found in (shown, answered))
                print(
                    f"{name:<14}{next(percent):>6.0f}%{next(percent):>9.0f}%{tokens // len(asked):>8,}{seconds:>8.1f}"
                    f"  {kinds}",
                    flush=True,
                )
        finally:
            await backend.close()


async def _reply(backend: Backend, loaded: LoadedModel, messages: Sequence[Message]) -> str:
    text = ""
    async with aclosing(backend.generate(loaded.instance, messages, OPTIONS)) as stream:
        async for event in stream:
            text += event.text if isinstance(event, TextDelta) else ""
    return text


def _says(reply: str, fact: Fact) -> bool:
    """Whether the decisive word stands in the reply, however it is written."""
    word = fact.key.removeprefix("MAX_RETRIES = ").removeprefix("turned ")
    return re.search(rf"(?<!\w){re.escape(word.casefold())}", reply.casefold()) is not None


class _Counter:
    """The model's own counts of the messages, and a bound for what a transfer writes."""

    def __init__(self, known: Mapping[str, int]) -> None:
        self._known = known
        size = sum(len(text.encode()) for text in known)
        self._rate = 1.25 * sum(known.values()) / max(1, size)

    def __call__(self, text: str) -> int:
        known = self._known.get(text)
        return math.ceil(len(text.encode()) * self._rate) + 2 if known is None else known


async def _counter(backend: Backend, loaded: LoadedModel, talk: Sequence[Message]) -> _Counter:
    texts = list(dict.fromkeys(m.content for m in talk))
    return _Counter(dict(zip(texts, await backend.count_tokens(loaded.instance, texts), strict=True)))
