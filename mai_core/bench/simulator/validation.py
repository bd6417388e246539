"""The simulator beside a real engine: one short session of loads, prompts and replies, run for real and simulated.

A first look at each model (two prompts and replies, each the faster of two, and the shortest load) sets what a
simulation of this machine has to be told: how fast it reads, writes and loads. Everything after it is predicted: other
lengths of prompts and replies, conversations that go on, models that leave and come back. Both ways the same turns are
answered by the same models. What a model takes is predicted from its header alone.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
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
from mai_core.policy.footprint import predict_footprint
from mai_core.policy.kinds import TaskKind
from mai_core.policy.messages import GenerationOptions, Message, ReplyEnd, Role, TextDelta, Usage
from mai_core.policy.models import LoadedModel, LoadPlan, ModelProfile
from mai_core.policy.selection import Ballot, Proposal, SelectionRequest
from mai_core.policy.speed import LOAD_SECONDS, MeasuredSpeed, expected_speed
from mai_core.policy.stability import StabilityRules

__all__ = ["SCRIPT", "Compared", "Quantity", "Session", "Step", "Validation", "compared", "run_session"]

LOOK = (((32, 24),), ((384, 24),))
"""Tokens read and written in the first look at a model: what a token takes shows between a short and a long prompt."""

SCRIPT: tuple[tuple[tuple[int, int], ...], ...] = (((60, 16), (40, 48)), ((480, 16), (120, 32), (60, 16)), ((900, 24),))
"""Conversations with each model in turn: tokens of each question, about, and of its answer. Models leave in between."""

CONTEXT = 4096
PLAN = LoadPlan(context=CONTEXT, gpu_layers=0)
"""On the processor alone, and a window that the longest conversation leaves half empty."""

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
class Session:
    """What really happened: first looks, the steps of the script, and bytes each model took once it had answered."""

    looks: tuple[Step, ...]
    steps: tuple[Step, ...]
    memory: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """A turn for real and simulated: seconds until the model was loaded, from then to the first token, and to the end.

    ``read`` and ``written`` are tokens; loading is 0 where the model was there.
    """

    model: str
    begins: bool
    read: int
    written: int
    measured: tuple[float, float, float]
    simulated: tuple[float, float, float]

    @property
    def error(self) -> float:
        """How far the simulated end is off, as a share of the measured one."""
        return sum(self.simulated) / sum(self.measured) - 1.0


@dataclass(frozen=True, slots=True)
class Quantity:
    """One thing that was both measured and simulated: sums (seconds or bytes), and the median error of one item."""

    name: str
    unit: str
    measured: float
    simulated: float
    typical: float

    @property
    def error(self) -> float:
        """Of the sums, as a share of what was measured."""
        return self.simulated / self.measured - 1.0


@dataclass(frozen=True, slots=True)
class Validation:
    """The simulated session beside the real one, turn by turn; ``memory`` by model, bytes measured and simulated."""

    threads: int
    turns: tuple[Compared, ...]
    memory: Mapping[str, tuple[int, int]]

    def quantities(self) -> tuple[Quantity, ...]:
        """What the simulator predicts, each with its error."""
        loads = [t for t in self.turns if t.begins]
        parts: list[tuple[str, str, list[tuple[float, float]]]] = [
            ("loading", "s", [(t.measured[0], t.simulated[0]) for t in loads]),
            ("reading", "s", [(t.measured[1], t.simulated[1]) for t in self.turns]),
            ("writing", "s", [(t.measured[2], t.simulated[2]) for t in self.turns]),
            ("first token", "s", [(sum(t.measured[:2]), sum(t.simulated[:2])) for t in self.turns]),
            ("whole turn", "s", [(sum(t.measured), sum(t.simulated)) for t in self.turns]),
            ("memory", "bytes", [(float(a), float(b)) for a, b in self.memory.values()]),
        ]
        return tuple(
            Quantity(name, unit, sum(m for m, _ in pairs), sum(s for _, s in pairs), _typical(pairs))
            for name, unit, pairs in parts
            if any(m > 0.0 for m, _ in pairs)
        )


def _typical(pairs: Sequence[tuple[float, float]]) -> float:
    return median(abs(simulated / measured - 1.0) for measured, simulated in pairs if measured > 0.0)


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
) -> Session:
    """The first looks, two of each kind for each model, and the steps of the script. Raises what a backend raises."""
    looks: list[Step] = []
    steps: list[Step] = []
    memory, salt = [0] * len(models), 1
    plan = replace(PLAN, threads=threads)
    for conversations, found in (LOOK * 2, looks), (SCRIPT, steps):
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
                    there = next((m for m in await backend.loaded() if m.instance == loaded.instance), loaded)
                    memory[place] = max(memory[place], there.footprint.ram)
                finally:
                    await backend.unload(loaded.instance)
    return Session(tuple(looks), tuple(steps), tuple(memory))


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


def compared(models: Sequence[ModelProfile], session: Session, *, cores: int) -> Validation:
    """The session as the simulator would have had it, knowing of the machine what the looks told."""
    truth, steps = _truth(models, session.looks, cores), session.steps
    kinds = KINDS[: len(models)]
    asking = [
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
    parts: list[tuple[float, float, float]] = []

    def note(answered: Answered) -> None:
        answer = answered.answer
        parts.append((answer.began - answer.asked_at, answer.first - answer.began, answered.ended - answer.first))

    def vote(request: SelectionRequest) -> Sequence[Ballot]:
        return collect_ballots(voters, request, clock=lambda: 0.0, budget_seconds=1.0)

    Simulation(
        chooser=Chooser(Asking(truth, asked, limits), vote, "vote", restless),
        memory=Memory(truth.machine, limits, first),
        turns=asking,
        others=others,
        ledger=Ledger(Prices(1.0, 0.0, 0.0), truth.machine.power, [1.0] * len(asking)),
        late_from=len(asking),
        preloads=False,
        idle_seconds=IDLE_SECONDS,
        on_answer=note,
    ).run()
    turns = tuple(
        Compared(models[s.model].key, s.begins, s.read, s.written, (s.loading, s.first, s.end - s.first), part)
        for s, part in zip(steps, parts, strict=True)
    )
    sizes = [predict_footprint(model, PLAN).ram for model in models]
    memory = {m.key: both for m, both in zip(models, zip(session.memory, sizes, strict=True), strict=True)}
    return Validation(cores, turns, memory)


def _truth(models: Sequence[ModelProfile], looks: Sequence[Step], cores: int) -> Truth:
    """A machine on which the first looks come out as they did, with memory enough for each."""
    shortest = [min(s.loading for s in looks if s.model == place) for place in range(len(models))]
    loads = [m.size_bytes / max(0.01, took - LOAD_SECONDS) for m, took in zip(models, shortest, strict=True)]
    size = sum(m.size_bytes for m in models)
    machine = MachineSpec(
        name="this machine", ram=16 * size + 2**32, cores=cores, bytes_per_second=10e9, disk=median(loads), power=1.0
    )
    hidden = []
    for place, model in enumerate(models):
        own = [s for s in looks if s.model == place]
        plain = expected_speed(model, cores, MeasuredSpeed(), machine=machine.speed)
        starting, reading = _line(own)
        writing = max((s.written - 1) / max(1e-3, s.end - s.first) for s in own)
        ability = dict.fromkeys(TaskKind, 0.0)
        factors = (1.0, reading / plain.prompt_tps, writing / plain.generation_tps)
        hidden.append(Hidden(*factors, ability, ability, starting))
    named = tuple(replace(m, backend="embedded", host="local", remote=False) for m in models)
    return Truth(machine, named, tuple(hidden))


def _line(looks: Sequence[Step]) -> tuple[float, float]:
    """Seconds before anything is read, and tokens a second from then on: through the fastest short and long look."""
    least, most = min(s.read for s in looks), max(s.read for s in looks)
    middle = (least + most) / 2
    short = min((s for s in looks if s.read < middle), key=lambda s: s.first)
    long = min((s for s in looks if s.read >= middle), key=lambda s: s.first)
    rate = (long.read - short.read) / max(1e-3, long.first - short.first)
    return max(0.0, short.first - short.read / rate), rate
