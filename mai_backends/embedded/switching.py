"""Seconds to the first token after a switch, to the next token after a crash, and what stability spares.

    python -m mai_backends.embedded.switching [ONE.gguf OTHER.gguf] [--rounds N]

Without files it takes the two smallest models that are installed. Everything goes through all of Mai, in a home of its
own that is removed afterwards. Weights are in the page cache throughout, as they are for whoever switches to and fro.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from mai_backends.embedded.backend import EmbeddedBackend
from mai_core import AsyncMai, Paths
from mai_core.bench.steadiness import report as report_steadiness
from mai_core.policy.messages import Message, Role, TextDelta
from mai_core.runtime.turn import FellBack, TurnEnd
from mai_core.settings.layers import load_settings

__all__ = ["main"]

EXCHANGES = 12
"""Questions and answers of the conversation that is switched: 1,500 tokens together."""

TOKENS = 24
CRASH_AT = 8
PREPARING_SECONDS = 180.0
PRELOADED_AIM = 1.1
RESTORED_AIM = 0.1


@dataclass(slots=True)
class Runs:
    """Seconds to the first token, and the tokens of the prompt that were read for it, round by round."""

    seconds: list[float] = field(default_factory=list)
    read: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Figures:
    """Switches to one model. ``tokens`` are those of the longest prompt."""

    tokens: int = 0
    cold: Runs = field(default_factory=Runs)
    none: Runs = field(default_factory=Runs)
    preloaded: Runs = field(default_factory=Runs)
    returned: Runs = field(default_factory=Runs)
    restored: Runs = field(default_factory=Runs)
    crashed_short: list[float] = field(default_factory=list)
    crashed: list[float] = field(default_factory=list)


class Bench:
    """Switches from one model to the other. Every conversation is new to both, and differs from its first word on."""

    def __init__(self, mai: AsyncMai, away: str, to: str) -> None:
        self._mai = mai
        self._away = away
        self._to = to
        self._number = 0
        self.figures = Figures()

    async def round(self) -> None:
        """Each way to come to the model once."""
        figures = self.figures
        await self._begin()
        await self._leave()
        await self._switched(figures.cold)
        await self._ask(figures.none)
        await self._leave()
        await self._switched(figures.restored)
        await self._leave()
        self._answered_by_the_other()
        await self._switched(figures.returned)
        await self._begin()
        await self._leave()
        await self._preloaded(figures.preloaded)
        figures.crashed.append(await self._crashed())
        await self._mai.new_conversation()
        figures.crashed_short.append(await self._crashed())

    async def _begin(self) -> None:
        """A conversation with the model that is switched away from."""
        conversation = await self._mai.new_conversation()
        self._number += 1
        for message in talk(f"{self._to} {self._number}", answered_by=self._away):
            self._mai.store.append(conversation, message)

    def _answered_by_the_other(self) -> None:
        """A turn of the model that is switched away from, which this one has to read."""
        assert self._mai.conversation is not None
        question = Message(role=Role.USER, content=self._question())
        answer = Message(role=Role.ASSISTANT, content="For ships, which see from afar where they are.")
        for message in (question, replace(answer, model=self._away)):
            self._mai.store.append(self._mai.conversation, message)

    async def _leave(self) -> None:
        """Let the model go as eviction does."""
        await self._mai._parts.pool.unload(self._to)

    async def _switched(self, runs: Runs) -> None:
        await self._mai.switch(self._to, here_only=True)
        await self._ask(runs)

    async def _preloaded(self, runs: Runs) -> None:
        await self._mai.switch(self._to, here_only=True)
        question = self._question()
        await self._mai.prepare(question)
        for beginning in (True, False):
            async with asyncio.timeout(PREPARING_SECONDS):
                # Nothing tells when a preparation begins and ends.
                while (self._mai.manager.preparing is None) is beginning:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        await self._ask(runs, question)

    async def _ask(self, runs: Runs, question: str = "") -> None:
        reply = await self._mai.process_message(question or self._question())
        runs.seconds.append(reply.first_token_seconds)
        runs.read.append(reply.usage.prompt_tokens - reply.usage.cached_tokens)
        self.figures.tokens = max(self.figures.tokens, reply.usage.prompt_tokens)
        # What is done after a turn is not to be measured with the next one.
        await asyncio.sleep(0.3)

    async def _crashed(self) -> float:
        """Seconds from the death of the worker to the next token of the answer it was writing."""
        pieces, killed, next_token = 0, 0.0, 0.0
        fell = False
        async with aclosing(self._mai.stream(self._question())) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    pieces += 1
                    if pieces == CRASH_AT:
                        status = await self._mai.get_status()
                        pid = next(m.pid for m in status.loaded if m.key == self._to and m.pid)
                        killed = time.perf_counter()
                        os.kill(pid, signal.SIGKILL)
                    elif fell and not next_token:
                        next_token = time.perf_counter()
                fell = fell or isinstance(event, FellBack)
                if isinstance(event, TurnEnd) and not next_token:
                    raise RuntimeError("the answer was over before the worker could be killed: choose other models")
        return next_token - killed

    def _question(self) -> str:
        self._number += 1
        return f"Question {self._number:03}: tell me in some detail what a lighthouse is for and who works there."


def talk(subject: str, *, answered_by: str) -> list[Message]:
    """A conversation in which each message differs from those of every other subject."""
    messages = []
    for n in range(EXCHANGES):
        messages.append(Message(role=Role.USER, content=f"About {subject}, list {n}: what do the things on it cost?"))
        items = " ".join(f"Item {i} of list {n} costs {(i * 37 + n * 11) % 101} coins." for i in range(6))
        messages.append(Message(role=Role.ASSISTANT, content=f"On list {n}: {items}", model=answered_by))
    return messages


@asynccontextmanager
async def opened(files: Sequence[Path], threads: int) -> AsyncIterator[AsyncMai]:
    """A Mai in a home of its own that offers these files' folders and asks no other engine."""
    folders = sorted({str(file.parent) for file in files})
    overrides = [
        f"backends.embedded.models_dirs={json.dumps(folders)}",
        "backends.embedded.scan_other_tools=false",
        f"backends.embedded.threads={threads}",
        *(f"backends.{name}.enabled=false" for name in ("lmstudio", "ollama", "llama-server", "vllm", "sglang")),
        f"generation.max_tokens={TOKENS}",
        "generation.temperature=0.0",
    ]
    with tempfile.TemporaryDirectory() as home:
        paths = Paths.of({"MAI_HOME": home})
        async with await AsyncMai.open(load_settings(paths, {}, overrides), paths=paths, environment={}) as mai:
            yield mai


async def installed() -> tuple[Path, Path]:
    """The two smallest models this person has for the embedded engine."""
    async with await AsyncMai.open() as mai:
        rows = [row.best.profile for row in await mai.models()]
        own = [p for p in rows if p.installed and isinstance(mai._parts.backends.get(p.backend), EmbeddedBackend)]
    if len(own) < 2:
        raise SystemExit("two models are needed: give two files, or fetch another (mai models --all lists some)")
    one, other = sorted(own, key=lambda profile: profile.size_bytes)[:2]
    return Path(one.location), Path(other.location)


async def measure(files: Sequence[Path], rounds: int, threads: int) -> None:
    """Print the switches in both directions."""
    async with opened(files, threads) as mai:
        offered = {row.best.profile.location: row.model for row in await mai.models() if row.best.profile.installed}
        one, other = (next(key for place, key in offered.items() if file.samefile(place)) for file in files)
        for key in (one, other):  # its checksum is told once
            await mai.switch(key, here_only=True)
            await mai.process_message("Hello.")
        for away, to in ((other, one), (one, other)):
            bench = Bench(mai, away, to)
            for _ in range(rounds):
                await bench.round()
            show(to, bench.figures, threads)


def show(to: str, figures: Figures, threads: int) -> None:
    """One table: seconds and what they are beside no switch and beside a cold one."""
    none, cold = (statistics.median(runs.seconds) for runs in (figures.none, figures.cold))
    print(f"\nswitch to {to}, {threads} threads, up to {figures.tokens} tokens of prompt, ", end="")
    print(f"medians of {len(figures.cold.seconds)} rounds")
    print(f"{'first token after':44} {'read':>6} {'seconds':>8} {'x none':>7} {'x cold':>7}  aim")
    for told, runs, aim in (
        ("no switch", figures.none, ""),
        ("preloaded: loaded and read while typing", figures.preloaded, f"x {PRELOADED_AIM:g} of none"),
        ("restored: left memory, came back", figures.restored, f"x {RESTORED_AIM:g} of cold"),
        ("returned: restored, and a turn of the other", figures.returned, ""),
        ("cold: never saw the conversation", figures.cold, ""),
    ):
        median, read = statistics.median(runs.seconds), statistics.median(runs.read)
        print(f"{told:44} {read:6.0f} {median:8.3f} {median / none:7.2f} {median / cold:7.3f}  {aim}")
    print("killed in mid-answer, seconds to the next token: ", end="")
    print(f"{statistics.median(figures.crashed_short):.2f} in a short conversation, ", end="")
    print(f"{statistics.median(figures.crashed):.2f} in this one")


def main() -> None:
    """Print everything once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.gguf")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=max(1, len(os.sched_getaffinity(0)) - 1), help="of every load")
    arguments = parser.parse_args()
    if len(arguments.files) not in (0, 2):
        parser.error("two files, or none")
    asyncio.run(measure(arguments.files or asyncio.run(installed()), arguments.rounds, arguments.threads))
    print()
    report_steadiness()


if __name__ == "__main__":
    main()
