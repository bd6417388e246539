"""What README.md shows of Python runs as it stands."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

import mai_core
from mai_core import Mai, Message, Paths, PluginRegistry, Role, hookimpl
from mai_core.plugin.interfaces import Backend, GenerationEvent
from mai_core.policy.messages import GenerationOptions, ReplyEnd, StopReason, ToolCall, Usage
from mai_core.policy.models import Capability
from mai_core.settings.layers import LoadedSettings
from mai_core.settings.model import BackendSettings, ProbeSettings, Settings
from mai_core.testing import FakeBackend
from mai_core.testing.machine import FakeMachine
from mai_strategies import plugin as strategies
from mai_strategies.transfers import plugin as transfers
from tests.core.runtime.worlds import Fakes, model

README = Path(__file__).parents[2] / "README.md"
EXAMPLES = re.findall(r"```python\n(from mai_core import Mai\b.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


class Calling(FakeBackend):
    """Calls every tool it is given, and says what the tool returned."""

    kind: ClassVar[str] = "calling"

    async def generate(
        self, instance: str, messages: Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[GenerationEvent, None]:
        if messages[-1].role is Role.USER and options.tools:
            for tool in options.tools:
                yield ToolCall(id=f"call-{tool.name}", name=tool.name)
            yield ReplyEnd(StopReason.TOOLS, Usage())
            return
        async for event in super().generate(instance, messages, options):
            yield event


class Plugin:
    @hookimpl
    def mai_register_backends(self) -> list[type[Backend]]:
        return [Calling]


@pytest.mark.parametrize(
    ("example", "said"),
    list(zip(EXAMPLES, ["It is Hamlet. -- able", "It is 12:30."], strict=True)),
    ids=["plain", "tools"],
)
def test_the_example_runs(
    example: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {Role.USER: "Hamlet"}
    able = model("able", reply=lambda messages: f"It is {told.get(messages[-1].role, messages[-1].content)}.")
    able.profile = replace(able.profile, capabilities=frozenset({Capability.TOOLS}))
    machine = FakeMachine()
    settings = Settings(
        backends={"calling": BackendSettings(type="calling", models=(able,), machine=machine)},  # type: ignore[call-arg]
        probes={"fake": ProbeSettings(type="fake", machine=machine)},  # type: ignore[call-arg]
    )

    def opened() -> Mai:
        return Mai(
            LoadedSettings(settings),
            paths=Paths.of({"MAI_HOME": str(tmp_path)}),
            environment={},
            registry=PluginRegistry.of(Fakes(), strategies, transfers, Plugin()),
        )

    monkeypatch.setattr(mai_core, "Mai", opened)
    exec(example, {})
    assert capsys.readouterr().out.strip() == said
