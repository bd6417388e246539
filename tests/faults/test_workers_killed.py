"""Engines are killed at random moments of many turns: every turn is answered, nothing is lost, nothing is left over.

``MAI_TEST_KILLS`` is how many turns are struck (6 if it does not say), ``MAI_TEST_SEED`` which moments.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from mai_core import AsyncMai, Paths
from mai_core.errors import MaiError
from mai_core.policy.messages import Role, TextDelta
from mai_core.runtime.turn import FellBack, Retracted, TurnEnd
from mai_core.settings.layers import load_settings

KILLS = int(os.environ.get("MAI_TEST_KILLS", "6"))
SEED = int(os.environ.get("MAI_TEST_SEED", "1"))
SECOND_KILL = 0.3
"""Share of the turns in which another engine is killed, too."""

pytestmark = [pytest.mark.weights, pytest.mark.timeout(120 + 30 * KILLS)]


@dataclass(slots=True)
class Turn:
    """A turn as the person saw it; ``struck`` says what the engines that were killed were doing."""

    question: str
    shown: str = ""
    model: str = ""
    error: MaiError | None = None
    struck: list[str] = field(default_factory=list)
    fell: int = 0
    seconds: float = 0.0


@pytest.fixture
def weights(tmp_path: Path, starter_gguf: Path, second_gguf: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    for file in (starter_gguf, second_gguf):
        (folder / file.name).symlink_to(file)
    return folder


def workers() -> Iterator[psutil.Process]:
    """The engines that this process has running."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE and any(part.endswith("worker.py") for part in child.cmdline()):
                yield child


class Killer:
    """Kills an engine some seconds after a turn began, as soon as there is one."""

    def __init__(self, turn: Turn, draw: random.Random, usual: float) -> None:
        self._turn = turn
        self._moments = [draw.uniform(0.0, usual)]
        if draw.random() < SECOND_KILL:
            self._moments.append(draw.uniform(0.0, usual))
        self._draw = draw

    async def strike(self) -> None:
        for moment in self._moments:
            await asyncio.sleep(moment)
            while not (there := list(workers())):
                await asyncio.sleep(0.01)
            victim = self._draw.choice(there)
            doing = "answering" if self._turn.shown else "loading or reading"
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim.pid, signal.SIGKILL)
                self._turn.struck.append(doing)


async def take(mai: AsyncMai, turn: Turn) -> None:
    began = time.monotonic()
    try:
        async for event in mai.stream(turn.question):
            if isinstance(event, TextDelta):
                turn.shown += event.text
            elif isinstance(event, Retracted):
                turn.shown = turn.shown[: -event.characters]
            elif isinstance(event, FellBack):
                turn.fell += 1
            elif isinstance(event, TurnEnd):
                turn.model = event.reply.message.model
                assert event.reply.text == turn.shown
    except MaiError as error:
        turn.error = error
    turn.seconds = time.monotonic() - began


async def test_every_turn_is_answered_and_nothing_is_left_over(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(SEED)
    paths = Paths.of({"MAI_HOME": str(tmp_path / "home")})
    overrides = [
        f'backends.embedded.models_dirs=["{weights}"]',
        "backends.embedded.scan_other_tools=false",
        "backends.embedded.threads=1",
        *(f"backends.{name}.enabled=false" for name in ("lmstudio", "ollama", "llama-server", "vllm", "sglang")),
        "generation.max_tokens=12",
        "generation.temperature=0.0",
        "context.window=2048",
    ]
    turns: list[Turn] = []
    async with await AsyncMai.open(load_settings(paths, {}, overrides), paths=paths, environment={}) as mai:
        models = [row.model for row in await mai.models() if row.best.profile.installed]
        assert len(models) == 2
        warm = Turn("Name a colour.")
        await take(mai, warm)
        usual = warm.seconds
        turns.append(warm)
        for number in range(KILLS):
            # Whoever asks for a model by name forgives it: this is about every kill alone, not about the breaker.
            for model in models:
                await mai.switch(model, here_only=True)
            await mai.switch(draw.choice([*models, None]), here_only=True)
            if number % 10 == 9:
                await mai.new_conversation()
            turn = Turn(f"Number {number}: name another one.")
            turns.append(turn)
            killer = asyncio.create_task(Killer(turn, draw, usual).strike())
            await take(mai, turn)
            killer.cancel()
            await asyncio.gather(killer, return_exceptions=True)
        conversations = [info.id for info in mai.store.conversations()]
        kept = [m for name in reversed(conversations) for m in mai.store.conversation(name).messages]
        engines = [m.pid for m in (await mai.get_status()).loaded]
        assert sorted(worker.pid for worker in workers()) == sorted(pid for pid in engines if pid), "none in excess"
    assert list(workers()) == [], "nothing is orphaned"

    expected = [
        said
        for turn in turns
        for said in ((Role.USER, turn.question), (Role.ASSISTANT, turn.shown))
        if said != (Role.ASSISTANT, "")
    ]
    assert [(m.role, m.content) for m in kept] == expected, "whole and in order"
    assert [turn for turn in turns if turn.error is None and not turn.model] == []
    struck = Counter(doing for turn in turns for doing in turn.struck)
    errors = [f"{type(turn.error).__name__}: {turn.error}" for turn in turns if turn.error is not None]
    with capsys.disabled():
        print(
            f"\n{sum(struck.values())} kills in {KILLS} turns, {dict(struck)}: {len(turns) - len(errors)} of "
            f"{len(turns)} answered, {sum(turn.fell for turn in turns)} times another or the same model went on, "
            f"longest turn {max(turn.seconds for turn in turns):.1f} s; {errors}"
        )
    assert sum(struck.values()) >= KILLS // 2, "most moments were in the middle of something"
    assert errors == [], "a kill or two leave another model, or the same one again, to answer"
