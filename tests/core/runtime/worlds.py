"""A whole Mai over fake engines, for tests of the runtime."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mai_core import AsyncMai, Paths, PluginRegistry, hookimpl
from mai_core.plugin.events import ModelSwitched, TurnFinished
from mai_core.runtime.turn import TurnEvent
from mai_core.settings.layers import LoadedSettings
from mai_core.settings.model import BackendSettings, ProbeSettings, Settings
from mai_core.testing.backend import FakeBackend, FakeModel
from mai_core.testing.machine import FakeMachine, FakeProbe
from mai_strategies import plugin as strategies
from mai_strategies.transfers import plugin as transfers


class Fakes:
    """Registers the fakes, and writes down what observers are told."""

    def __init__(self) -> None:
        self.switched: list[ModelSwitched] = []
        self.finished: list[TurnFinished] = []

    @hookimpl
    def mai_register_backends(self) -> Sequence[type[Any]]:
        return [FakeBackend]

    @hookimpl
    def mai_register_probes(self) -> Sequence[type[Any]]:
        return [FakeProbe]

    @hookimpl
    def mai_model_switched(self, event: ModelSwitched) -> None:
        self.switched.append(event)

    @hookimpl
    def mai_turn_finished(self, turn: TurnFinished) -> None:
        self.finished.append(turn)


def model(key: str, quality: float = 0.5, **script: Any) -> FakeModel:
    """A model of one GiB (or ``size_bytes``) that answers at once."""
    made = FakeModel.named(key, quality=quality, size_bytes=script.pop("size_bytes", 2**30))
    for name, value in script.items():
        setattr(made, name, value)
    return made


@asynccontextmanager
async def running(
    tmp_path: Path,
    *models: FakeModel,
    machine: FakeMachine | None = None,
    plugins: Sequence[object] = (),
    others: Mapping[str, Mapping[str, Any]] | None = None,
    machines: Sequence[FakeMachine] = (),
    **sections: Any,
) -> AsyncIterator[tuple[AsyncMai, FakeBackend, Fakes]]:
    """A running Mai whose backend ``fake`` has these models; ``others`` are settings of more backends.

    Probes read this ``machine`` and the other ``machines``.
    """
    machine = machine or FakeMachine()
    fakes = Fakes()
    settings = Settings(
        backends={
            name: BackendSettings(**{"type": "fake", **options})
            for name, options in {"fake": {"models": models, "machine": machine}, **(others or {})}.items()
        },
        probes={
            probed.name: ProbeSettings(type="fake", machine=probed)  # type: ignore[call-arg]
            for probed in (machine, *machines)
        },
        **sections,
    )
    mai = await AsyncMai.open(
        LoadedSettings(settings),
        paths=Paths.of({"MAI_HOME": str(tmp_path)}),
        environment={},
        registry=PluginRegistry.of(fakes, strategies, transfers, *plugins),
    )
    async with mai:
        backend = mai._parts.backends["fake"]
        assert isinstance(backend, FakeBackend)
        yield mai, backend, fakes


async def events_of(mai: AsyncMai, text: str) -> list[TurnEvent]:
    """Everything one turn tells."""
    return [event async for event in mai.stream(text)]
