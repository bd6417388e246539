"""The suites accept what keeps the laws, and each law catches a plugin that breaks it."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import Phase

from mai_core.errors import BackendError
from mai_core.plugin.interfaces import (
    Backend,
    BackendContext,
    ContextTransfer,
    GenerationEvent,
    ProbeContext,
    ResourceProbe,
)
from mai_core.policy.context import Receipt, TransferPlan, TransferRequest
from mai_core.policy.messages import GenerationOptions, Message, ReplyEnd
from mai_core.policy.models import LoadedModel
from mai_core.policy.resources import Cpu, HostReading, MemoryPool, PoolKind
from mai_core.testing import (
    BackendConformance,
    FakeBackend,
    FakeModel,
    FakeProbe,
    ProbeConformance,
    TransferConformance,
)
from mai_core.testing.conformance import laws


@pytest.fixture
def unshrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """That a law is broken is all that matters here, not by which smallest example."""
    monkeypatch.setattr(laws, "PHASES", (Phase.generate,))
    monkeypatch.setattr(laws, "EXAMPLES", 1000)


@dataclass(frozen=True)
class Plain:
    """Everything, or the newest; pinned messages and the last one always."""

    name: ClassVar[str] = "plain"

    def plan(self, request: TransferRequest) -> TransferPlan:
        each = request.budget.per_message
        last = len(request.messages) - 1
        taken = [i for i, m in enumerate(request.messages) if m.pinned or i == last]
        tokens = sum(request.tokens[i] + each for i in taken)
        if tokens > request.budget.usable:
            raise ValueError("pinned messages and the last one do not fit")
        for i in range(last, -1, -1):
            if i not in taken and tokens + request.tokens[i] + each <= request.budget.usable:
                taken.append(i)
                tokens += request.tokens[i] + each
        kept = len(taken)
        return TransferPlan(
            messages=tuple(request.messages[i] for i in sorted(taken)),
            tokens=tokens,
            receipt=Receipt(kept=kept, dropped=len(request.messages) - kept, tokens=tokens),
        )


class TestTransferSuite(TransferConformance):
    def make(self) -> ContextTransfer:
        return Plain()


class TestProbeSuite(ProbeConformance):
    def make(self) -> ResourceProbe:
        return FakeProbe.scripted()


class TestBackendSuite(BackendConformance):
    backend: ClassVar[type[FakeBackend]] = FakeBackend

    def make(self, context: BackendContext) -> Backend:
        models = [FakeModel.named("small", size_bytes=1000), FakeModel.named("big", size_bytes=2000)]
        for model in models:
            model.load_seconds = 0.01
            model.token_seconds = 0.01
            model.reply = "word " * 60
        return self.backend(replace(context, options={"models": models}))

    async def crash(self, backend: Backend, loaded: LoadedModel) -> None:
        assert isinstance(backend, FakeBackend)
        backend.crash(loaded.instance)


class Greedy(Plain):
    def plan(self, request: TransferRequest) -> TransferPlan:
        tokens = sum(request.tokens) + len(request.tokens) * request.budget.per_message
        return TransferPlan(messages=request.messages, tokens=tokens, receipt=Receipt(kept=len(request.messages)))


class Forgetful(Plain):
    def plan(self, request: TransferRequest) -> TransferPlan:
        tokens = request.tokens[-1] + request.budget.per_message
        if tokens > request.budget.usable:
            raise ValueError("does not fit")
        dropped = len(request.messages) - 1
        return TransferPlan(
            messages=request.messages[-1:], tokens=tokens, receipt=Receipt(kept=1, dropped=dropped, tokens=tokens)
        )


class Fainthearted(Plain):
    def plan(self, request: TransferRequest) -> TransferPlan:
        raise ValueError("too much")


class Backwards(Plain):
    def plan(self, request: TransferRequest) -> TransferPlan:
        plan = super().plan(request)
        return replace(plan, messages=plan.messages[::-1])


class Creative(Plain):
    def plan(self, request: TransferRequest) -> TransferPlan:
        plan = super().plan(request)
        return replace(plan, receipt=replace(plan.receipt, note=str(random.random())))


class Vague(Plain):
    def plan(self, request: TransferRequest) -> TransferPlan:
        return replace(super().plan(request), receipt=Receipt())


@pytest.mark.parametrize(
    ("transfer", "law"),
    [
        (Greedy, "never_exceeds_the_budget"),
        (Greedy, "gives_up_only_when_what_must_be_sent_does_not_fit"),
        (Forgetful, "pinned_messages_always_stay"),
        (Forgetful, "sends_everything_when_there_is_ample_room"),
        (Fainthearted, "gives_up_only_when_what_must_be_sent_does_not_fit"),
        (Backwards, "messages_stay_in_order"),
        (Backwards, "the_last_message_is_answered"),
        (Creative, "is_deterministic_and_changes_nothing_it_is_given"),
        (Vague, "the_receipt_accounts_for_every_message"),
    ],
)
@pytest.mark.usefixtures("unshrunk")
def test_the_transfer_suite_catches(transfer: type[ContextTransfer], law: str) -> None:
    class Suite(TransferConformance):
        def make(self) -> ContextTransfer:
            return transfer()

    with pytest.raises(AssertionError):
        getattr(Suite(), f"test_{law}")()


def reads(reading: HostReading) -> Callable[[], HostReading]:
    return lambda: reading


def dials_out() -> HostReading:
    with socket.socket() as line:
        line.connect(("192.0.2.1", 80))
    return HostReading()


def dawdles() -> HostReading:
    time.sleep(0.05)
    return HostReading()


def needs_home() -> HostReading:
    Path("~").expanduser().relative_to("/nonexistent")
    return HostReading()


@pytest.mark.parametrize(
    ("sample", "law"),
    [
        (reads(HostReading(pools=(MemoryPool("ram", PoolKind.RAM, 1, 2),))), "reads_sane_values"),
        (reads(HostReading(cpu=Cpu(2, 17.0))), "reads_sane_values"),
        (reads(HostReading(swap_free=5)), "may_be_sampled_from_any_thread"),
        (dawdles, "blocks_at_most_a_moment"),
        (needs_home, "reads_sane_values"),
    ],
)
def test_the_probe_suite_catches(sample: Callable[[], HostReading], law: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        getattr(probe_suite(sample), f"test_{law}")()


def test_the_probe_suite_catches_one_that_dials_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((AssertionError, OSError)):
        probe_suite(dials_out).test_never_waits_for_the_network(monkeypatch)


@pytest.mark.parametrize(
    ("sample", "told"),
    [
        (reads(HostReading()), False),
        (reads(HostReading(faults=("gpu0: gone",))), True),
        (reads(HostReading(pools=(MemoryPool("gpu0", PoolKind.DEVICE, 1, 2),))), True),
    ],
)
def test_the_probe_suite_wants_broken_sensors_named(sample: Callable[[], HostReading], told: bool) -> None:
    suite = probe_suite(sample)
    suite.broken = lambda: {"the driver is gone": suite.make()}  # type: ignore[method-assign]
    if told:
        suite.test_a_sensor_that_fails_or_lies_is_left_out_and_named()
        return
    with pytest.raises(AssertionError, match="the driver is gone: nobody is told"):
        suite.test_a_sensor_that_fails_or_lies_is_left_out_and_named()


def probe_suite(read: Callable[[], HostReading]) -> ProbeConformance:
    class Sensor:
        kind: ClassVar[str] = "sensor"

        def __init__(self, context: ProbeContext) -> None:
            self.name = context.name

        def sample(self) -> HostReading:
            return read()

    class Suite(ProbeConformance):
        limit_seconds = 0.02

        def make(self) -> ResourceProbe:
            return Sensor(ProbeContext(name="sensor"))

    return Suite()


class Leaky(FakeBackend):
    async def unload(self, instance: str) -> None:
        return None


class Twice(FakeBackend):
    async def unload(self, instance: str) -> None:
        if instance not in [loaded.instance for loaded in await self.loaded()]:
            raise BackendError("not loaded")
        await super().unload(instance)


class Endless(FakeBackend):
    async def generate(
        self, instance: str, messages: Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[GenerationEvent, None]:
        async for event in super().generate(instance, messages, replace(options, max_tokens=0)):
            if not isinstance(event, ReplyEnd):
                yield event


class Truncating(FakeBackend):
    def generate(
        self, instance: str, messages: Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[GenerationEvent, None]:
        return super().generate(instance, [replace(messages[-1], content="cut")], options)


class Stubborn(FakeBackend):
    """Its engine goes on with a reply that was given up, and the next one waits."""

    def __init__(self, context: BackendContext) -> None:
        super().__init__(context)
        self.turn = asyncio.Lock()
        self.left: set[asyncio.Task[None]] = set()

    async def generate(
        self, instance: str, messages: Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[GenerationEvent, None]:
        events: asyncio.Queue[GenerationEvent] = asyncio.Queue()

        async def write() -> None:
            async with self.turn:
                async for event in super(Stubborn, self).generate(instance, messages, options):
                    events.put_nowait(event)

        writing = asyncio.create_task(write())
        self.left.add(writing)
        while not isinstance(event := await events.get(), ReplyEnd):
            yield event
        yield event


@pytest.mark.parametrize(
    ("backend", "law"),
    [
        (Leaky, "a_loaded_model_is_listed_until_it_is_unloaded"),
        (Twice, "a_loaded_model_is_listed_until_it_is_unloaded"),
        (Endless, "a_reply_ends_once"),
        (Endless, "max_tokens_is_kept"),
        (Stubborn, "closing_the_iterator_stops_the_engine"),
        (Stubborn, "cancelling_the_task_stops_the_engine"),
        (Truncating, "a_prompt_larger_than_the_window_is_refused"),
    ],
)
def test_the_backend_suite_catches(backend: type[FakeBackend], law: str, tmp_path: Path) -> None:
    class Suite(TestBackendSuite):
        pass

    Suite.backend = backend
    with pytest.raises((AssertionError, BackendError, pytest.fail.Exception)):
        getattr(Suite(), f"test_{law}")(tmp_path)
