"""What people ask, and when: turns, drawn from a mix of tasks and a rhythm of asking.

A turn is drawn before anybody decides anything, so every contestant is asked the same at the same chance: what it
draws of luck (is the answer good, does the engine crash) is drawn with it, as common random numbers.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mai_core.policy.kinds import TaskKind

__all__ = ["WORKLOADS", "Asked", "Turn", "Workload", "turns_of"]

DIFFICULTIES = (0.2, 0.5, 0.8)
"""What a prompt's difficulty is told to be; how hard it really is lies around that."""

JUDGING_ERROR = 0.15
REPLY_SPREAD = 0.45
ESTIMATE_SPREAD = 0.12


@dataclass(frozen=True, slots=True)
class Asked:
    """A turn as far as its text tells: kind of task, difficulty, and tokens expected of the reply."""

    kind: TaskKind
    difficulty: float
    reply: int


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn, with everything about it that does not depend on who answers.

    user, begins    who asks, and whether this begins a new conversation
    asked, guess    what its text tells, and what its first words let one guess while it is typed
    difficulty      how hard it really is
    question, reply tokens it really has, and ``told`` tokens the question is estimated at
    pause, typing   seconds between the end of the last answer and the first key, and until it is sent
    at              seconds from the start before which nobody asks this, however fast the last answer was
    luck            the answer is good where this is below the probability
    crash           share of the answer after which the engine dies; 1 and more: it does not
    sure            how sure the model is of its first words, beside what is usual: see ``sureness``
    """

    user: int
    begins: bool
    asked: int
    guess: int
    difficulty: float
    question: int
    told: int
    reply: int
    pause: float
    typing: float
    at: float
    luck: float
    crash: float
    sure: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """How people use a machine.

    mix           how often each kind of task comes, with the tokens of a question and of a reply
    conversation  turns of a conversation, in the mean
    pause         seconds between two turns of it, in the mean; ``rest`` between two conversations
    programs      what other programs do meanwhile: see ``programs``
    rush          seconds between two beginnings of conversations whoever is still waiting; 0 waits for nobody
    crashes       share of answers in which the engine dies
    turns_at      share of the time after which two models are no longer what they were; 0 never
    """

    name: str
    mix: Mapping[TaskKind, tuple[float, int, int]]
    conversation: float = 12.0
    pause: float = 45.0
    rest: float = 900.0
    users: int = 1
    programs: str = "office"
    rush: float = 0.0
    crashes: float = 0.002
    turns_at: float = 0.0

    @property
    def asked(self) -> tuple[Asked, ...]:
        """Everything a text can tell here; turns name these by their place."""
        return tuple(
            Asked(kind, difficulty, reply) for kind, (_, _, reply) in self.mix.items() for difficulty in DIFFICULTIES
        )


CHAT = {
    TaskKind.CHAT: (0.55, 40, 96),
    TaskKind.KNOWLEDGE: (0.20, 50, 160),
    TaskKind.WRITING: (0.10, 120, 448),
    TaskKind.TRANSLATION: (0.08, 200, 192),
    TaskKind.REASONING: (0.07, 90, 384),
}
CODE = {TaskKind.CODE: (0.7, 420, 384), TaskKind.REASONING: (0.1, 150, 384), TaskKind.CHAT: (0.2, 40, 96)}
LONG = {TaskKind.SUMMARY: (0.5, 3000, 192), TaskKind.EXTRACTION: (0.3, 2200, 128), TaskKind.KNOWLEDGE: (0.2, 60, 160)}
MIXED = {
    TaskKind.CHAT: (0.35, 40, 96),
    TaskKind.CODE: (0.25, 350, 384),
    TaskKind.KNOWLEDGE: (0.15, 50, 160),
    TaskKind.MATH: (0.10, 90, 256),
    TaskKind.SUMMARY: (0.08, 1200, 192),
    TaskKind.WRITING: (0.07, 120, 448),
}

_ALL = (
    Workload(name="chat-day", mix=CHAT),
    Workload(name="coding-day", mix=CODE, conversation=20.0, pause=90.0, programs="compiler"),
    Workload(name="mixed", mix=MIXED, programs="busy"),
    Workload(name="bursts", mix=MIXED, conversation=8.0, pause=8.0, rest=3600.0),
    Workload(name="long-contexts", mix=LONG, conversation=8.0, pause=120.0),
    Workload(name="several-users", mix=MIXED, users=4, rush=600.0),
    Workload(name="hungry-programs", mix=MIXED, programs="hungry", crashes=0.01),
    Workload(name="regime-change", mix=MIXED, programs="quiet", turns_at=0.5),
)

WORKLOADS: Mapping[str, Workload] = MappingProxyType({workload.name: workload for workload in _ALL})
"""By name."""


def turns_of(workload: Workload, count: int, draw: random.Random) -> Iterator[Turn]:
    """``count`` turns, each user's in order."""
    tasks = list(workload.mix.values())
    weights = [task[0] for task in tasks]
    left = [0] * workload.users
    starts = [draw.random() * workload.rush for _ in range(workload.users)]
    easy, medium = 0.35, 0.75
    uniform, gauss, log1p = draw.random, draw.gauss, math.log1p
    kinds = draw.choices(range(len(tasks)), weights, k=count)
    for number, kind in enumerate(kinds):
        user = number % workload.users
        begins = left[user] == 0
        if begins:
            left[user] = 1 + int(-log1p(-uniform()) * (workload.conversation - 1.0))
            starts[user] += workload.rush * (0.5 + uniform())
        left[user] -= 1
        _, question, reply = tasks[kind]
        hardness = uniform()
        level = 0 if hardness < easy else 1 if hardness < medium else 2
        asked = kind * len(DIFFICULTIES) + level
        size = max(4, int(question * math.exp(gauss(0.0, 0.6))))
        yield Turn(
            user,
            begins,
            asked,
            asked if uniform() < 0.75 else level,
            DIFFICULTIES[level] + gauss(0.0, JUDGING_ERROR),
            size,
            max(4, int(size * math.exp(gauss(0.0, ESTIMATE_SPREAD)))),
            max(8, int(reply * math.exp(gauss(0.0, REPLY_SPREAD)))),
            -log1p(-uniform()) * (workload.rest if begins else workload.pause),
            min(60.0, 3.0 + size * 0.2),
            starts[user] if begins else 0.0,
            uniform(),
            uniform() / workload.crashes if workload.crashes else 2.0,
            gauss(0.0, 1.0),
        )
