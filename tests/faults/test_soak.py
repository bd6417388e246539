"""A thousand turns in which everything goes wrong that can: all of it is survived, and nothing grows."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import time
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from mai_core import AsyncMai
from mai_core.errors import GenerationError, MaiError, ModelLoadError, OutOfMemory
from mai_core.policy.messages import Role, TextDelta
from mai_core.runtime import leaving
from mai_core.runtime.turn import Retracted, TurnEnd
from mai_core.settings.model import GenerationSettings, MemorySettings, MonitorSettings
from mai_core.testing.backend import FakeBackend, FakeModel
from mai_core.testing.machine import FakeMachine
from tests.core.runtime.worlds import model, running

TURNS, EARLY = 1000, 200
TURNS_A_CONVERSATION = 40
SEED = 1
GIB = 2**30
DEADLINE = 0.05
LONGEST_TURN = 30.0
MORE_MEMORY = 24 * 2**20
"""What the process may grow by in 800 turns: 30 KiB a turn would be a leak, caches that fill up to their bounds not."""

FAULTS = (
    *("load", "memory", "crash", "silence", "fails", "loop", "empty"),
    *("gone", "idle crash", "taken", "clock"),
    *("pin", "unpin", "prepare"),
)

LOOP = "And so it goes, on and on and on, as it always went before. " * 12


@dataclass(slots=True)
class Turn:
    """A turn as the person saw it. ``left`` when they did not stay until its end."""

    conversation: str
    question: str
    shown: str = ""
    answered: bool = False
    left: bool = False
    error: MaiError | None = None
    seconds: float = 0.0


@dataclass(slots=True)
class Extent:
    """What must not grow."""

    memory: int
    tasks: int
    threads: int
    files: int
    open_files: int

    @classmethod
    def now(cls, home: Path) -> Extent:
        gc.collect()
        process = psutil.Process()
        return cls(
            memory=process.memory_info().rss,
            tasks=len(asyncio.all_tasks()),
            threads=process.num_threads(),
            files=sum(path.is_file() for path in home.rglob("*")),
            open_files=process.num_fds(),
        )


@dataclass(slots=True)
class World:
    """Two engines on one machine, and everything that befalls them between and in turns."""

    mai: AsyncMai
    engines: tuple[FakeBackend, FakeBackend]
    machine: FakeMachine
    draw: random.Random
    planted: Counter[str] = field(default_factory=Counter)
    wall: float = 0.0
    """Seconds by which the wall clock is off."""

    def script(self) -> FakeModel:
        engine = self.draw.choice(self.engines)
        return self.draw.choice(list(engine._models.values()))

    def heal(self) -> None:
        """Faults last for a few turns."""
        if self.draw.random() < 0.4:
            for engine in self.engines:
                engine.available = True
                for script in engine._models.values():
                    script.crash_at = script.silent_at = None
                    script.failures.clear()
                    script.load_failures.clear()
                    script.reply = answer
        if self.draw.random() < 0.2:
            self.machine.others = 0

    async def befall(self) -> None:
        """One or two things go wrong, or nothing."""
        for _ in range(self.draw.choice([0, 1, 1, 2])):
            script = self.script()
            what = self.draw.choice(FAULTS)
            self.planted[what] += 1
            match what:
                case "load":
                    script.load_failures.append(ModelLoadError("planted"))
                case "memory":
                    script.load_failures.append(OutOfMemory("planted"))
                case "crash":
                    script.crash_at = self.draw.randrange(8)
                case "silence":
                    script.silent_at = self.draw.randrange(8)
                case "fails":
                    script.failures[self.draw.randrange(8)] = GenerationError("planted")
                case "gone":
                    self.draw.choice(self.engines).available = False
                case "idle crash":
                    engine = self.draw.choice(self.engines)
                    for instance in tuple(engine._instances):
                        engine.crash(instance)
                case "taken":
                    self.machine.others = self.draw.choice([4, 8, 12, 15]) * GIB
                case "clock":
                    self.wall += self.draw.choice([-7200.0, -60.0, 30.0, 600.0, 7200.0])
                case "loop":
                    script.reply = LOOP
                case "empty":
                    script.reply = ""
                case "pin":
                    await self.mai.switch(script.profile.key)
                case "unpin":
                    await self.mai.switch(None)
                case "prepare":
                    await self.mai.prepare("And then")


def answer(messages: object) -> str:
    return "It is so, as far as anybody here can tell, and no further than that."


async def take(world: World, turn: Turn) -> None:
    """One turn, which some people do not wait for."""
    stay = world.draw.random() > 0.1
    patience = world.draw.randrange(6)
    began = time.monotonic()
    try:
        async with aclosing(world.mai.stream(turn.question, conversation=turn.conversation)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    turn.shown += event.text
                    patience -= 1
                elif isinstance(event, Retracted):
                    turn.shown = turn.shown[: -event.characters]
                elif isinstance(event, TurnEnd):
                    turn.answered = True
                    assert event.reply.text == turn.shown
                if not stay and patience < 0 and not turn.answered:
                    turn.left = True
                    break
    except MaiError as error:
        turn.error = error
    turn.seconds = time.monotonic() - began


@pytest.mark.timeout(300)
async def test_a_thousand_turns(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.CRITICAL, "mai")  # what pytest keeps of the log would be seen to grow
    monkeypatch.setattr(leaving, "RETURN_SECONDS", 0.0)
    draw, real = random.Random(SEED), time.time
    machine = FakeMachine(total=16 * GIB)
    models = [model("large", 0.8, size_bytes=6 * GIB), model("medium", 0.6, size_bytes=3 * GIB), model("small", 0.3)]
    more = [model("other", 0.7, size_bytes=4 * GIB), model("tiny", 0.2)]
    turns: list[Turn] = []
    worlds: list[World] = []
    monkeypatch.setattr(time, "time", lambda: real() + (worlds[0].wall if worlds else 0.0))
    sections = {
        "generation": GenerationSettings(first_token_deadline=DEADLINE, token_deadline=DEADLINE),
        "memory": MemorySettings(idle_seconds=2.0),
        "monitor": MonitorSettings(interval_seconds=0.1),
    }
    began = time.monotonic()
    others = {"second": {"models": more, "machine": machine}}
    async with running(tmp_path, *models, machine=machine, others=others, **sections) as (mai, backend, _):
        second = mai._parts.backends["second"]
        assert isinstance(second, FakeBackend)
        world = World(mai, (backend, second), machine, draw)
        worlds.append(world)
        extents: list[Extent] = []
        conversations: list[str] = []
        while len(turns) < TURNS:
            if len(turns) % TURNS_A_CONVERSATION == 0:
                conversations.append(await mai.new_conversation())
            world.heal()
            await world.befall()
            # Now and then two people speak at once, in two conversations.
            places = conversations[-2:] if draw.random() < 0.1 else conversations[-1:]
            both = [Turn(place, f"Question {len(turns) + i}?") for i, place in enumerate(places)]
            turns += both
            await asyncio.gather(*(take(world, turn) for turn in both))
            if (len(turns) >= EARLY and not extents) or len(turns) >= TURNS:
                await asyncio.sleep(0.5)
                extents.append(Extent.now(tmp_path))
        for place in conversations:
            kept = [(m.role, m.content) for m in (await mai.get_conversation_history(place)).messages]
            assert kept == [
                said
                for turn in turns
                if turn.conversation == place
                for said in ((Role.USER, turn.question), (Role.ASSISTANT, turn.shown))
                if said != (Role.ASSISTANT, "")
            ], "whole and in order"
    seconds = time.monotonic() - began
    early, late = extents[0], extents[-1]
    errors = Counter(type(turn.error).__name__ for turn in turns if turn.error)
    with capsys.disabled():
        answered = sum(turn.answered for turn in turns)
        print(
            f"\n{len(turns)} turns in {seconds:.0f} s: {answered} answered, {sum(t.left for t in turns)} left,", end=" "
        )
        print(f"{sum(errors.values())} errors {dict(errors)}; faults {dict(world.planted)}")
        print(f"after {EARLY} turns {early}, after {TURNS} {late}")
    assert machine.taken == {}, "nothing is left in memory"
    assert all(turn.answered or turn.left or turn.error for turn in turns)
    assert all(turn.error is None or turn.error.message for turn in turns)
    assert sum(turn.answered for turn in turns) > 0.75 * TURNS, "most faults are nobody's concern"
    assert max(turn.seconds for turn in turns) < LONGEST_TURN
    assert late.memory - early.memory < MORE_MEMORY
    assert late.tasks <= early.tasks + 2
    assert late.threads <= early.threads + 2
    assert late.files <= early.files + 2
    assert late.open_files <= early.open_files + 4
