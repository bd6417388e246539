"""First token and tokens a second through all of Mai, beside the bare engine in one process, turn by turn; then what a
conversation costs whose model left and comes back.

    python -m mai_backends.embedded.bench [FILE.gguf] [ROUNDS]

Without a file the starter model is used, and fetched first when it is not there.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mai_backends.embedded.bench_returning import print_returning
from mai_core import AsyncMai, Paths
from mai_core.policy.messages import TextDelta
from mai_core.policy.models import LoadedModel
from mai_core.settings.layers import load_settings

__all__ = ["main"]

TOKENS = 96
RETURNING = 1500
QUESTION = "This is question number {}. Tell me in some detail what a lighthouse is for."


@dataclass(slots=True)
class Run:
    """Seconds to the first piece of text, and pieces a second after it."""

    first: float
    rate: float


def timed(started: float, times: list[float]) -> Run:
    """A run from the moments at which its pieces came."""
    return Run(times[0] - started, (len(times) - 1) / (times[-1] - times[0]))


def bare_engine(path: str, like: LoadedModel) -> Callable[[list[dict[str, str]]], Run]:
    """The engine in this process with the parameters Mai gave its worker, asked without HTTP."""
    import xllamacpp

    from mai_backends.embedded.worker import parameters

    config = {
        "model": path,
        "context": like.plan.context,
        "batch": like.plan.batch,
        "threads": like.plan.threads,
        "batch_threads": len(os.sched_getaffinity(0)),
        "gpu_layers": like.plan.gpu_layers or 0,
        "kv_type": like.plan.kv_type,
        "api_key": "bench",
    }
    server = xllamacpp.Server(parameters(xllamacpp, config))

    def ask(messages: list[dict[str, str]]) -> Run:
        times: list[float] = []

        def heard(chunk: Any) -> bool:
            data = chunk if isinstance(chunk, dict) else json.loads(chunk)
            if data.get("choices") and data["choices"][0].get("delta", {}).get("content"):
                times.append(time.perf_counter())
            return False

        started = time.perf_counter()
        request = {"messages": messages, "stream": True, "temperature": 0.0, "max_tokens": TOKENS, "top_p": 0.95}
        server.handle_chat_completions(request, heard)
        return timed(started, times)

    return ask


async def through_mai(mai: AsyncMai, text: str) -> Run:
    """One turn with everything a turn does: storing, deciding, fitting, streaming."""
    await mai.new_conversation()
    started = time.perf_counter()
    times = [time.perf_counter() async for event in mai.stream(text) if isinstance(event, TextDelta)]
    return timed(started, times)


async def compare(file: Path | None, rounds: int) -> None:
    """Alternate between Mai and the bare engine and print the medians."""
    overrides = [f"generation.max_tokens={TOKENS}", "generation.temperature=0.0"]
    with tempfile.TemporaryDirectory() as home:
        paths = Paths.of(os.environ if file is None else {"MAI_HOME": home})
        if file is not None:
            overrides.append(f"backends.embedded.models_dirs=[{json.dumps(str(file.parent))}]")
            overrides.append("backends.embedded.scan_other_tools=false")
        loaded = load_settings(paths, {}, overrides)
        async with await AsyncMai.open(loaded, paths=paths) as mai:
            if file is not None:
                own = [r.model for r in await mai.models() if Path(r.best.profile.location).name == file.name]
                await mai.switch(own[0], here_only=True)
            await mai.process_message("Hello.")
            status = await mai.get_status()
            like = status.loaded[0]
            profile = next(p for r in await mai.models() if (p := r.best.profile).key == like.key)
            ask = bare_engine(profile.location, like)
            system = mai.loaded.settings.context.system_prompt
            ask([{"role": "user", "content": "Hello."}])
            with_mai, bare = [], []
            for number in range(rounds):
                text = QUESTION.format(number)
                with_mai.append(await through_mai(mai, text))
                messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
                bare.append(await asyncio.to_thread(ask, messages))
    first = [statistics.median(r.first for r in runs) for runs in (with_mai, bare)]
    rate = [statistics.median(r.rate for r in runs) for runs in (with_mai, bare)]
    print(f"{like.key}, {like.plan.threads} threads, {rounds} rounds in turn, medians")
    print(f"first token: Mai {1000 * first[0]:.1f} ms, bare {1000 * first[1]:.1f} ms, ", end="")
    print(f"+{1000 * (first[0] - first[1]):.1f} ms (aim: +5 ms)")
    print(f"tokens a second: Mai {rate[0]:.1f}, bare {rate[1]:.1f}, x {rate[0] / rate[1]:.3f} (aim: x 0.98)")
    await print_returning(profile, replace(like.plan, threads=0), tokens=[RETURNING], rounds=3)


def main() -> None:
    """Print one comparison."""
    file = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
    asyncio.run(compare(file, int(sys.argv[2]) if len(sys.argv) > 2 else 15))


if __name__ == "__main__":
    main()
