"""The simulator beside a real engine: one short session of loads, prompts and replies, run for real and simulated.

A first look at each model (a load, a prompt and a reply, the faster of two) sets what a simulation of this machine has
to be told: how fast it reads, writes and loads. Everything after it is predicted: other lengths of prompts and replies,
conversations that go on, models that leave and come back. Both ways the same turns are answered by the same models.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from statistics import median
from typing import ClassVar

from mai_core.bench.simulator.asking import Asking
from mai_core.bench.simulator.choosing import Chooser
from mai_core.bench.simulator.ledger import Ledger
from mai_core.bench.simulator.machines import MachineSpec
from mai_core.bench.simulator.memory import Memory
from mai_core.bench.simulator.oracle import Prices
from mai_core.bench.simulator.people import INSTRUCTIONS, Answered
from mai_core.bench.simulator.programs import PROGRAMS, held_by_others
from mai_core.bench.simulator.simulation import Simulation
from mai_core.bench.simulator.truth import Hidden, Truth
from mai_core.bench.simulator.workloads import Asked, Turn
from mai_core.plugin.ballots import collect_ballots
from mai_core.plugin.interfaces import Backend
from mai_core.policy.calibration import words
from mai_core.policy.feasibility import Limits
from mai_core.policy.kinds import TaskKind
from mai_core.policy.messages import GenerationOptions, Message, ReplyEnd, Role, TextDelta, Usage
from mai_core.policy.models import LoadedModel, LoadPlan, ModelProfile
from mai_core.policy.selection import Ballot, Proposal, SelectionRequest
from mai_core.policy.speed import LOAD_SECONDS, MeasuredSpeed, expected_speed
from mai_core.policy.stability import StabilityRules

__all__ = ["SCRIPT", "Compared", "Step", "compared", "run_session"]

LOOK = (256, 24)
"""Tokens read and written in the first look at a model."""

SCRIPT: tuple[tuple[tuple[int, int], ...], ...] = (((60, 16), (40, 48)), ((480, 16), (120, 32), (60, 16)), ((900, 24),))
"""Conversations with each model in turn: tokens of each question, about, and of its answer. Models leave in between."""

CONTEXT = 4096
AWAY_SECONDS, IDLE_SECONDS = 100.0, 50.0
KINDS = tuple(TaskKind)
"""The simulated session names its models by kinds of task, which a strategy can tell apart."""


@dataclass(frozen=True, slots=True)
class Step:
    """A turn as it was: ``loading`` seconds (0 where the model was there), ``first`` and ``end`` from then on."""

    model: int
    begins: bool
    read: int
    written: int
    loading: float
    first: float
    end: float


@dataclass(frozen=True, slots=True)
class Compared:
    """A turn for real and simulated: seconds from asking to the first token and to the end, loading included."""

    model: str
    step: Step
    first: float
    end: float

    @property
    def error(self) -> float:
        """How far the simulated end is off, as a share of the measured one."""
        return self.end / (self.step.loading + self.step.end) - 1.0


@dataclass(frozen=True, slots=True)
class _Voted:
    """Each kind of task has a model of its own."""

    name: ClassVar[str] = "script"
    keys: tuple[str, ...] = field(default=())

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        wanted = self.keys[KINDS.index(request.features.kind) % len(self.keys)]
        return [Proposal(c.key, float(c.key == wanted)) for c in request.candidates]


async def run_session(
    models: Sequence[tuple[Backend, ModelProfile]],
    *,
    threads: int,
    told: Callable[[str], None] = lambda text: None,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[list[Step], list[Step]]:
    """The first looks, two for each model, and the steps of the script. Raises what a backend raises."""
    looks, steps, salt = [], [], 1
    plan = LoadPlan(context=CONTEXT, gpu_layers=0, threads=threads)
    for conversations, found in (((LOOK,), (LOOK,)), looks), (SCRIPT, steps):
        for conversation in conversations:
            for place, (backend, model) in enumerate(models):
                told(model.key)
                began = clock()
                loaded = await backend.load(model, plan)
                loading = clock() - began
                said: list[Message] = []
                try:
                    for number, (question, reply) in enumerate(conversation):
                        salt += 1
                        said.append(Message(role=Role.USER, content=f"{words(question, salt)}\n\nGo on, word by word."))
                        usage, first, end, text = await _answered(backend, loaded, said, reply, clock)
                        said.append(Message(role=Role.ASSISTANT, content=text))
                        read = usage.prompt_tokens - usage.cached_tokens
                        waited = loading if number == 0 else 0.0
                        found.append(Step(place, number == 0, read, usage.completion_tokens, waited, first, end))
                finally:
                    await backend.unload(loaded.instance)
    return looks, steps


async def _answered(
    backend: Backend, loaded: LoadedModel, said: Sequence[Message], reply: int, clock: Callable[[], float]
) -> tuple[Usage, float, float, str]:
    began, first, usage, text = clock(), 0.0, Usage(), ""
    options = GenerationOptions(max_tokens=reply, temperature=0.0)
    async with aclosing(backend.generate(loaded.instance, said, options)) as events:
        async for event in events:
            first = first or clock() - began
            if isinstance(event, TextDelta):
                text += event.text
            elif isinstance(event, ReplyEnd):
                usage = event.usage
    return usage, first, clock() - began, text


def compared(
    models: Sequence[ModelProfile], looks: Sequence[Step], steps: Sequence[Step], *, cores: int
) -> list[Compared]:
    """The steps as the simulator would have had them, knowing of the machine what the looks told."""
    truth = _truth(models, looks, cores)
    kinds = KINDS[: len(models)]
    turns = [
        Turn(
            user=0,
            begins=step.begins,
            asked=step.model,
            guess=step.model,
            difficulty=0.5,
            question=max(1, step.read - (INSTRUCTIONS if step.begins else 0)),
            told=step.read,
            reply=step.written,
            pause=AWAY_SECONDS if step.begins else 1.0,
            typing=1.0,
            at=0.0,
            luck=0.0,
            crash=2.0,
        )
        for step in steps
    ]
    voters = [(_Voted(tuple(m.key for m in truth.models)), 1.0)]
    restless = StabilityRules(margin=0.0, up_after_seconds=0.0, seconds_value=0.0, spare=-1.0, remember_seconds=0.0)
    limits = Limits(window=CONTEXT, headroom_min=0, headroom=0.0)
    asked = tuple(Asked(kind, 0.5, 32) for kind in kinds)
    others = held_by_others(PROGRAMS["none"], truth.machine, random.Random(0))
    first = next(others)
    ends: list[tuple[float, float]] = []

    def note(answered: Answered) -> None:
        began = answered.answer.asked_at
        ends.append((answered.answer.first - began, answered.ended - began))

    def vote(request: SelectionRequest) -> Sequence[Ballot]:
        return collect_ballots(voters, request, clock=lambda: 0.0, budget_seconds=1.0)

    Simulation(
        chooser=Chooser(Asking(truth, asked, limits), vote, "vote", restless),
        memory=Memory(truth.machine, limits, first),
        turns=turns,
        others=others,
        ledger=Ledger(Prices(1.0, 0.0, 0.0), truth.machine.power, [1.0] * len(turns)),
        late_from=len(turns),
        preloads=False,
        idle_seconds=IDLE_SECONDS,
        on_answer=note,
    ).run()
    return [Compared(models[s.model].key, s, *end) for s, end in zip(steps, ends, strict=True)]


def _truth(models: Sequence[ModelProfile], looks: Sequence[Step], cores: int) -> Truth:
    """A machine on which the first looks come out as they did, with memory enough for each."""
    best = [min((s for s in looks if s.model == place), key=lambda s: s.end) for place in range(len(models))]
    shortest = [min(s.loading for s in looks if s.model == place) for place in range(len(models))]
    loads = [m.size_bytes / max(0.01, took - LOAD_SECONDS) for m, took in zip(models, shortest, strict=True)]
    size = sum(m.size_bytes for m in models)
    machine = MachineSpec(
        name="this machine", ram=16 * size + 2**32, cores=cores, bytes_per_second=10e9, disk=median(loads), power=1.0
    )
    hidden = []
    for model, look in zip(models, best, strict=True):
        plain = expected_speed(model, cores, MeasuredSpeed(), machine=machine.speed)
        reading = look.read / look.first / plain.prompt_tps
        writing = max(1, look.written - 1) / max(1e-3, look.end - look.first) / plain.generation_tps
        ability = dict.fromkeys(TaskKind, 0.0)
        hidden.append(Hidden(1.0, reading, writing, ability, ability))
    named = tuple(replace(m, backend="embedded", host="local", remote=False) for m in models)
    return Truth(machine, named, tuple(hidden))
