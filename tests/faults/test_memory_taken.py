"""Memory is taken away while the real engine answers, and given back: down at once, up after calm, no word lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

from mai_backends.embedded import plugin as embedded
from mai_core import AsyncMai, Paths, PluginRegistry, hookimpl
from mai_core.plugin.interfaces import ProbeContext
from mai_core.policy.messages import Message, Role, TextDelta
from mai_core.policy.resources import Cpu, HostReading, MemoryPool, PoolKind, Pressure
from mai_core.policy.selection import Proposal, SelectionRequest
from mai_core.runtime.evicting import NoRoom
from mai_core.runtime.turn import FellBack, Retracted, TurnEnd, TurnEvent
from mai_core.settings.layers import LoadedSettings
from mai_core.settings.model import (
    BackendSettings,
    ContextSettings,
    GenerationSettings,
    MonitorSettings,
    ProbeSettings,
    SelectionSettings,
    Settings,
    StabilitySettings,
)
from mai_strategies.transfers import plugin as transfers

pytestmark = pytest.mark.weights

MIB = 2**20
TOTAL = 2048 * MIB
TAKEN = 1450 * MIB
CALM_SECONDS = 3.0


class Neighbour:
    """Another program on a small machine, and the sensor that sees it.

    What this test's own workers really have is measured, and so is whether their weights would still stay in memory.
    """

    def __init__(self) -> None:
        self.holds = 0

    def reading(self) -> HostReading:
        private, mapped = 0, 0
        for worker in workers():
            memory = worker.memory_info()
            private, mapped = private + memory.rss - memory.shared, mapped + memory.shared
        available = max(0, TOTAL - self.holds - private)
        starved = mapped > available
        return HostReading(
            pools=(MemoryPool("ram", PoolKind.RAM, TOTAL, available),),
            cpu=Cpu(2),
            pressure=Pressure(memory_full=0.5 if starved else 0.0),
        )


class Sensor:
    """A probe of somebody else's."""

    kind: ClassVar[str] = "neighbour"

    def __init__(self, context: ProbeContext) -> None:
        self.name = context.name
        self._neighbour: Neighbour = context.options["neighbour"]

    def sample(self) -> HostReading:
        try:
            return self._neighbour.reading()
        except psutil.NoSuchProcess:  # a worker ended meanwhile: the next reading is right
            return self._neighbour.reading()


class LargestFirst:
    """A strategy of somebody else's: whatever fits, the larger the better."""

    name: ClassVar[str] = "largest-first"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        return [
            Proposal(c.key, c.footprint.file_backed / (c.footprint.file_backed + 2**28)) for c in request.candidates
        ]


class Plugin:
    @hookimpl
    def mai_register_probes(self) -> Sequence[type[Any]]:
        return [Sensor]

    @hookimpl
    def mai_register_strategies(self) -> Sequence[type[Any]]:
        return [LargestFirst]


def workers() -> list[psutil.Process]:
    """The engines this process has running."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if child.status() != psutil.STATUS_ZOMBIE and any(part.endswith("worker.py") for part in child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


@asynccontextmanager
async def chatting(home: Path, weights: Path, neighbour: Neighbour) -> AsyncIterator[AsyncMai]:
    """All of Mai, on this neighbour's machine."""
    settings = Settings(
        backends={
            "embedded": BackendSettings(type="embedded", models_dirs=[str(weights)], scan_other_tools=False, threads=1)  # type: ignore[call-arg]
        },
        probes={"neighbour": ProbeSettings(type="neighbour", neighbour=neighbour)},  # type: ignore[call-arg]
        selection=SelectionSettings(strategies=("largest-first",), options={}),
        stability=StabilitySettings(up_after_seconds=CALM_SECONDS, seconds_value=0.0),
        context=ContextSettings(window=2048),
        generation=GenerationSettings(temperature=0.0, seed=1, max_tokens=24),
        monitor=MonitorSettings(interval_seconds=0.1),
    )
    mai = await AsyncMai.open(
        LoadedSettings(settings),
        paths=Paths.of({"MAI_HOME": str(home)}),
        environment={},
        registry=PluginRegistry.of(embedded, transfers, Plugin()),
    )
    async with mai:
        yield mai


class Heard:
    """What a person saw of one turn."""

    def __init__(self) -> None:
        self.events: list[TurnEvent] = []
        self.text = ""

    def take(self, event: TurnEvent) -> None:
        self.events.append(event)
        if isinstance(event, TextDelta):
            self.text += event.text
        elif isinstance(event, Retracted):
            self.text = self.text[: -event.characters]

    @property
    def answer(self) -> Message:
        assert isinstance(self.events[-1], TurnEnd)
        return self.events[-1].reply.message


async def test_down_without_a_lost_word_and_up_after_calm(
    tmp_path: Path, starter_gguf: Path, second_gguf: Path
) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    for file in (starter_gguf, second_gguf):
        (folder / file.name).symlink_to(file)
    neighbour, turns = Neighbour(), []
    async with chatting(tmp_path / "home", folder, neighbour) as mai:
        profiles = [row.best.profile for row in await mai.models() if row.best.profile.installed]
        small, large = (profile.key for profile in sorted(profiles, key=lambda profile: profile.size_bytes))

        async def turn(question: str, *, taken_at: int = 0) -> Heard:
            heard, pieces = Heard(), 0
            async for event in mai.stream(question):
                heard.take(event)
                pieces += isinstance(event, TextDelta)
                if taken_at and pieces == taken_at:
                    neighbour.holds = TAKEN
            turns.append((question, heard))
            return heard

        first = await turn("Name four colours.", taken_at=4)
        assert any(isinstance(e, TextDelta) for e in first.events)
        assert first.answer.content == first.text

        second = await turn("And four animals?")
        assert second.answer.model == small, "down at once"
        assert not any(isinstance(e, FellBack) for e in second.events), "nobody had to fail first"
        status = await mai.get_status()
        assert [m.key for m in status.loaded] == [small], "the large one has left"
        assert len(workers()) == 1

        neighbour.holds = TOTAL
        await mai.get_status()
        neighbour.holds = 0
        third = await turn("And four rivers?")
        assert third.answer.model == small, "not before memory was calm"
        await asyncio.sleep(CALM_SECONDS)
        fourth = await turn("And four cities?")
        assert fourth.answer.model == large, "up after calm"

        history = (await mai.get_conversation_history()).messages
        assert [(m.role, m.content) for m in history] == [
            said for asked, heard in turns for said in ((Role.USER, asked), (Role.ASSISTANT, heard.text))
        ]
        assert all(heard.text.strip() for _, heard in turns)
        assert history[1].model == large, "what was begun is brought to its end"
    assert workers() == []


@pytest.mark.parametrize("left", [TOTAL - TAKEN, 150 * MIB])
async def test_what_was_taken_since_an_engine_began_is_not_taken_by_who_goes_on(
    tmp_path: Path, starter_gguf: Path, second_gguf: Path, left: int
) -> None:
    """The engine is killed in mid-answer, and meanwhile there is room for the small model only, or for none."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for file in (starter_gguf, second_gguf):
        (folder / file.name).symlink_to(file)
    neighbour, heard = Neighbour(), Heard()
    async with chatting(tmp_path / "home", folder, neighbour) as mai:
        profiles = [row.best.profile for row in await mai.models() if row.best.profile.installed]
        small, large = (profile.key for profile in sorted(profiles, key=lambda profile: profile.size_bytes))
        async for event in mai.stream("Name four colours."):
            heard.take(event)
            if isinstance(event, TextDelta) and not neighbour.holds:
                neighbour.holds = TOTAL - left
                [engine] = workers()
                engine.kill()
        fell = [event for event in heard.events if isinstance(event, FellBack)]
        assert [event.key for event in fell][:2] == [large, large], "it died, and there is no room to load it again"
        assert isinstance(fell[1].error, NoRoom)
        assert (len(fell) > 2) is (left < TOTAL - TAKEN), "nobody else is left: loaded all the same"
        assert (heard.answer.model, heard.answer.content) == (small, heard.text)
        assert len(workers()) == 1
    assert workers() == []
