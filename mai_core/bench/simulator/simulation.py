"""One run: a contestant, a machine, a workload, from the first turn to the end of the last.

Answers are computed one at a time, those of several people in the order they were asked, while models load beside it.
How fast one is follows from what is free when it begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mai_core.bench.simulator.asking import Asking, Knowledge, View
from mai_core.bench.simulator.choosing import Chooser, Chosen
from mai_core.bench.simulator.doubting import sureness
from mai_core.bench.simulator.grid import calm_on_grid, lately, nearest
from mai_core.bench.simulator.ledger import Ledger
from mai_core.bench.simulator.loading import Loader
from mai_core.bench.simulator.memory import Memory, Resident
from mai_core.bench.simulator.people import Answer, Answered, Person
from mai_core.bench.simulator.programs import Held
from mai_core.bench.simulator.tally import Tally
from mai_core.bench.simulator.timeline import Timeline
from mai_core.bench.simulator.watching import Watch
from mai_core.bench.simulator.workloads import Turn
from mai_core.policy.doubt import JUDGED_TOKENS
from mai_core.policy.selection import Candidate
from mai_core.policy.stability import Switch

__all__ = ["Simulation"]

MOST_RESTARTS = 3
IDLE_SECONDS = 1800.0


@dataclass(slots=True, eq=False)
class Simulation:
    """The state of a run. ``others`` are the steps of other programs' memory; ``on_answer`` hears of every answer."""

    chooser: Chooser
    memory: Memory
    turns: Sequence[Turn]
    others: Iterator[Held]
    ledger: Ledger
    late_from: int
    preloads: bool = True
    idle_seconds: float = IDLE_SECONDS
    on_answer: Callable[[Answered], None] | None = None
    timeline: Timeline = field(default_factory=Timeline)
    _asking: Asking = field(init=False)
    _loader: Loader = field(init=False)
    _watch: Watch = field(init=False)
    _knows: Knowledge = field(init=False)
    _next: Held | None = None
    _queue: list[Answer] = field(default_factory=list)
    _answering: Answer | None = None
    _current: int = -1
    _paid: list[Switch] = field(default_factory=list)
    _known: dict[int, int | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._asking = self.chooser.asking
        self._knows = self._asking.known(())
        self._loader = Loader(self.memory, self._asking, self.ledger, self.timeline, self._loaded)
        self._watch = Watch(self._loader, lambda: self._current, self._worth_keeping)

    def run(self) -> Tally:
        """Everything that happens, until everybody has been answered."""
        timeline = self.timeline
        self._next = next(self.others, None)
        numbered: dict[int, list[tuple[int, Turn]]] = {}
        for number, turn in enumerate(self.turns):
            numbered.setdefault(turn.user, []).append((number, turn))
        for user, own in numbered.items():
            self._go_on(Person(user, iter(own)))
        while (when := timeline.next) < float("inf"):
            if self._next is not None and self._next.at <= when:
                self._others_step(self._next)
            else:
                timeline.step()
        self.ledger.tally.seconds = timeline.now
        return self.ledger.tally

    # -- what people do

    def _go_on(self, person: Person) -> None:
        """The person thinks, types and asks, when there is anything left to ask."""
        following = next(person.turns, None)
        if following is None:
            return
        number, turn = following
        starts = max(self.timeline.now + turn.pause, turn.at)
        if self.preloads:
            self.timeline.at(starts, self._typed, (person, turn))
        self.timeline.at(starts + turn.typing, self._asked, (person, number, turn))

    def _typed(self, what: tuple[Person, Turn]) -> None:
        """The first words are there: what the turn will likely want is got ready."""
        person, turn = what
        if turn.begins:
            person.begin()
        wanted = self._choose(person, turn, turn.guess).preparation
        if wanted is not None:
            self._loader.prepare(wanted.candidate, self._knows, person.number, evict=wanted.evict)

    def _asked(self, what: tuple[Person, int, Turn]) -> None:
        """A turn begins."""
        person, number, turn = what
        now, tally = self.timeline.now, self.ledger.tally
        if turn.begins:
            person.begin()
        self._loader.drop_idle(self.idle_seconds)
        chosen = self._choose(person, turn, turn.asked)
        if chosen.fault:
            tally.faults[chosen.fault] = tally.faults.get(chosen.fault, 0) + 1
        if chosen.switch is not None:
            self._paid = [s for s in self._paid if now - s.at < self.chooser.rules.remember_seconds]
            self._paid.append(chosen.switch._replace(at=now))
        wanted = self._asking.places[chosen.candidate.key] if chosen.candidate else -1
        self._loader.drop_preparations(wanted)
        self._admit(chosen, number, turn, person)
        if self._watch.troubled:
            self._loader.relieve(wanted)

    # -- what Mai does

    def _choose(self, person: Person, turn: Turn, asked: int) -> Chosen:
        return self._chosen(asked, person.told, turn.told, person.told_read)

    def _chosen(self, asked: int, before: int, told: int, has_read: Mapping[int, int]) -> Chosen:
        """Decide on a question of ``told`` tokens after ``before``, of which models have read so many."""
        prompt, new = nearest(before + told), nearest(told)
        current, rules = self._current, self.chooser.rules
        read: tuple[tuple[str, int], ...] = ()
        if current not in has_read:
            new = prompt
        if len(has_read) > (current in has_read):
            others = sorted((place, before + told - tokens) for place, tokens in has_read.items() if place != current)
            keys = self._asking.keys
            read = tuple([(keys[place], known) for place, left in others if (known := prompt - nearest(left)) > 0])
        return self.chooser.choose(
            View(
                self.memory.shown(),
                asked,
                prompt,
                new,
                current,
                read,
                calm_on_grid(self._watch.calm, rules),
                lately(self._paid, self.timeline.now, rules),
                self._knows,
            )
        )

    def _worth_keeping(self) -> int:
        """The loaded model that would be chosen now as it is loaded, below 0 for none."""
        chosen = self._chosen(self._asking.anything, 0, 0, {}).candidate
        return self._asking.places[chosen.key] if chosen is not None and chosen.is_loaded else -1

    def _admit(
        self,
        chosen: Chosen,
        number: int,
        turn: Turn,
        person: Person,
        again: Answer | None = None,
        *,
        optional: Sequence[Candidate] = (),
    ) -> None:
        """Find a model for the turn, down the ranking, and stand in line for the processor.

        The ``optional`` ones are not tried where there is no room for them by now.
        """
        delay, least, now = 0.0, float("inf"), self.timeline.now
        for candidate in chosen.ranking:
            if candidate.footprint.total >= least and not candidate.is_loaded:
                continue
            resident = self._loader.acquire(candidate, self._knows, optional=candidate in optional)
            if resident is None:
                delay += candidate.load_seconds / 2
                least = candidate.footprint.total
                continue
            if again is None:
                again = Answer(number, turn, person, now, resident, turn.reply, chosen)
                self._queue.append(again)
            else:
                again.resident, again.chosen = resident, chosen
                self._queue.insert(0, again)
            again.not_before = now + delay
            self._serve()
            return
        self._lost(chosen, number, person, again.asked_at if again else now)

    def _lost(self, chosen: Chosen, number: int, person: Person, asked_at: float) -> None:
        self.ledger.lost(number, self.timeline.now - asked_at)
        self.chooser.heard(chosen, "", 0.0)
        self._go_on(person)

    # -- what the machine does

    def _loaded(self) -> None:
        self._watch.look()
        self._serve()

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
        resident, turn, person, truth = answer.resident, answer.turn, answer.person, self._asking.truth
        speed = truth.speed(resident.model, resident.plan, self.memory.cores())
        if resident.prepared == person.number and resident.ready < answer.asked_at:
            read = int((answer.asked_at - resident.ready) * speed.prompt_tps)
            person.has_read(resident.model, min(person.size, read))
        resident.prepared = -1
        tokens, answer.unseen = person.to_read(resident, turn.question, answer.left)
        slower = truth.reread_seconds(resident.model, missing) if (missing := self.memory.missing(resident)) else 0.0
        answer.began = max(self.timeline.now, answer.not_before)
        reading = tokens / speed.prompt_tps + slower * (1 + tokens // resident.plan.batch)
        answer.writes_from = answer.began + truth.hidden[resident.model].starting + reading
        answer.ends = answer.writes_from + answer.left * (1.0 / speed.generation_tps + slower)
        self._answering = answer
        if slower:
            self._watch.look()
        if answer.chosen.heirs and not answer.judged and not answer.restarts:
            judged = answer.writes_from + min(1.0, JUDGED_TOKENS / answer.left) * (answer.ends - answer.writes_from)
            self.timeline.at(judged, self._judged, (answer, answer.stamp))
        if turn.crash < 1.0 and not answer.restarts:
            breaks = answer.began + turn.crash * (answer.ends - answer.began)
            self.timeline.at(breaks, self._broke, (answer, answer.stamp))
        else:
            self.timeline.at(answer.ends, self._ended, (answer, answer.stamp))

    def _judged(self, what: tuple[Answer, int]) -> None:
        """The first words are there, and shown, or kept from the person: then another model answers in their place."""
        answer, stamp = what
        chosen, turn = answer.chosen, answer.turn
        if stamp != answer.stamp or chosen.candidate is None or answer.resident.key != chosen.candidate.key:
            return
        answer.judged = True
        if sureness(good=turn.luck < self._chance(answer), draw=turn.sure) >= chosen.doubt_below:
            answer.first = self.timeline.now
            return
        self.ledger.tally.doubted += 1
        self._ran(answer)
        answer.left, answer.first = turn.reply, -1.0
        answer.person.doubted(turn, answer.resident.model)
        second = chosen._replace(ranking=(*chosen.heirs, chosen.candidate))
        self._admit(second, answer.number, turn, answer.person, answer, optional=chosen.heirs)

    def _ended(self, what: tuple[Answer, int]) -> None:
        answer, stamp = what
        if stamp != answer.stamp:
            return
        resident, turn, person = answer.resident, answer.turn, answer.person
        self._ran(answer)
        person.heard(turn, resident.model)
        if self._current not in (-1, resident.model):
            self.ledger.tally.switches += 1
        self._current = resident.model
        self._count(answer)
        if self._watch.troubled:
            self._watch.look()
        self._go_on(person)
        self._serve()

    def _chance(self, answer: Answer) -> float:
        """How likely the answer is good, which nobody else knows."""
        turn, resident = answer.turn, answer.resident
        kind, late = self._asking.asked[turn.asked].kind, answer.number >= self.late_from
        return self._asking.truth.quality(
            resident.model, kind, turn.difficulty, late=late, plan=resident.plan, unseen=answer.unseen
        )

    def _count(self, answer: Answer) -> None:
        """Judge an answer: by its chance or, where doubt told of its luck already, as it turned out."""
        turn, resident = answer.turn, answer.resident
        chance = self._chance(answer)
        good = turn.luck < chance
        counted = float(good) if answer.judged else chance
        utility, reward = self.ledger.answered(answer, counted, good, self.timeline.now)
        self.chooser.heard(answer.chosen, resident.key, reward)
        if self.on_answer is not None:
            self.on_answer(Answered(answer, self.timeline.now, good, utility))

    def _ran(self, answer: Answer) -> None:
        """A model has done its work, and how fast it is, is known."""
        resident = answer.resident
        self._stopped(answer)
        self._loader.release(resident)
        if resident.model not in self._known:
            self._known[resident.model] = resident.plan.gpu_layers
            self._knows = self._asking.known(tuple(sorted(self._known.items())))

    def _stopped(self, answer: Answer) -> None:
        """The processor is free again; what it wrote is written."""
        now = self.timeline.now
        answer.stamp += 1
        answer.joules += self.ledger.worked(max(0.0, now - answer.began))
        if answer.first < 0.0 and now >= answer.writes_from:
            answer.first = answer.writes_from
        if answer.ends > answer.writes_from and now > answer.writes_from:
            written = min(1.0, (now - answer.writes_from) / (answer.ends - answer.writes_from))
            answer.left = max(1, int(answer.left * (1.0 - written)))
        self._answering = None

    # -- what goes wrong

    def _broke(self, what: tuple[Answer, int]) -> None:
        """The engine died by itself."""
        answer, stamp = what
        if stamp != answer.stamp:
            return
        self.ledger.tally.crashes += 1
        self._stopped(answer)
        self._loader.gone(answer.resident)
        self._restart(answer)

    def _restart(self, answer: Answer) -> None:
        """The rest of an answer, by whichever model is best now."""
        answer.restarts += 1
        answer.person.read.pop(answer.resident.model, None)
        answer.person.held.pop(answer.resident.model, None)
        if answer.restarts > MOST_RESTARTS:
            self._lost(answer.chosen, answer.number, answer.person, answer.asked_at)
            self._serve()
            return
        chosen = self._choose(answer.person, answer.turn, answer.turn.asked)
        self._admit(chosen, answer.number, answer.turn, answer.person, answer)

    def _others_step(self, held: Held) -> None:
        """Other programs take or return memory; who has too much of what is then gone dies, the largest first."""
        memory = self.memory
        self._next = next(self.others, None)
        self.timeline.now = held.at
        memory.hold(held)
        self._watch.look()
        while memory.residents and memory.short_of_ram():
            self._kill(max(memory.residents, key=lambda r: r.footprint.anonymous + r.shared))

    def _kill(self, resident: Resident) -> None:
        self.ledger.tally.killed += 1
        self._loader.gone(resident)
        answer = self._answering
        if answer is not None and answer.resident is resident:
            self._stopped(answer)
            self._restart(answer)
        elif resident.leases:
            self._serve()
