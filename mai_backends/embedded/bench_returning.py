"""First token of a conversation whose model comes back: read anew, restored, and beside a model that stayed.

python -m mai_backends.embedded.bench_returning FILE.gguf [TOKENS ...]
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mai_backends.embedded.backend import EmbeddedBackend
from mai_backends.embedded.files import size_text
from mai_core.plugin.interfaces import BackendContext
from mai_core.policy.messages import GenerationOptions, Message, ReplyEnd, Role, TextDelta, Usage
from mai_core.policy.models import LoadPlan, ModelProfile

__all__ = ["print_returning"]

CONVERSATION = "bench"
PROBE = " ".join(f"Item {i} of the list costs {i * 37 % 101} coins." for i in range(20))
OPTIONS = GenerationOptions(max_tokens=8, temperature=0.0, first_token_deadline=600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Seconds to the first token of the same turn; what was kept for it, and how long that took to move."""

    cold: float
    restored: float
    stayed: float
    tokens: int
    cached: int
    size: int
    saving: float
    restoring: float


async def print_returning(profile: ModelProfile, plan: LoadPlan, *, tokens: Sequence[int], rounds: int) -> None:
    """Print a row of medians for conversations of so many tokens."""
    print("coming back to a conversation, seconds to the first token:")
    print("  tokens   cold  restored  stayed  restored/cold  cached    saved in  restored in  on disk")
    for wanted in tokens:
        fitting = replace(plan, context=max(plan.context, wanted * 5 // 4))
        with tempfile.TemporaryDirectory() as home:
            backend = _backend(Path(home), profile)
            try:
                done = [await _round(backend, profile, fitting, wanted) for _ in range(rounds)]
            finally:
                await backend.close()
        print(_row(done))


def _row(done: Sequence[Round]) -> str:
    def middle(seconds: Callable[[Round], float]) -> float:
        return statistics.median(seconds(each) for each in done)

    cold, restored, stayed = middle(lambda r: r.cold), middle(lambda r: r.restored), middle(lambda r: r.stayed)
    saving, restoring = 1000 * middle(lambda r: r.saving), 1000 * middle(lambda r: r.restoring)
    first = f"{cold:6.2f} {restored:9.3f} {stayed:7.3f}        x {restored / cold:.3f}"
    moved = f"{saving:7.0f} ms {restoring:8.0f} ms  {size_text(done[-1].size)}"
    return f"  {done[-1].tokens:6} {first} {done[-1].cached:7} {moved} (aim: x 0.1)"


def _backend(home: Path, profile: ModelProfile) -> EmbeddedBackend:
    return EmbeddedBackend(
        BackendContext(
            name=profile.backend,
            options={"scan_other_tools": False, "saved_states": 8 * 2**30},
            data_dir=home / "data",
            cache_dir=home / "cache",
            state_dir=home / "state",
        )
    )


async def _round(backend: EmbeddedBackend, profile: ModelProfile, plan: LoadPlan, tokens: int) -> Round:
    instance = (await backend.load(profile, plan)).instance
    (size,) = await backend.count_tokens(instance, [PROBE])
    asked = [Message(role=Role.USER, content=PROBE * (tokens // size) + " Which is the cheapest?")]
    answer, _, usage = await _ask(backend, instance, asked)
    saving, written = await _timed_save(backend, instance)
    turn = [*asked, Message(role=Role.ASSISTANT, content=answer), Message(role=Role.USER, content="And the dearest?")]
    _, stayed, _ = await _ask(backend, instance, turn)
    await backend.unload(instance)
    instance = (await backend.load(profile, plan)).instance
    _, cold, _ = await _ask(backend, instance, turn)
    await backend.unload(instance)
    instance = (await backend.load(profile, plan)).instance
    began = time.perf_counter()
    await backend.restore_state(instance, CONVERSATION)
    restoring = time.perf_counter() - began
    _, first, last = await _ask(backend, instance, turn)
    await backend.unload(instance)
    await backend.forget_state(CONVERSATION)
    return Round(
        cold=cold,
        restored=restoring + first,
        stayed=stayed,
        tokens=usage.prompt_tokens + usage.completion_tokens,
        cached=last.cached_tokens,
        size=written,
        saving=saving,
        restoring=restoring,
    )


async def _timed_save(backend: EmbeddedBackend, instance: str) -> tuple[float, int]:
    began = time.perf_counter()
    size = await backend.save_state(instance, CONVERSATION)
    return time.perf_counter() - began, size


async def _ask(backend: EmbeddedBackend, instance: str, messages: Sequence[Message]) -> tuple[str, float, Usage]:
    """The answer, the seconds to its first piece, and what it took."""
    began, first, text, usage = time.perf_counter(), 0.0, "", Usage()
    async for event in backend.generate(instance, messages, OPTIONS):
        if isinstance(event, TextDelta):
            first = first or time.perf_counter() - began
            text += event.text
        elif isinstance(event, ReplyEnd):
            usage = event.usage
    return text, first, usage


def main() -> None:
    """Print the table for one file."""
    file = Path(sys.argv[1]).resolve()
    profile = ModelProfile(key=file.stem.lower(), backend="bench", location=str(file), size_bytes=file.stat().st_size)
    tokens = [int(argument) for argument in sys.argv[2:]] or [1500]
    asyncio.run(print_returning(profile, LoadPlan(context=2048), tokens=tokens, rounds=3 if len(tokens) == 1 else 1))


if __name__ == "__main__":
    main()
