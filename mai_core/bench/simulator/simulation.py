"""One run: a contestant, a machine, a workload, from the first turn to the end of the last.

Answers are computed one at a time, those of several people in the order they were asked, while models load beside it.
How fast one is follows from what is free when it begins. The machine is watched whenever anything about its memory
changes, which a real monitor does every two seconds.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from mai_core.bench.simulator.choosing import Chooser, Chosen, Knowledge, View
from mai_core.bench.simulator.grid import calm_on_grid, lately, nearest
from mai_core.bench.simulator.memory import Memory, Resident
from mai_core.bench.simulator.oracle import Prices
from mai_core.bench.simulator.people import Answer, Person
from mai_core.bench.simulator.programs import Held
from mai_core.bench.simulator.tally import PARTS, Tally
from mai_core.bench.simulator.workloads import Turn
from mai_core.policy.eviction import heat_after
from mai_core.policy.resources import PoolKind
from mai_core.policy.selection import Candidate
from mai_core.policy.stability import Switch
from mai_core.policy.trouble import in_trouble

__all__ = ["Simulation"]

TYPED, ASKED, READY, ENDED, BROKE, LASTING = range(6)
MOST_RESTARTS = 3
PRESSURE_FULL = 0.10
IDLE_SECONDS = 1800.0
LASTING_SECONDS = 10.0


@dataclass(slots=True, eq=False)
class Simulation:
    """The state of a run. ``others`` are the steps of other programs' memory; ``ceilings`` the clairvoyant's turns.

    ``on_answer`` hears of every answer and when it ended.
    """

    chooser: Chooser
    memory: Memory
    turns: Sequence[Turn]
    others: Iterator[Held]
    prices: Prices
    ceilings: Sequence[float]
    late_from: int
    preloads: bool = True
    idle_seconds: float = IDLE_SECONDS
    on_answer: Callable[[Answer, float], None] | None = None
    tally: Tally = field(default_factory=Tally)
    now: float = 0.0
    _events: list[tuple[float, int, int, Any]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=count)
    _next: Held | None = None
    _queue: list[Answer] = field(default_factory=list)
    _answering: Answer | None = None
    _current: int = -1
    _troubled: bool = False
    _troubles: int = 0
    _calm_since: float = float("-inf")
    _paid: list[Switch] = field(default_factory=list)
    _known: dict[int, int | None] = field(default_factory=dict)
    _knows: Knowledge = field(init=False)
    _keys: tuple[str, ...] = ()
    _places: dict[str, int] = field(default_factory=dict)
    _shared: frozenset[str] = frozenset()

    def run(self) -> Tally:
        """Everything that happens, until everybody has been answered."""
        self._keys = tuple(model.key for model in self.chooser.truth.models)
        self._places = {key: place for place, key in enumerate(self._keys)}
        gpus = self.memory.machine.gpus
        self._shared = frozenset(gpu.name for gpu in gpus if gpu.kind is PoolKind.UNIFIED)
        self._knows = self.chooser.known(())
        self._next = next(self.others, None)
        numbered: dict[int, list[tuple[int, Turn]]] = {}
        for number, turn in enumerate(self.turns):
            numbered.setdefault(turn.user, []).append((number, turn))
        for user, own in numbered.items():
            self._go_on(Person(user, iter(own)))
        handlers = (self._typed, self._asked, self._is_ready, self._ended, self._broke, self._give_way)
        while self._events:
            if self._next is not None and self._next.at <= self._events[0][0]:
                self._others_step(self._next)
                continue
            self.now, _, code, what = heapq.heappop(self._events)
            handlers[code](what)
        self.tally.seconds = self.now
        return self.tally

    # -- what people do

    def _go_on(self, person: Person) -> None:
        """The person thinks, types and asks, when there is anything left to ask."""
        following = next(person.turns, None)
        if following is None:
            return
        number, turn = following
        starts = max(self.now + turn.pause, turn.at)
        if self.preloads:
            self._at(starts, TYPED, (person, turn))
        self._at(starts + turn.typing, ASKED, (person, number, turn))

    def _typed(self, what: tuple[Person, Turn]) -> None:
        """The first words are there: what the turn will likely want is got ready."""
        person, turn = what
        if turn.begins:
            person.begin()
        chosen = self._choose(person, turn, turn.guess)
        wanted = chosen.preparation
        if wanted is None or any(r.loading for r in self.memory.residents):
            return
        resident = self._planned(wanted.candidate)
        resident.prepared = person.number
        twin = self.memory.find(resident.model)
        if twin is not None:
            if twin.leases or not wanted.evict:
                return
            self._evict(twin)
        if self.memory.make_room(resident, self._evict, waited=False, may_evict=wanted.evict) and self._load(resident):
            self.tally.prepared += 1

    def _asked(self, what: tuple[Person, int, Turn]) -> None:
        """A turn begins."""
        person, number, turn = what
        if turn.begins:
            person.begin()
        for resident in [r for r in self.memory.residents if not r.leases and not r.loading]:
            if resident.idle_since + self.idle_seconds <= self.now:
                self._evict(resident)
        chosen = self._choose(person, turn, turn.asked)
        if chosen.fault:
            self.tally.faults[chosen.fault] = self.tally.faults.get(chosen.fault, 0) + 1
        if chosen.switch is not None:
            self._paid = [s for s in self._paid if self.now - s.at < self.chooser.rules.remember_seconds]
            self._paid.append(chosen.switch._replace(at=self.now))
        wanted = self._places[chosen.candidate.key] if chosen.candidate else -1
        for resident in [r for r in self.memory.residents if r.loading and r.prepared >= 0 and r.model != wanted]:
            self._gone(resident)
        self._admit(chosen, number, turn, person)
        if self._calm() <= 0.0:
            self._relieve(wanted)

    # -- what Mai does

    def _choose(self, person: Person, turn: Turn, asked: int) -> Chosen:
        return self._chosen(asked, person.told, turn.told, person.told_read)

    def _chosen(self, asked: int, before: int, told: int, has_read: Mapping[int, int]) -> Chosen:
        """Decide on a question of ``told`` tokens after ``before``, of which models have read so many."""
        prompt, new = nearest(before + told), nearest(told)
        current = self._current
        if current not in has_read:
            new = prompt
        read = []
        for place, tokens in sorted(has_read.items()):
            unread = before + told - tokens
            if place != current and (known := prompt - nearest(unread)) > 0:
                read.append((self._keys[place], known))
        calm, rules = self._calm(), self.chooser.rules
        return self.chooser.choose(
            View(
                self.memory.shown(),
                asked,
                prompt,
                new,
                current,
                tuple(read),
                calm_on_grid(calm, rules),
                lately(self._paid, self.now, rules),
                self._knows,
            )
        )

    def _admit(self, chosen: Chosen, number: int, turn: Turn, person: Person, again: Answer | None = None) -> None:
        """Find a model for the turn, down the ranking, and stand in line for the processor."""
        delay, least = 0.0, float("inf")
        for candidate in chosen.ranking:
            if candidate.footprint.total >= least and not candidate.is_loaded:
                continue
            resident = self._provided(candidate)
            if resident is None:
                delay += self.chooser.truth.machine.disk and candidate.load_seconds / 2
                least = candidate.footprint.total
                continue
            resident.leases += 1
            resident.heat = heat_after(resident.heat, self.memory.turn - resident.warmed) + 1.0
            self.memory.turn += 1
            resident.warmed = self.memory.turn
            self.memory.changed()
            if again is None:
                again = Answer(number, turn, person, self.now, resident, turn.reply)
                self._queue.append(again)
            else:
                again.resident = resident
                self._queue.insert(0, again)
            again.not_before = self.now + delay
            self._serve()
            return
        self._lost(number, person, again.asked_at if again else self.now)

    def _provided(self, candidate: Candidate) -> Resident | None:
        """The model in memory, or on its way there; None when it turned out that there is not the memory for it."""
        there = self.memory.find(self._places[candidate.key])
        if there is not None and (there.leases or there.loading or not candidate.reloads):
            there.prepared = -1 if there.loading else there.prepared
            self.memory.changed()
            return there
        if there is not None:
            self._evict(there)
        resident = self._planned(candidate)
        self.memory.make_room(resident, self._evict)
        if not self._load(resident):
            for idle in [r for r in self.memory.residents if not r.leases and not r.loading]:
                self._evict(idle)
            return None
        self.tally.loads += 1
        return resident

    def _planned(self, candidate: Candidate) -> Resident:
        """The candidate as it would be in memory, with what it will really take."""
        place, truth = self._places[candidate.key], self.chooser.truth
        taken = truth.footprint(place, self.chooser.predicted(candidate, self._knows))
        seconds = truth.speed(place, candidate.plan, 1).load_seconds
        return Resident(
            model=place,
            key=candidate.key,
            plan=candidate.plan,
            footprint=taken,
            predicted=candidate.footprint,
            load_seconds=seconds,
            ready=self.now + seconds,
            number=self.memory.number(place, candidate.plan, taken),
            shared=sum(size for name, size in taken.devices.items() if name in self._shared),
        )

    def _load(self, resident: Resident) -> bool:
        """Begin to load; False when there is not the memory for it, which kills the engine."""
        self.memory.residents.append(resident)
        self.memory.changed()
        if self.memory.overdrawn():
            self.memory.residents.remove(resident)
            self.tally.overdrawn += 1
            return False
        self._spend(resident.load_seconds)
        self._at(resident.ready, READY, resident)
        return True

    def _is_ready(self, resident: Resident) -> None:
        if resident.gone:
            return
        resident.loading = False
        resident.idle_since = self.now
        self.memory.changed()
        self._watch()
        self._serve()

    def _evict(self, resident: Resident) -> None:
        self._gone(resident)

    def _gone(self, resident: Resident) -> None:
        resident.gone = True
        self.memory.residents.remove(resident)
        self.memory.changed()

    # -- what the machine does

    def _serve(self) -> None:
        """Begin the first answer in line whose model is there."""
        if self._answering is not None:
            return
        for place, answer in enumerate(self._queue):
            if answer.resident.gone:
                del self._queue[place]
                self._restart(answer)
                return
            if not answer.resident.loading:
                del self._queue[place]
                self._begin(answer)
                return

    def _begin(self, answer: Answer) -> None:
        resident, turn, person, truth = answer.resident, answer.turn, answer.person, self.chooser.truth
        speed = truth.speed(resident.model, resident.plan, self.memory.cores())
        if resident.prepared == person.number and resident.ready < answer.asked_at:
            read = int((answer.asked_at - resident.ready) * speed.prompt_tps)
            person.has_read(resident.model, min(person.size, read))
        resident.prepared = -1
        tokens, answer.unseen = person.to_read(resident, turn.question, answer.left)
        slower = truth.reread_seconds(resident.model, missing) if (missing := self.memory.missing(resident)) else 0.0
        answer.began = max(self.now, answer.not_before)
        answer.writes_from = answer.began + tokens / speed.prompt_tps + slower * (1 + tokens // resident.plan.batch)
        answer.ends = answer.writes_from + answer.left * (1.0 / speed.generation_tps + slower)
        self._answering = answer
        if slower:
            self._watch()
        if turn.crash < 1.0 and not answer.restarts:
            self._at(answer.began + turn.crash * (answer.ends - answer.began), BROKE, (answer, answer.stamp))
        else:
            self._at(answer.ends, ENDED, (answer, answer.stamp))

    def _ended(self, what: tuple[Answer, int]) -> None:
        answer, stamp = what
        if stamp != answer.stamp:
            return
        resident, turn, person, tally = answer.resident, answer.turn, answer.person, self.tally
        self._stopped(answer)
        resident.leases -= 1
        resident.idle_since = self.now
        self.memory.changed()
        if resident.model not in self._known:
            self._known[resident.model] = resident.plan.gpu_layers
            self._knows = self.chooser.known(tuple(sorted(self._known.items())))
        person.heard(turn, resident.model)
        if self._current not in (-1, resident.model):
            tally.switches += 1
        self._current = resident.model
        self._count(answer)
        if self._troubled:
            self._watch()
        self._go_on(person)
        self._serve()

    def _count(self, answer: Answer) -> None:
        tally, turn, resident = self.tally, answer.turn, answer.resident
        kind, late = self.chooser.asked[turn.asked].kind, answer.number >= self.late_from
        chance = self.chooser.truth.quality(
            resident.model, kind, turn.difficulty, late=late, plan=resident.plan, unseen=answer.unseen
        )
        waited = self.now - answer.asked_at
        if self.on_answer is not None:
            self.on_answer(answer, self.now)
        tally.turns += 1
        tally.quality += chance
        tally.good += turn.luck < chance
        tally.first.add(answer.first - answer.asked_at)
        tally.end.add(waited)
        tally.served[resident.key] = tally.served.get(resident.key, 0) + 1
        cost = waited / 3600.0 * self.prices.hour + self.prices.of_work(answer.joules)
        self._worth(answer.number, self.prices.answer * chance, cost)

    def _lost(self, number: int, person: Person, asked_at: float) -> None:
        self.tally.turns += 1
        self.tally.lost += 1
        self._worth(number, 0.0, (self.now - asked_at) / 3600.0 * self.prices.hour)
        self._go_on(person)

    def _worth(self, number: int, gained: float, cost: float) -> None:
        ceiling, utility = self.ceilings[number], gained - cost
        self.tally.cost += cost
        self.tally.utility += utility
        self.tally.ceiling += ceiling
        self.tally.regret[number * PARTS // len(self.turns)] += ceiling - utility

    def _stopped(self, answer: Answer) -> None:
        """The processor is free again; what it wrote is written."""
        answer.stamp += 1
        answer.joules += self._spend(max(0.0, self.now - answer.began))
        if answer.first < 0.0 and self.now >= answer.writes_from:
            answer.first = answer.writes_from
        if answer.ends > answer.writes_from and self.now > answer.writes_from:
            written = min(1.0, (self.now - answer.writes_from) / (answer.ends - answer.writes_from))
            answer.left = max(1, int(answer.left * (1.0 - written)))
        self._answering = None

    def _broke(self, what: tuple[Answer, int]) -> None:
        """The engine died by itself."""
        answer, stamp = what
        if stamp != answer.stamp:
            return
        self.tally.crashes += 1
        self._stopped(answer)
        self._gone(answer.resident)
        self._restart(answer)

    def _restart(self, answer: Answer) -> None:
        """The rest of an answer, by whichever model is best now."""
        answer.restarts += 1
        answer.person.read.pop(answer.resident.model, None)
        answer.person.held.pop(answer.resident.model, None)
        if answer.restarts > MOST_RESTARTS:
            self._lost(answer.number, answer.person, answer.asked_at)
            self._serve()
            return
        chosen = self._choose(answer.person, answer.turn, answer.turn.asked)
        self._admit(chosen, answer.number, answer.turn, answer.person, answer)

    def _others_step(self, held: Held) -> None:
        """Other programs take or return memory; who has too much of what is then gone dies, the largest first."""
        self._next = next(self.others, None)
        self.now = held.at
        self.memory.others = held
        self.memory.changed()
        self._watch()
        while self.memory.residents and self.memory.short_of_ram():
            self._kill(max(self.memory.residents, key=lambda r: r.footprint.anonymous + r.shared))

    def _kill(self, resident: Resident) -> None:
        self.tally.killed += 1
        self._gone(resident)
        answer = self._answering
        if answer is not None and answer.resident is resident:
            self._stopped(answer)
            self._restart(answer)
        elif resident.leases:
            self._serve()

    def _watch(self) -> None:
        """Notice trouble, and let go of what idles when there is."""
        was, memory = self._troubled, self.memory
        if not was and memory.free > memory.reserve and not memory.starved():
            return
        self._troubled = in_trouble(memory.seen(), was, memory.limits, PRESSURE_FULL)
        if self._troubled:
            self._relieve(self._current)
            if not was:
                self._troubles += 1
                self._at(self.now + LASTING_SECONDS, LASTING, self._troubles)
        elif was:
            self._calm_since = self.now

    def _give_way(self, trouble: int) -> None:
        """Trouble that lasts: the model in use leaves, too, where it would not be chosen again as it is loaded."""
        if not self._troubled or trouble != self._troubles:
            return
        chosen = self._chosen(self.chooser.anything, 0, 0, {}).candidate
        if chosen is None or not chosen.is_loaded or self._places[chosen.key] != self._current:
            self._relieve(self._places[chosen.key] if chosen is not None and chosen.is_loaded else -1)
        self._at(self.now + LASTING_SECONDS, LASTING, trouble)

    def _relieve(self, spared: int) -> None:
        for resident in [r for r in self.memory.residents if not r.leases and not r.loading and r.model != spared]:
            self._evict(resident)

    def _calm(self) -> float:
        return 0.0 if self._troubled else self.now - self._calm_since

    def _spend(self, seconds: float) -> float:
        """Joules of so many seconds' work, which are paid for."""
        joules = self.chooser.truth.machine.power * seconds
        self.tally.joules += joules
        self.tally.money += self.prices.of_work(joules)
        return joules

    def _at(self, when: float, code: int, what: object) -> None:
        heapq.heappush(self._events, (when, next(self._order), code, what))
