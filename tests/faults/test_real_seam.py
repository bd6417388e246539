"""One real model is cut off, another real one goes on: the answer reads on, and nothing of it is lost or said twice."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mai_backends.embedded.backend import EmbeddedBackend
from mai_core import AsyncMai, Paths, PluginRegistry, hookimpl
from mai_core.errors import GenerationError
from mai_core.plugin.interfaces import GenerationEvent
from mai_core.policy.messages import GenerationOptions, Message, StopReason, TextDelta
from mai_core.runtime.turn import FellBack, Retracted, TurnEnd, TurnEvent
from mai_core.settings.layers import LoadedSettings
from mai_core.settings.model import BackendSettings, ContextSettings, GenerationSettings, ProbeSettings, Settings
from mai_core.testing.machine import FakeMachine, FakeProbe
from mai_strategies import plugin as strategies
from mai_strategies.transfers import plugin as transfers

pytestmark = [pytest.mark.weights, pytest.mark.timeout(600)]

FIRST, SECOND = "smollm2-135m", "qwen2.5-coder-0.5b"


class Cut(EmbeddedBackend):
    """The real engine, whose first model is cut off after so many pieces; ``wrote`` is all it wrote until then."""

    kind: ClassVar[str] = "cut"
    after = 10**6
    wrote = ""

    async def generate(
        self, instance: str, messages: Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[GenerationEvent, None]:
        loaded = {one.instance: one.key for one in await self.loaded()}
        left = Cut.after if FIRST in loaded[instance].lower() else 10**6
        async with aclosing(super().generate(instance, messages, options)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    if left == 0:
                        raise GenerationError("was cut off")
                    left -= 1
                    Cut.wrote += event.text
                yield event


class Plugin:
    """The real engine and a machine with room for it."""

    @hookimpl
    def mai_register_backends(self) -> Sequence[type[Any]]:
        return [Cut]

    @hookimpl
    def mai_register_probes(self) -> Sequence[type[Any]]:
        return [FakeProbe]


@asynccontextmanager
async def two_models(tmp_path: Path, *files: Path, **sections: Any) -> AsyncIterator[AsyncMai]:
    machine = FakeMachine()
    settings = Settings(
        backends={"one": BackendSettings(type="cut", scan_other_tools=False, threads=2)},  # type: ignore[call-arg]
        probes={machine.name: ProbeSettings(type="fake", machine=machine)},  # type: ignore[call-arg]
        generation=GenerationSettings(temperature=0.0, seed=1, max_tokens=sections.pop("max_tokens", 40)),
        context=ContextSettings(window=2048, minimum=512, reserve=128),
        **sections,
    )
    paths = Paths.of({"MAI_HOME": str(tmp_path)})
    models = paths.data / "models"
    models.mkdir(parents=True)
    for file in files:
        (models / file.name).symlink_to(file)
    mai = await AsyncMai.open(
        LoadedSettings(settings),
        paths=paths,
        environment={},
        registry=PluginRegistry.of(Plugin(), strategies, transfers),
    )
    async with mai:
        yield mai


def screen(events: Sequence[TurnEvent]) -> str:
    text = ""
    for event in events:
        text = text + event.text if isinstance(event, TextDelta) else text
        text = text[: -event.characters] if isinstance(event, Retracted) else text
    return text


def doubled(text: str, seam: int) -> list[str]:
    """Runs of four words that end at the seam and are said again right after it."""
    words = [(m[0].lower(), m.start(), m.end()) for m in re.finditer(r"\w+", text)]
    before = [word for word, _, end in words if end <= seam][-12:]
    after = [word for word, start, _ in words if start >= seam][:12]
    grams = {" ".join(before[i : i + 4]) for i in range(len(before) - 3)}
    return [gram for i in range(len(after) - 3) if (gram := " ".join(after[i : i + 4])) in grams]


CUTS = (
    ("Explain in three sentences how rain forms.", 1),
    ("Explain in three sentences how rain forms.", 12),
    ("Explain in three sentences how rain forms.", 24),
    ("Write a Python function that returns the larger of two numbers.", 4),
    ("Write a Python function that returns the larger of two numbers.", 19),
    ("Erkläre kurz, was ein Regenbogen ist.", 9),
)


async def test_a_real_answer_reads_on_whoever_goes_on_with_it(
    tmp_path: Path, starter_gguf: Path, second_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_models(tmp_path, starter_gguf, second_gguf) as mai:
        for question, after in CUTS:
            monkeypatch.setattr(Cut, "after", after)
            monkeypatch.setattr(Cut, "wrote", "")
            await mai.switch(FIRST)
            await mai.new_conversation()
            events = [event async for event in mai.stream(question)]
            assert isinstance(events[-1], TurnEnd)
            reply = events[-1].reply
            handover = next((place for place, event in enumerate(events) if isinstance(event, FellBack)), None)
            assert handover is not None, f"{reply.message.model} was not cut off: {reply.text}"
            shown = screen(events[:handover])
            print(f"\n{after}: {shown}¦{reply.text[len(shown) :]}")
            assert SECOND in reply.message.model.lower()
            assert reply.text == screen(events)
            assert reply.text.startswith(shown)
            assert len(reply.text) > len(shown)
            assert Cut.wrote.endswith(reply.text[len(shown) :]), "all it wrote after what it may have repeated"
            assert not doubled(reply.text, len(shown))
            assert not re.search(r"\S  \S", reply.text[len(shown) - 2 : len(shown) + 2])


async def test_a_real_loop_is_cut_and_gone_on_with(
    tmp_path: Path, starter_gguf: Path, second_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cut, "after", 10**6)
    async with two_models(tmp_path, starter_gguf, second_gguf, max_tokens=400) as mai:
        await mai.switch(FIRST)
        events = [
            event async for event in mai.stream("Write a short dialogue between two friends who greet each other.")
        ]
    assert isinstance(events[-1], TurnEnd)
    reply = events[-1].reply
    print(f"\n{reply.text}")
    assert any(isinstance(event, Retracted) for event in events)
    assert reply.text == screen(events)
    assert reply.message.stop in (StopReason.STOP, StopReason.LENGTH, StopReason.REPEATED)
    assert reply.text.count("How's it going?") <= 4 or SECOND in reply.message.model.lower()


async def test_a_real_engine_tells_how_likely_its_tokens_are(tmp_path: Path, starter_gguf: Path) -> None:
    async with two_models(tmp_path, starter_gguf, max_tokens=12) as mai:
        monkey = [event async for event in mai.stream("What is the capital of France?") if isinstance(event, TextDelta)]
    told = [event.logprob for event in monkey if event.logprob is not None]
    assert len(told) >= len(monkey) - 1
    assert all(-10 < logprob <= 0 for logprob in told)
