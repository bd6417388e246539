"""One plugin of every kind, as a third party would write it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import ClassVar

import typer

from mai_core import hookimpl
from mai_core.plugin.events import ModelSwitched, TurnFinished
from mai_core.plugin.interfaces import (
    Backend,
    BackendContext,
    ContextTransfer,
    GenerationEvent,
    LoadProgress,
    ProbeContext,
    ResourceProbe,
)
from mai_core.policy.context import Receipt, TransferPlan, TransferRequest
from mai_core.policy.messages import GenerationOptions, Message, ReplyEnd, StopReason, TextDelta, Usage
from mai_core.policy.models import Footprint, LoadedModel, LoadPlan, ModelProfile
from mai_core.policy.resources import HostReading


class Echo:
    """An engine that repeats the question."""

    kind: ClassVar[str] = "echo"

    def __init__(self, context: BackendContext) -> None:
        self.name = context.name
        self.host = "local"
        self.remote = False

    async def models(self) -> Sequence[ModelProfile]:
        return [ModelProfile(key="echo", backend=self.name, location="echo")]

    async def loaded(self) -> Sequence[LoadedModel]:
        return ()

    async def load(self, model: ModelProfile, plan: LoadPlan, *, progress: LoadProgress | None = None) -> LoadedModel:
        return LoadedModel(instance="echo#1", key=model.key, backend=self.name, plan=plan, footprint=Footprint())

    async def unload(self, instance: str) -> None:
        return None

    async def generate(
        self, instance: str, messages: Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[GenerationEvent, None]:
        yield TextDelta(messages[-1].content)
        yield ReplyEnd(StopReason.STOP, Usage())

    async def count_tokens(self, instance: str, texts: Sequence[str]) -> Sequence[int]:
        return [len(text.split()) for text in texts]

    async def close(self) -> None:
        return None


class Nothing:
    """A probe that can tell nothing."""

    kind: ClassVar[str] = "nothing"

    def __init__(self, context: ProbeContext) -> None:
        self.name = context.name

    def sample(self) -> HostReading:
        return HostReading()


class Last:
    """Sends the last message only."""

    name: ClassVar[str] = "last"

    def plan(self, request: TransferRequest) -> TransferPlan:
        return TransferPlan(messages=request.messages[-1:], tokens=request.tokens[-1], receipt=Receipt(kept=1))


@hookimpl
def mai_register_backends() -> list[type[Backend]]:
    return [Echo]


@hookimpl
def mai_register_probes() -> tuple[type[ResourceProbe], ...]:
    return (Nothing,)


@hookimpl
def mai_register_transfers() -> Sequence[type[ContextTransfer]]:
    return [Last]


@hookimpl
def mai_register_commands(app: typer.Typer) -> None:
    @app.command()
    def echo() -> None:
        """Say nothing."""


@hookimpl
def mai_model_switched(event: ModelSwitched) -> None:
    assert event.current


@hookimpl
def mai_turn_finished(turn: TurnFinished) -> None:
    assert turn.model
