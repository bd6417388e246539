"""The states of a model in memory, and the moves between them that are legal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from mai_core.policy.eviction import heat_after
from mai_core.policy.models import Footprint, LoadedModel, LoadPlan, ModelProfile

__all__ = ["MOVES", "Place", "Slot", "State"]


class State(StrEnum):
    """Where a slot stands.

    RESERVED  its memory is promised, room is being made
    LOADING   its engine loads it
    IDLE      in memory, nobody uses it
    LEASED    in memory and in use: never unloaded
    LEAVING   its engine was told to unload it
    STUCK     it was told so and is still there: its memory counts as used, nobody gets it
    ABSENT    not in memory; a slot never leaves this state
    """

    RESERVED = "reserved"
    LOADING = "loading"
    IDLE = "idle"
    LEASED = "leased"
    LEAVING = "leaving"
    STUCK = "stuck"
    ABSENT = "absent"


MOVES: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.RESERVED: frozenset({State.LOADING, State.ABSENT}),
        State.LOADING: frozenset({State.IDLE, State.LEASED, State.STUCK, State.ABSENT}),
        State.IDLE: frozenset({State.LEASED, State.LEAVING, State.ABSENT}),
        State.LEASED: frozenset({State.IDLE, State.ABSENT}),
        State.LEAVING: frozenset({State.IDLE, State.STUCK, State.ABSENT}),
        State.STUCK: frozenset({State.ABSENT}),
        State.ABSENT: frozenset(),
    }
)


class Place(NamedTuple):
    """Where an instance is found: names of instances are unique within one backend only."""

    backend: str
    instance: str


@dataclass(slots=True, eq=False)
class Slot:
    """A model in memory or on its way there, everyone who uses it or waits for it, and what it is worth.

    leases        callers who use it, or wait for its load
    wanted        somebody who waits for nothing wants it loaded: a preload
    may_evict     its load may push others out
    optional      nobody has to have it: whoever waits for its load, if anybody, could do without
    listed        its engine says that it is there
    ending        its load is being cancelled, nobody joins it any more
    conversation  what its engine read last, and ``read`` tokens of it; empty when nobody knows
    heat          how much it was used, at the turn ``warmed``
    filled        tokens of the longest conversation it has answered in
    asked         the plan it was loaded by; ``plan`` is what its engine made of it
    """

    model: str
    footprint: Footprint
    host: str
    backend: str
    plan: LoadPlan
    state: State = State.RESERVED
    loaded: LoadedModel | None = None
    leases: int = 0
    wanted: bool = False
    may_evict: bool = False
    optional: bool = True
    listed: bool = True
    ending: bool = False
    task: asyncio.Task[None] | None = None
    listeners: list[Callable[[float], None]] = field(default_factory=list)
    conversation: str = ""
    read: int = 0
    filled: int = 0
    load_seconds: float = 0.0
    idle_since: float = 0.0
    heat: float = 0.0
    warmed: int = 0
    asked: LoadPlan | None = None

    @classmethod
    def reserved(cls, model: ModelProfile, plan: LoadPlan, footprint: Footprint) -> Slot:
        """A slot for a load that begins."""
        return cls(model=model.key, footprint=footprint, host=model.host, backend=model.backend, plan=plan, asked=plan)

    @classmethod
    def found(cls, loaded: LoadedModel, now: float) -> Slot:
        """A slot for what is in memory without this pool's doing."""
        made = cls(
            model=loaded.key, footprint=loaded.footprint, host=loaded.host, backend=loaded.backend, plan=loaded.plan
        )
        made.loaded, made.state, made.idle_since = loaded, State.IDLE, now
        return made

    @property
    def place(self) -> Place:
        """Where its instance is; only for what is loaded."""
        return Place(self.backend, self.instance.instance)

    @property
    def instance(self) -> LoadedModel:
        """The instance, marked as it stands here. Raises ``LookupError`` before it is loaded."""
        if self.loaded is None:
            raise LookupError(f"{self.model} is {self.state}")
        leased = self.loaded.leased or self.state is State.LEASED
        return replace(self.loaded, leased=leased, asked=self.asked)

    @property
    def usable(self) -> bool:
        """Whether a turn may use it."""
        return self.state in (State.IDLE, State.LEASED) and self.listed

    @property
    def mine(self) -> bool:
        """Whether Mai loaded it: what others loaded is never unloaded."""
        return self.loaded is not None and self.loaded.owned

    def is_of(self, model: ModelProfile) -> bool:
        """Whether it holds that model in that place."""
        return self.model == model.key and self.backend == model.backend

    @property
    def in_flight(self) -> bool:
        """Whether it is on its way into memory, which it was promised."""
        return self.state in (State.RESERVED, State.LOADING)

    def move(self, to: State) -> None:
        """Go to another state. Raises ``RuntimeError`` for a move that is not drawn."""
        if to not in MOVES[self.state]:
            raise RuntimeError(f"{self.model} cannot go from {self.state} to {to}")
        self.state = to

    def arrived(self, loaded: LoadedModel, seconds: float, now: float) -> None:
        """It is loaded, and in use at once when somebody waited for it."""
        self.loaded, self.load_seconds, self.idle_since = loaded, seconds, now
        self.footprint, self.plan = loaded.footprint, loaded.plan
        self.move(State.LEASED if self.leases else State.IDLE)

    def lease(self) -> None:
        """One more uses it, or waits for it."""
        self.leases += 1
        if self.state is State.IDLE:
            self.move(State.LEASED)

    def release(self, now: float) -> None:
        """One less does."""
        self.leases -= 1
        if self.state is State.LEASED and not self.leases:
            self.move(State.IDLE)
            self.idle_since = now

    def warm(self, turn: int) -> None:
        """It served a turn."""
        self.heat = self.heat_at(turn) + 1.0
        self.warmed = turn

    def heat_at(self, turn: int) -> float:
        """How much it is in use, at that turn."""
        return heat_after(self.heat, turn - self.warmed)
